# SPDX-License-Identifier: GPL-2.0-or-later
"""The discussion of 29 March to 4 April 2019, each sentence with a verdict from the runs of one folder."""
