# SPDX-License-Identifier: GPL-2.0-or-later
# What is built for the guest; the Makefile explains the variables.
borrows := firsttouch/hold
