# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# The part of kernel-patches/review/series.sh for the kernel. Sourced.
# shellcheck disable=SC2034,SC2086,SC2154 # its variables

configs='on off none nohotplug'
# Users of the free lists beside what the series touches: code that a changed
# header could grow.
neighbours='mm/compaction.o mm/swap.o mm/vmscan.o mm/vmstat.o mm/page-writeback.o'

# settings CONFIG: where it differs from guest.config, SYMBOL=VALUE a line.
settings() {
	# The code is the same without, and made in half the time.
	printf '%s\n' DEBUG_INFO_NONE=y DEBUG_INFO_BTF=n DEBUG_INFO_DWARF4=n
	case $1 in
	on) ;;
	off) printf '%s\n' PAGE_REPORTING_BUFFER=n PAGE_REPORTING_AT_FREE=n PAGE_REPORTING_KEEP_SPLIT=n ;;
	none) printf '%s\n' VIRTIO_BALLOON=n PAGE_REPORTING=n PAGE_REPORTING_BUFFER=n PAGE_REPORTING_AT_FREE=n PAGE_REPORTING_KEEP_SPLIT=n ;;
	nohotplug) printf '%s\n' MEMORY_HOTPLUG=n MEMORY_HOTREMOVE=n VIRTIO_MEM=n ;;
	32bit) printf '%s\n' 64BIT=n HIGHMEM4G=y ;;
	esac
}

kmake() { # CONFIG ARGUMENT...
	kmake_config=$1
	shift
	case $kmake_config in
	32bit) set -- ARCH=i386 "$@" ;;
	*) set -- ARCH=x86 "$@" ;;
	esac
	make -C "$work/src" O="$work/obj-$kmake_config" RUSTC=false \
		KBUILD_BUILD_TIMESTAMP=@1577836800 KBUILD_BUILD_VERSION=1 \
		KBUILD_BUILD_USER=hintbuf KBUILD_BUILD_HOST=hintbuf "$@"
}

configure() { # CONFIG: for the tree as it is now
	configure_dir=$work/obj-$1
	mkdir -p "$configure_dir"
	settings "$1" >"$work/settings"
	{
		sed -n 's/^\([^=]*\)=.*/\1/p' "$work/settings" |
			sed 's/.*/^CONFIG_&=|^# CONFIG_& is/' | paste -sd '|' >"$work/replaced"
		grep -vEf "$work/replaced" "$patches/guest.config"
		sed 's/^/CONFIG_/' "$work/settings"
	} >"$work/fragment"
	kmake "$1" -s KCONFIG_ALLCONFIG="$work/fragment" KCONFIG_CONFIG="$configure_dir/.config.new" \
		allnoconfig >"$work/config.log" 2>&1 || {
		cat "$work/config.log" >&2
		die $EX_FAIL "allnoconfig failed"
	}
	# What is to be off may not come back by a select.
	sed -n 's/^\(.*\)=n$/^CONFIG_\1=/p' "$work/settings" >"$work/replaced"
	! grep -Ef "$work/replaced" "$configure_dir/.config.new" >&2 ||
		die $EX_FAIL "the configuration '$1' has what it is to leave out"
	if cmp -s "$configure_dir/.config.new" "$configure_dir/.config"; then
		rm "$configure_dir/.config.new"
	else
		mv "$configure_dir/.config.new" "$configure_dir/.config"
	fi
}

# configured CONFIG: of the objects on standard input, those that are built.
configured() {
	sort -u >"$work/wanted"
	sed 's|/[^/]*$||' "$work/wanted" | sort -u | while IFS= read -r configured_dir; do
		[ -f "$work/src/$configured_dir/Makefile" ] || continue
		make -s --no-print-directory -f - series-objects <<-END | sed "s|^|$configured_dir/|"
		include $work/obj-$1/.config
		include $work/src/$configured_dir/Makefile
		parts = \$(foreach o,\$(obj-y) \$(obj-m),\$o \$(\$(o:.o=-y)) \$(\$(o:.o=-objs)))
		series-objects: ; @printf '%s\n' \$(parts)
		END
	done | sort -u | comm -12 - "$work/wanted"
}

