#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# /sbin/hint-init of the guest root, process 1: mount, unpack the payload,
# hand over to it. It knows nothing of cells, arms or workloads, so the root
# image stays the same when they change.
PATH=/usr/sbin:/usr/bin
export PATH

say() {
	echo "hint-init: $*" >/dev/console
}

stop() {
	say "$*"
	echo o >/proc/sysrq-trigger
	sleep 60
}

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mountpoint -q /dev || mount -t devtmpfs -o nosuid devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec devpts /dev/pts
# Everything writable is here and bounded: at most 48 + 8 + 8 MiB of memory.
# The payload lies in /run; what it takes is printed and the same in all arms.
mount -t tmpfs -o nosuid,nodev,size=48m,nr_inodes=4096,mode=755 run /run
mount -t tmpfs -o nosuid,nodev,size=8m,nr_inodes=4096,mode=1777 tmp /tmp
mount -t tmpfs -o nosuid,nodev,size=8m,nr_inodes=4096,mode=1777 shm /dev/shm
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# The payload is a tar on the second NVDIMM, or on a disk where a machine has
# no NVDIMM.
for dev in /dev/pmem1 /dev/vdb; do
	[ -b $dev ] || continue
	mkdir -p /run/hint
	tar -xf $dev -C /run/hint --no-same-owner || stop "payload on $dev is no tar"
	say "payload of $dev: $(du -sk /run/hint | cut -f1) KiB in /run"
	[ -x /run/hint/init ] || stop "payload on $dev has no executable init"
	# shellcheck disable=SC2093 # the first that is there is the one
	exec /run/hint/init
done
stop "no payload: neither /dev/pmem1 nor /dev/vdb is there"
