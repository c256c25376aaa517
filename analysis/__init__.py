# SPDX-License-Identifier: GPL-2.0-or-later
"""From run records to an HTML report: load -> stats -> figures -> report."""