# compile CONFIG LOG OBJECT...: make these anew, with all warnings and sparse.
compile() {
	compile_config=$1 compile_log=$2
	shift 2
	(cd "$work/obj-$compile_config" && rm -f "$@")
	kmake "$compile_config" -k -j"$jobs" W=1 C=$sparse "$@" >"$compile_log" 2>&1
}

warnings() { # LOG: without the line numbers, which every patch moves
	sed -nE 's/:[0-9]+(:[0-9]+)?: (fatal )?(warning|error): /: \3: /p' "$1" |
		sed 's|^\(\.\./\)*src/||; s|^/.*/src/||' | sort -u
}

# The objects of every file the series or a patch touches. Whoever includes a
# touched header is among the objects of the series.
objects_of() { # SERIES-FOLDER
	objects_files=$(patched_files "$1")
	case $objects_files in
	*.h*) objects_files=$(patched_files "$patches") ;;
	esac
	printf '%s\n' "$objects_files" | sed -n 's/\.c$/.o/p'
}

compared() { # CONFIG: the objects of the whole series and its neighbours
	{
		objects_of "$patches"
		echo "$neighbours" | tr ' ' '\n'
	} | configured "$1"
}

base_objects() { # CONFIG: the base's warnings, and its objects for the comparison
	base_dir=$work/base-$1
	base_key=$(key 0 "base-$1").$(objects_of "$patches" | hash12)
	[ ! -e "$base_key" ] || return 0
	step BASE "$1: building what the series touches"
	advance 0
	configure "$1"
	compared "$1" >"$work/objects"
	# shellcheck disable=SC2046 # a list of words
	compile "$1" "$work/base-$1.log" $(cat "$work/objects") || {
		tail -n 20 "$work/base-$1.log" >&2
		die $EX_FAIL "the unpatched source does not build; the log: $work/base-$1.log"
	}
	warnings "$work/base-$1.log" >"$work/base-$1.warnings"
	rm -rf "$base_dir"
	while IFS= read -r base_object; do
		mkdir -p "$base_dir/${base_object%/*}"
		cp "$work/obj-$1/$base_object" "$base_dir/$base_object"
	done <"$work/objects"
	: >"$base_key"
}

begin() {
	need bc bison flex
	for config in $configs 32bit; do
		base_objects "$config"
	done
}

# build_objects CONFIG FOLDER: what the patches in FOLDER touch; prints how many
# objects, or fails with what is new in build.new.
build_objects() {
	configure "$1"
	objects_of "$2" | configured "$1" >"$work/objects"
	: >"$work/build.new"
	if [ -s "$work/objects" ]; then
		# shellcheck disable=SC2046 # a list of words
		compile "$1" "$work/build.log" $(cat "$work/objects") || {
			grep -E ': (fatal )?error: |^make.*Error' "$work/build.log" | head -n 20 >"$work/build.new"
			return 1
		}
		warnings "$work/build.log" | comm -13 "$work/base-$1.warnings" - >"$work/build.new"
	fi
	[ ! -s "$work/build.new" ] || return 1
	wc -l <"$work/objects"
}

# check_objects N WHO CONFIG FOLDER: adds to $said.
check_objects() {
	if once "$1" "$3" build_objects "$3" "$4" >"$work/said"; then
		said="$said${said:+, }$3 $(cat "$work/said")"
	else
		finding "$2" "does not build without a new warning: configuration $3" <"$work/build.new"
	fi
}

check_patch() { # N PATCH
	one=${patches%/*}/one
	mkdir -p "$one"
	ln -sf "$2" "$one/"
	echo "${2##*/}" >"$one/series"
	for config in $configs; do
		# Nothing to leave out before the option is there.
		[ "$config" != off ] || grep -q '^config PAGE_REPORTING_BUFFER' "$work/src/mm/Kconfig" ||
			continue
		check_objects "$1" "${2##*/}" "$config" "$one"
	done
	rm -rf "$one"
	said="objects built: $said"
	[ -n "$full" ] || return 0
	if once "$1" boot boot_patch "$1" >"$work/said"; then
		said="$said; $(cat "$work/said")"
	else
		tail -n 30 "$work/boot.log" >"$work/said"
		finding "${2##*/}" "does not build as a whole, or does not boot" <"$work/said"
	fi
}

