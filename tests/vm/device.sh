#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The balloon device: QEMU's own tests of it, a hostile driver, and a guest
# that migrates while it reports. Prints TAP. KEEP=DIR keeps the consoles;
# QTEST_BALLOON_CHUNKS is the number of chunks of the hostile driver.
set -u
# shellcheck source=../sh/tap.sh
. "$(dirname "$0")/../sh/tap.sh"
build=$top/build
work=${KEEP:-$tmp}
mkdir -p "$work"

for need in bin/hintrun kernel/bzImage rootfs/root.erofs workloads/soak/soak; do
	if [ ! -e "$build/$need" ]; then
		echo "1..0 # SKIP build/$need is not there; run make first"
		exit 0
	fi
done

# lines FILE: count the results of another program's TAP
lines() {
	sed -E 's/^(ok|not ok) [0-9]+ (- )?/\1 /' "$1" >"$tmp/lines"
	while IFS= read -r line; do
		case $line in
		"ok "*) ok 0 "${line#ok }" ;;
		"not ok "*) ok 1 "${line#not ok }" ;;
		"# starting QEMU"* | "# Start of"* | "# End of"* | 1..*) ;;
		"#"*) echo "$line" ;;
		esac
	done <"$tmp/lines"
}

for test in virtio-balloon-test virtio-balloon-hostile-test; do
	"$top/images/qemu/qtest.sh" $test >"$work/$test" 2>"$work/$test.err"
	status=$?
	lines "$work/$test"
	[ $status -eq 0 ] || tail -n 20 "$work/$test.err" | sed 's/^/# /'
	ok $status "$test came to its end"
done

mkdir -p "$work/payload"
install -m 755 "$top/tests/vm/device.init" "$work/payload/init"
cp "$build/workloads/soak/soak" "$work/payload/"
tar --mtime=@0 -C "$work/payload" -cf "$work/payload.tar" .
rm -f "$work"/*.qmp "$work"/*.sock
python3 "$top/tests/vm/device_migrate.py" "$build" "$work" >"$work/migrate.out" 2>"$work/migrate.err"
status=$?
lines "$work/migrate.out"
sed 's/^/# /' "$work/migrate.err"
ok $status "the migrations came to their end"
finish
