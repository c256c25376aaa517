# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# How much of a guest's memory a workload can have. A workload that sizes itself
# by this leaves the same amount free in a guest of any size, so that what is
# seen at one size can be compared with another. From HINT_MEM_BYTES, the
# memory sold, and from nothing this kernel says: arms must be alike.
#
#	. "${HINT_DIR:-/run/hint}/room.sh"

# What does not grow with memory: kernel, its slabs, payload, tracer, agents.
# Measured on the kernel this toolkit builds (workloads/memcached/README.md).
ROOM_FIXED_KIB=71680
# perf, where a cell has the parameter profile, and its buffer (docs/profile.md).
[ "${HINT_P_PROFILE:-off}" = off ] || ROOM_FIXED_KIB=$((ROOM_FIXED_KIB + 29696))

# room MEM_KIB: sets room_need_kib, memory that a workload cannot have without
# waking kswapd: the above; a struct page of 64 bytes for every page; the low
# watermarks; and what lower zones keep back from allocations that may use higher
# ones. Sets room_low_kib, the low watermarks alone: about as much of what is freed
# stays on the lists of the CPU (pcp->high), where nothing can hint it.
#
# The min watermark is the one khugepaged asks for, 22 MiB a zone
# (set_recommended_min_free_kbytes(): 512 pages of a block, times 2 and 9), or
# 5 % of memory if that is less; low is a quarter above it. There are two zones
# up to 3.5 GiB, then three. A zone keeps back 1/256 of those above it
# (lowmem_reserve_ratio), ZONE_DMA at most its 15 MiB.
# shellcheck disable=SC2034 # for the one that sources this
room() {
	room_min_kib=$(($1 / 20 - 1638))
	room_most_kib=45056
	room_reserve_kib=$(($1 / 256))
	[ $room_reserve_kib -le 15360 ] || room_reserve_kib=15360
	if [ "$1" -gt 3670016 ]; then
		room_most_kib=67584
		room_reserve_kib=$((room_reserve_kib + ($1 - 3145728) / 256))
	fi
	[ $room_min_kib -le $room_most_kib ] || room_min_kib=$room_most_kib
	room_low_kib=$((room_min_kib * 5 / 4))
	room_need_kib=$((ROOM_FIXED_KIB + $1 / 64 + room_reserve_kib + room_low_kib))
}