# boot_patch N: build it all as images/kernel/build.sh does, in a checkout and
# a cache of its own, and boot that.
boot_patch() {
	checkout "$1"
	# What a later patch adds to Kconfig is not there yet.
	series "$patches" | tail -n "+$(($1 + 1))" | xargs -r -d '\n' sed -n \
		's/^+config \([A-Z0-9_]*\)$/^CONFIG_\1=/p' >"$work/later"
	grep -vEf "$work/later" "$patches/guest.config" >"$top_own/kernel-patches/linux/guest.config"
	"$top_own/images/kernel/build.sh" >"$work/boot.log" 2>&1 &&
		KERNEL=$top_own/build/kernel python3 -B "$top/tests/vm/boot.py" >>"$work/boot.log" 2>&1 || return 1
	if grep '# SKIP' "$work/boot.log" >&2; then
		die $EX_INFRA "no guest was booted"
	fi
	sed -n 's/^# booted: //p' "$work/boot.log"
}

# code CONFIG: compare the base's objects with the series' into code-CONFIG, as
# objcode.py prints it with the object in front, and print the sizes of both.
code() {
	configure "$1"
	compared "$1" >"$work/objects"
	# shellcheck disable=SC2046 # a list of words
	kmake "$1" -j"$jobs" W=1 $(cat "$work/objects") >"$work/build.log" 2>&1 || {
		tail -n 20 "$work/build.log" >&2
		die $EX_FAIL "the objects to compare do not build; the log: $work/build.log"
	}
	while IFS= read -r object; do
		[ -f "$work/base-$1/$object" ] || continue
		"$top/kernel-patches/review/objcode.py" "$work/base-$1/$object" "$work/obj-$1/$object" >"$work/compared" ||
			die $EX_FAIL "cannot compare $object"
		sed "s|^|$object	|" "$work/compared"
	done <"$work/objects" >"$work/code-$1"
	for code_tree in base obj; do
		(cd "$work/$code_tree-$1" && sed 's|^|./|' "$work/objects" |
			xargs ls -d 2>/dev/null | xargs size -t) |
			awk -v what="$code_tree-$1" 'END { print what, $1, $2 + $3 }'
	done
}

# code_table CONFIG: by name what is not as in the base and not reporting's own.
code_table() {
	awk -F '\t' '$2 == "functions" { next }
		$1 !~ /^mm\// || $1 ~ /page_reporting/ { own++; next }
		{ printf "    %-7s %-19s %-26s %3d -> %3d instructions, %4d -> %4d bytes\n", $2, $1, $3, $4, $6, $5, $7 }
		END { printf "    and %d of page_reporting.o and the drivers\n", own }' "$work/code-$1"
}

code_report() { # prints the comparison; fails when code differs that may not
	known code >"$work/known"
	code off >"$work/sizes"
	code on >>"$work/sizes"
	awk -F '\t' '$2 != "functions" { print $1 " " $3 }' "$work/code-off" >"$work/differs"
	awk -F '\t' '$2 == "functions" { n += $3; o++ } END { print n, o }' "$work/code-off" >"$work/total"
	read -r code_nr code_objects <"$work/total"
	step CODE "buffer left out: $((code_nr - $(wc -l <"$work/differs"))) of $code_nr functions in $code_objects objects are as in the base, not these:"
	code_table off
	step CODE "buffer built in, not as in the base:"
	code_table on
	step CODE "these objects together, base and series:"
	awk '{ text[$1] = $2; data[$1] = $3 } END {
		for (i = split("off on", c, " "); i; i--)
			printf "    buffer %s: text %d -> %d bytes, data and bss %d -> %d\n", c[i],
				text["base-" c[i]], text["obj-" c[i]], data["base-" c[i]], data["obj-" c[i]]
	}' "$work/sizes"
	! grep -vxEf "$work/known" "$work/differs" >"$work/code.new"
}

end() {
	said=
	check_objects "$nr" "all patches" 32bit "$patches"
	[ -z "$said" ] || step OK "all patches: objects built: $said"
	if once "$nr" code code_report >"$work/said"; then
		cat "$work/said"
	else
		cat "$(key "$nr" code).tmp"
		finding "all patches" "code differs that may not with the buffer left out" <"$work/code.new"
	fi
}
