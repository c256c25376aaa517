# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as frozen dataclasses, read and bounded."""
