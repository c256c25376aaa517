# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own arithmetic on one event."""
