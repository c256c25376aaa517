# SPDX-License-Identifier: GPL-2.0-or-later
"""Cells against cells: what may be compared, and what follows."""
