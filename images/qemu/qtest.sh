#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Run QEMU's own tests of the balloon device (tests/qtest/ of the patched
# source) against build/qemu. Prints TAP.
#   virtio-balloon-test          each behaviour once
#   virtio-balloon-hostile-test  a random hostile driver; QTEST_BALLOON_CHUNKS
#                                chunks are reported (QEMU's default: 100000)
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/../cache/lib.sh"

case $#:${1:-} in
1:virtio-balloon-test | 1:virtio-balloon-hostile-test) ;;
2:virtio-balloon-hostile-test)
	case $2 in
	--seed=*) ;;
	*) set -- ;;
	esac
	;;
*) set -- ;;
esac
if [ $# -eq 0 ]; then
	cat >&2 <<-'END'
	usage: images/qemu/qtest.sh virtio-balloon-test | virtio-balloon-hostile-test [--seed=SEED]
	SEED is what a run prints as "random seed", to repeat it.
	example: QTEST_BALLOON_CHUNKS=10000000 images/qemu/qtest.sh virtio-balloon-hostile-test
	END
	exit $EX_USAGE
fi

"$top/images/qemu/build.sh" >&2
"$top/images/qemu/build.sh" qtest >&2

# The tests give QEMU no option for its firmware.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/qemu-system-x86_64" <<END
#!/bin/sh
exec "$build/qemu/qemu-system-x86_64" -L "$build/qemu/share" "\$@"
END
chmod +x "$dir/qemu-system-x86_64"
test=$1
shift
status=0
TMPDIR=$dir QTEST_QEMU_BINARY=$dir/qemu-system-x86_64 \
	"$build/qemu-qtest/$test" -k "$@" || status=$?
[ $status -eq 0 ] || exit $EX_FAIL
