# SPDX-License-Identifier: GPL-2.0-or-later
# What the guest gets; the Makefile explains the variables.
borrows := hintcost/gauge memcached/mcload memcached/wave
