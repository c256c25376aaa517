# SPDX-License-Identifier: GPL-2.0-or-later
# What is built for the guest; the Makefile explains the variables.
programs := hold firsttouch
hold_src := hold.c pages.c
firsttouch_src := firsttouch.c pages.c
firsttouch_libs := -lm
