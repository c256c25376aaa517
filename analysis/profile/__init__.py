# SPDX-License-Identifier: GPL-2.0-or-later
"""Profiles that perf took inside the guests: folded stacks, flame graphs, hottest functions."""
