# SPDX-License-Identifier: GPL-2.0-or-later
# What is built for the guest; the Makefile explains the variables.
programs := mcload wave keep ballast
files := own
mcload_src := $(notdir $(wildcard workloads/memcached/mcload*.c))
mcload_libs := -lm
wave_src := $(notdir $(wildcard workloads/memcached/wave*.c))
wave_libs := -lm
