# SPDX-License-Identifier: GPL-2.0-or-later
#
# One makefile, not recursive. All products are under build/ and results/;
# kernel, QEMU and guest root come from a cache outside (images/cache/lib.sh).
# `make help` is the manual.

# What make, or a shell in a recipe, would take apart. The name of a checkout
# cannot be quoted everywhere: it stands in rules.
empty :=
space := $(empty) $(empty)
hash := \#
bad_characters := ' " ` ( ) [ ] { } $$ & ; < > | * ? \ : % = $(hash)
bad_in = $(if $(filter-out 1,$(words $(1))),a blank,$(strip $(foreach c,$(bad_characters),$(findstring $(c),$(1)))))
ifneq ($(call bad_in,$(CURDIR)),)
  $(error this checkout is in "$(CURDIR)": make cannot work in a folder with $(call bad_in,$(CURDIR)) in its path; move it)
endif

# Kernel and QEMU are built in the cache, by make. A relative one is meant from here.
ifneq ($(HINTBUF_CACHE),)
  ifeq ($(filter /%,$(HINTBUF_CACHE)),)
    override HINTBUF_CACHE := $(CURDIR)/$(HINTBUF_CACHE)
  endif
  export HINTBUF_CACHE
endif
cache_path = $(or $(HINTBUF_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hintbuf)
ifneq ($(call bad_in,$(cache_path)),)
  $(error the cache is "$(cache_path)": kernel and QEMU cannot be built in a folder with $(call bad_in,$(cache_path)) in its path; set HINTBUF_CACHE)
endif

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help
SHELL := /bin/sh

# Debian keeps bpftool and mkfs.erofs where a user's PATH may not look; one
# without the base tools gets these, too.
export PATH := $(PATH):/usr/sbin:/usr/bin:/sbin:/bin

V ?= 0
ifeq ($(V),0)
  Q := @
  say = @printf '  %-8s %s\n' '$(1)' '$(2)';
else ifeq ($(V),1)
  Q :=
  say =
else
  $(error V=$(V): allowed: 0 (one line a step) or 1 (full command lines))
endif
export V

# quote,TEXT: TEXT as one word of the shell, whatever is in it.
quote = '$(subst ','\'',$(1))'

# last_part,PATH: what is behind its last slash, with its blanks.
last_part = $(subst $(hash),$(space),$(notdir $(patsubst %/,%,$(subst $(space),$(hash),$(1)))))

# ---------------------------------------------------------------- manual

define manual
Does free-page hinting make a guest run out of memory it has, and does a
hinting buffer cure that? This measures it.

  make run WORKLOAD=memcached      build what is missing, run, report
  make report RESULTS=DIR          analyse the results in DIR anew
  make list                        workloads, arms, experiments
  make shell ARM=buffer            a guest of that arm on this terminal;
             CELL=DIR              ... of a cell of a results folder;
             WORKLOAD=none         ... without a workload's programs
  make debug ARM=buffer            the same, halted, for gdb; CELL=DIR: that cell
                                   with its workload, on its clock

Variables of run (the defaults are those of the experiment):
  WORKLOAD=NAME|PATH     a folder of workloads/, or your own folder with an
                         executable `run`
  EXPERIMENT=NAME        a file of experiments/ (the one named like the workload);
                         EXPERIMENT=delay varies ACK_DELAY, about 8 minutes;
                         EXPERIMENT=thread is the mails of 2019, sentence by
                         sentence, with a page of its own (docs/thread.md)
  PARAM="rate=400 threads=2"       parameters of the workload (make list)
  ARMS="none reporting buffer"     mechanisms to compare; ARMS=all: every one
  CONTROLS=with|without  whether the controls of an arm come along
  REPEATS=3              boots of each arm
  MEM=512M BUFFER=64M    memory sold to the guest; hinting buffer
  ACK_DELAY=200ms        time the modelled host takes to answer a batch;
                         200ms+1ms adds 1 ms a chunk
  CHECKPOINT=10s/2s      it answers nothing for 2 s in every 10 s
  STUCK_AFTER=20         it answers 20 batches and no more
  CLOCK=auto|virtual|real    guest time: instructions executed, or wall time
  ACCEL=auto|kvm|tcg     accelerator
  VCPUS=1 ORDER=9        virtual CPUs; smallest order hinted
  DELAY_MS=2000          guest's pause before a reporting pass
  CAPACITY=32            chunks in a batch, at most
  TIME_LIMIT=1800s       wall time a cell may take; HANG_LIMIT=180s without a
                         sign of life
  SEED=1                 of the workload and of the order of runs
  JOBS=N                 guests at once
  QUICK=0|1              one repeat of a shortened workload
  OUT=results/NAME       where the results go; finished cells there are kept
Exit status: 0 every cell is done, 1 a guest or workload failed, 2 wrong usage,
69 the machine failed (docs/runner.md).

Parts:
  make setup             install missing Debian packages (root or sudo)
  make kernel|qemu|image the patched kernel, the patched QEMU, the guest root
  make kernel-debug      the kernel with KASAN, lockdep and more, for tests
  make bpf|collectors    BPF programs; tracer, runner and guest tools
  make man               build/man/ and build/completion/: pages and completion of
                         hinttrace and hintrun
  make install           tracer, runner, unit, man pages, completion, documents:
                         DESTDIR= PREFIX=/usr/local; make uninstall
  make deb               build/deb/: the tracer as a Debian package
  make src-linux|src-qemu    a git tree with the patches as commits, under
                         build/src/, to edit them; then
  make patches           write both series anew from those trees
  make series-check      each patch: applies, checkpatch, builds without a new
                         warning; code with the buffer left out is the base's.
                         FULL=1: each boots, and QEMU's passes its tests

Tests:
  make check             seconds, no guest      make vm-check   in guests
  make test              both                   make fuzz       FUZZ_SECONDS=60
  make vm-check FAST=1   those in guests that take seconds
  make lint              style of every file; of C also clang-format's view of
                         the lines that changed since BASE=HEAD
  make format            what clang-format would change of these lines
  make compile_commands  build/compile_commands.json, for clangd and the like
  make soak              memory contents while 200 GiB are hinted, then the
                         buffer on machines of all shapes; QUICK=1: 5 GiB
                         (DEBUG=1: on the kernel of `make kernel-debug`)

  make crosscheck        what the tracer counts against oomkill, drsnoop, perf,
                         vmstat, dmesg and the balloon: a table; status 1 when
                         a difference has no reason (docs/crosscheck.md)

  make bench             what hinting costs the guest, and what watching it
                         costs: make run EXPERIMENT=bench with a page of its
                         own; ACCEL is that of the guests in real time

  make profile ARM=reporting       what the hint path spends its instructions
                         on: perf in the guest, flame graph, hottest functions;
                         ARM="reporting buffer" adds the difference. QUICK=1,
                         MEM and so on as for run; WORKLOAD=memcached profiles
                         that instead, PROFILE=hint|all the threads that report
                         or the whole guest (docs/profile.md)

  make clean             remove build/, keep cache and results
  make distclean         remove build/ and results/, keep the cache
  make cache-clean       remove what the cache has not used for DAYS=30

V=1 shows full commands. LINUX_TARBALL= and QEMU_TARBALL= replace the pinned
sources. HINTBUF_CACHE= moves the cache (about 5 GiB).
endef

.PHONY: help
help:
	$(info $(manual))
	@:

# ---------------------------------------------------------------- images

.PHONY: FORCE setup setup-test kernel qemu image
FORCE:

setup:
	@images/host/setup.sh

setup-test:
	@images/host/setup.sh test

# The scripts know best whether their product is current and take no time when
# it is. What depends on a product here depends on a stamp that changes only
# with the product's id.
define image_rule
build/stamp/$(1): FORCE | setup build/stamp
	@images/$(1)/build.sh
	@cmp -s build/$(1)/id $$@ || cp build/$(1)/id $$@
endef
$(foreach kind,kernel qemu rootfs,$(eval $(call image_rule,$(kind))))

.PHONY: kernel-debug
kernel-debug: | setup
	@images/kernel/build.sh debug

kernel: build/stamp/kernel
qemu: build/stamp/qemu
image: build/stamp/rootfs

# ---------------------------------------------------------------- C

CC := gcc
CLANG := clang
CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 -Wno-format-nonliteral -Wvla \
	-ffile-prefix-map=$(CURDIR)=. -Icollectors -Ibpf -Ibuild -D_FORTIFY_SOURCE=2
# What runs in a guest is static: the guest's C library need not be the host's.
# Its hash names cells, so nothing in it may tell in which folder it was built:
# a build id is a hash of debug information, too.
GUEST_LDFLAGS := -static -Wl,--build-id=none

# What is made from the description of the record; objects find out by
# themselves which of it they need, but only once it is there.
generated := build/gen/record_types.h build/gen/record_shapes.h
record_gen := collectors/run/record/gen.py collectors/run/record/describe.py \
	collectors/run/record/record.json

$(generated): build/gen/record_%.h: $(record_gen) | setup build/gen
	$(call say,GEN,$@)python3 -B $< $* >$@
build/gen/record.schema.json: $(record_gen) | setup build/gen
	$(call say,GEN,$@)python3 -B $< schema >$@
build/gen/record.md: $(record_gen) | setup build/gen
	$(call say,GEN,$@)python3 -B $< fields >$@

obj = $(patsubst %.c,build/obj/%.o,$(1))

common_src := $(wildcard collectors/common/*.c)
hinttrace_src := $(wildcard collectors/trace/*.c)
hintsay_src := collectors/guest/hintsay.c collectors/guest/artefact.c
hintrun_src := $(wildcard collectors/run/*.c collectors/run/*/*.c)

hinttrace_libs := -ljansson -lbpf -lelf -lz
hintsay_libs := -lm
hintrun_libs := -ljansson -lnettle -lm -pthread

guest_tools := hinttrace hintsay
bpf_names := hint swap allocfail sample
guest_files := $(guest_tools:%=build/guest/%) build/guest/init build/guest/room.sh \
	$(bpf_names:%=build/guest/bpf/%.bpf.o)

.PHONY: bpf collectors
bpf: $(bpf_names:%=build/bpf/%.bpf.o)
collectors: build/bin/hintrun payload

# What was built with other flags is built again: objects of two kinds of build
# would be a third kind, and give cells a hash that no checkout can repeat.
flags := $(CC) $(CFLAGS) $(GUEST_LDFLAGS)
build/stamp/flags: FORCE | build/stamp
	@printf '%s\n' $(call quote,$(flags)) | cmp -s - $@ || \
		printf '%s\n' $(call quote,$(flags)) >$@

build/obj/%.o: %.c build/stamp/flags | setup $(generated)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# An archive, so that each program takes only what it uses.
build/obj/libcommon.a: $(call obj,$(common_src))
	$(call say,AR,$@)rm -f $@ && ar rcD $@ $^

build/bin/hintrun: $(call obj,$(hintrun_src)) build/obj/libcommon.a | build/bin
	$(call say,LD,$@)$(CC) -o $@ $^ $(hintrun_libs)

# guest_rule,FOLDER,PROGRAM,SOURCES,LIBRARIES: a program for a guest. Debug
# information stays in build/obj: the payload is held in guest memory.
define guest_rule
build/obj/$(1)/$(2): $$(call obj,$(3)) build/obj/libcommon.a build/stamp/flags
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(GUEST_LDFLAGS) -o $$@ $$(filter-out build/stamp/flags,$$^) $(4)
build/$(1)/$(2): build/obj/$(1)/$(2)
	@mkdir -p $$(@D)
	$$(call say,STRIP,$$@)strip -o $$@ $$<

endef
$(foreach tool,$(guest_tools),$(eval $(call guest_rule,guest,$(tool),$($(tool)_src),$($(tool)_libs))))

build/guest/init: collectors/guest/init.sh | build/guest
	$(call say,COPY,$@)install -m 755 $< $@

build/guest/room.sh: collectors/guest/room.sh | build/guest
	$(call say,COPY,$@)install -m 644 $< $@

# ---------------------------------------------------------------- workloads

# A workload is one folder, workloads/NAME, with an executable `run`. If
# something must be built for it, its workload.mk says what, in variables only:
#   programs := PROGRAM ...      what the guest gets beside `run`
#   PROGRAM_src := FILE ...      C sources in the folder; PROGRAM.c if not given
#   PROGRAM_libs := -lm          libraries
#   files := FILE ...            further files of the folder for the guest
#   borrows := NAME/PROGRAM ...  programs that are built for another workload
# The guest gets these, as build/workloads/NAME, and nothing else of the folder.
# A folder without workload.mk goes into the guest as it is.
workload_names := $(patsubst workloads/%/workload.mk,%,$(wildcard workloads/*/workload.mk))
workload_files :=

# workload_file,NAME,FILE
define workload_file
build/workloads/$(1)/$(2): workloads/$(1)/$(2)
	@mkdir -p $$(@D)
	$$(call say,COPY,$$@)cp $$< $$@

endef
# workload_borrowed,NAME,OTHER/PROGRAM
define workload_borrowed
build/workloads/$(1)/$(notdir $(2)): build/workloads/$(2)
	@mkdir -p $$(@D)
	$$(Q)cp $$< $$@

endef
# workload_rules,NAME: of the workload whose variables are set
define workload_rules
$(foreach p,$(programs),$(call guest_rule,workloads/$(1),$(p),$(addprefix workloads/$(1)/,$(or $($(p)_src),$(p).c)),$($(p)_libs)))
$(foreach f,run $(files),$(call workload_file,$(1),$(f)))
$(foreach b,$(borrows),$(call workload_borrowed,$(1),$(b)))
workload_files += $(addprefix build/workloads/$(1)/,run $(programs) $(files) $(notdir $(borrows)))
endef
# The variables of one workload are not those of the next.
$(foreach w,$(workload_names),$(eval programs :=)$(eval files :=)$(eval borrows :=)\
  $(eval include workloads/$(w)/workload.mk)$(eval $(call workload_rules,$(w)))\
  $(foreach p,$(programs),$(eval undefine $(p)_src)$(eval undefine $(p)_libs)))

# Whatever lies in these folders goes into guests and into the hashes of cells:
# what an older build or another branch has left there must not.
payload_files := $(guest_files) $(workload_files)
stale_files = $(filter-out $(payload_files) build/guest/bpf \
	$(workload_names:%=build/workloads/%),$(wildcard build/guest/* build/guest/bpf/* \
	build/workloads/* build/workloads/*/*))
.PHONY: payload tidy
tidy:
	$(Q)$(if $(stale_files),rm -rf $(stale_files),:)
payload: $(payload_files) tidy

# ---------------------------------------------------------------- BPF

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Wextra \
	-Wno-unused-parameter -Wno-sign-compare -Ibuild/bpf -Ibpf -ffile-prefix-map=$(CURDIR)=.

build/bpf/vmlinux.h: build/stamp/kernel | build/bpf
	$(call say,BTF,$@)bpftool btf dump file build/kernel/vmlinux format c >$@

build/bpf/%.bpf.o: bpf/%.bpf.c build/bpf/vmlinux.h | build/bpf
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)llvm-strip -g $@

build/guest/bpf/%.bpf.o: build/bpf/%.bpf.o | build/guest/bpf
	$(Q)cp $< $@

build/gen build/stamp build/bin build/bpf build/guest build/guest/bpf build/tests build/log:
	@mkdir -p $@

# ---------------------------------------------------------------- install

# Both programs print their tables; man pages and completion are made of these.
man_gen := collectors/install/manual.py
man_pages := build/man/hinttrace.8 build/man/hintrun.1
completions := build/completion/hinttrace build/completion/hintrun

build/gen/hinttrace.table: build/guest/hinttrace | build/gen
	$(Q)$< --help=table >$@
build/gen/hintrun.table: build/bin/hintrun | build/gen
	$(Q)$< --help=table >$@

# man_rule,PAGE,PROGRAM
define man_rule
build/man/$(1): build/gen/$(2).table $(man_gen) collectors/install/$(1).in collectors/install/changelog
	@mkdir -p $$(@D)
	$$(call say,MAN,$$@)python3 -B $(man_gen) man $$< collectors/install/$(1).in collectors/install/changelog >$$@
build/completion/$(2): build/gen/$(2).table $(man_gen)
	@mkdir -p $$(@D)
	$$(call say,GEN,$$@)python3 -B $(man_gen) bash $$< >$$@
endef
$(eval $(call man_rule,hinttrace.8,hinttrace))
$(eval $(call man_rule,hintrun.1,hintrun))

PREFIX ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
UNITDIR ?= $(if $(filter /usr,$(PREFIX)),/lib,$(PREFIX)/lib)/systemd/system

# What is put where: MODE:FILE:FOLDER, the folder below DESTDIR.
installed_tracer := 755:build/guest/hinttrace:$(PREFIX)/sbin \
	$(bpf_names:%=644:build/guest/bpf/%.bpf.o:$(PREFIX)/lib/hinttrace/bpf) \
	644:build/man/hinttrace.8:$(PREFIX)/share/man/man8 \
	644:build/completion/hinttrace:$(PREFIX)/share/bash-completion/completions \
	$(patsubst %,644:docs/%.md:$(PREFIX)/share/doc/hinttrace,tracer screen report) \
	644:build/install/hinttrace.service:$(UNITDIR) \
	644:build/install/default/hinttrace:$(SYSCONFDIR)/default
installed_runner := 755:build/bin/hintrun:$(PREFIX)/bin \
	644:build/man/hintrun.1:$(PREFIX)/share/man/man1 \
	644:build/completion/hintrun:$(PREFIX)/share/bash-completion/completions

build/install/hinttrace.service: collectors/install/hinttrace.service.in FORCE
	@mkdir -p $(@D)
	@sed -e 's|@SBINDIR@|$(PREFIX)/sbin|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' $< >$@
build/install/default/hinttrace: collectors/install/hinttrace.default
	@mkdir -p $(@D)
	$(Q)cp $< $@

part = $(word $(1),$(subst :,$(space),$(2)))
install_one = install -D -m $(call part,1,$(1)) $(call part,2,$(1)) \
	$(call quote,$(DESTDIR)$(call part,3,$(1))/$(notdir $(call part,2,$(1)))) &&
uninstall_one = rm -f $(call quote,$(DESTDIR)$(call part,3,$(1))/$(notdir $(call part,2,$(1)))) &&

.PHONY: man install install-tracer install-runner uninstall deb
man: $(man_pages) $(completions)

install-tracer install-runner: install-%: man payload build/bin/hintrun \
		build/install/hinttrace.service build/install/default/hinttrace
	$(call say,INSTALL,$* below $(DESTDIR)$(PREFIX))$(foreach x,$(installed_$*),$(call install_one,$(x))) :
install: install-tracer install-runner

# Folders that are nobody else's go, too.
uninstall:
	$(call say,REMOVE,$(DESTDIR)$(PREFIX))$(foreach x,$(installed_tracer) $(installed_runner),$(call uninstall_one,$(x))) \
		for dir in lib/hinttrace/bpf lib/hinttrace share/doc/hinttrace; do \
			[ ! -d $(call quote,$(DESTDIR)$(PREFIX))/$$dir ] || rmdir $(call quote,$(DESTDIR)$(PREFIX))/$$dir; \
		done

# The package's name has version and architecture in it; build/deb/hinttrace.deb leads there.
deb: man payload
	$(Q)rm -rf build/deb && mkdir -p build/deb
	$(Q)$(MAKE) -s install-tracer DESTDIR=$(CURDIR)/build/deb/root PREFIX=/usr SYSCONFDIR=/etc UNITDIR=/lib/systemd/system
	$(Q)collectors/install/deb.sh build/deb/root build/deb
	$(Q)rm -rf build/deb/root && ln -s $$(cd build/deb && echo *.deb) build/deb/hinttrace.deb

# ---------------------------------------------------------------- run

python = $(shell images/host/python.sh numpy scipy matplotlib jinja2 || echo false)

# option,NAME,VARIABLE: --NAME VALUE when the variable is given.
option = $(if $(strip $($(2))),--$(1) $(call quote,$($(2))))
run_options = $(call option,workload,WORKLOAD) $(call option,experiment,EXPERIMENT) \
	$(call option,arms,ARMS) $(call option,controls,CONTROLS) \
	$(call option,repeats,REPEATS) $(call option,mem,MEM) \
	$(call option,buffer,BUFFER) $(call option,ack-delay,ACK_DELAY) \
	$(call option,checkpoint,CHECKPOINT) $(call option,stuck-after,STUCK_AFTER) \
	$(call option,clock,CLOCK) $(call option,accel,ACCEL) \
	$(call option,seed,SEED) $(call option,jobs,JOBS) $(call option,vcpus,VCPUS) \
	$(call option,order,ORDER) $(call option,delay-ms,DELAY_MS) \
	$(call option,capacity,CAPACITY) $(call option,time-limit,TIME_LIMIT) \
	$(call option,hang-limit,HANG_LIMIT) $(if $(filter 1,$(QUICK)),--quick) \
	$(foreach p,$(PARAM),--param $(call quote,$(p))) $(call option,out,OUT)
# Where the runner puts results when OUT is not given.
out = $(or $(OUT),results/$(or $(EXPERIMENT),$(call last_part,$(WORKLOAD))))

ifneq ($(filter-out 0 1,$(QUICK)),)
  $(error QUICK=$(QUICK): allowed: 0 or 1)
endif
ifneq ($(filter -%,$(firstword $(OUT))),)
  $(error OUT=$(OUT): begins with a dash; write OUT=./$(OUT))
endif
ifneq ($(filter run,$(MAKECMDGOALS)),)
  ifeq ($(strip $(WORKLOAD)$(EXPERIMENT)),)
    $(error WORKLOAD is missing: `make run WORKLOAD=memcached`; `make list` shows all)
  endif
endif
ifneq ($(filter run bench profile,$(MAKECMDGOALS)),)
  # Not where nothing is to be made.
  ifeq ($(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),)
    -load build/make/exit.so
  endif
endif

build/make/exit.so: images/host/exit.c | setup
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 -O2 -Wall -Wextra -fPIC -shared -o $@ $<

# What makes the pages of an experiment.
pages = $(if $(filter bench profile,$(EXPERIMENT)),$(EXPERIMENT),$(if $(is_profile),profile) report)

# make profile is make run with perf in the guest: of an experiment of its own, which
# does little but hint, or of what was asked for, whose sizes allow for perf.
ifneq ($(filter profile,$(MAKECMDGOALS)),)
  is_profile := 1
  ifneq ($(filter-out hint all,$(PROFILE)),)
    $(error PROFILE=$(PROFILE): allowed: hint or all)
  endif
  ifneq ($(ARM),)
    override ARMS := $(ARM)
  endif
  ifeq ($(strip $(WORKLOAD)$(EXPERIMENT)),)
    EXPERIMENT := profile
    override PARAM += $(PROFILE:%=profile=%)
  else
    OUT ?= results/profile-$(or $(EXPERIMENT),$(call last_part,$(WORKLOAD)))
    CONTROLS ?= without
    REPEATS ?= 1
    override PARAM += profile=$(or $(PROFILE),hint)
  endif
endif

.PHONY: run bench profile run-cells report list shell debug
everything := build/stamp/kernel build/stamp/qemu build/stamp/rootfs \
	build/bin/hintrun payload

# Status 1 of the runner is a failed cell: the report must show it.
.PHONY: check-run
check-run: build/bin/hintrun
	$(Q)build/bin/hintrun check $(run_options)

# First what was asked for: what is wrong with it is said before anything is built.
run-cells: check-run $(everything)
	$(Q)mkdir -p build/make; status=0; build/bin/hintrun run $(run_options) || status=$$?; \
	case $$status in \
	0) $(foreach page,$(pages),$(python) -m analysis $(page) $(call quote,$(out)) || status=$$?;) ;; \
	1) $(foreach page,$(pages),$(python) -m analysis $(page) $(call quote,$(out));) ;; \
	esac; \
	echo $$status >build/make/status.$$PPID

# The second half of the line is for a make that cannot load: its status is 2.
bench: override EXPERIMENT := bench
run bench profile: run-cells
	@$(exit-status build/make/status)file=build/make/status.$$PPID; \
	read -r status <$$file; rm -f $$file; exit $$status

report: | setup
	$(if $(strip $(RESULTS)),,$(error RESULTS is missing: `make report RESULTS=results/memcached`))
	$(Q)$(python) -m analysis report $(call quote,$(RESULTS))

list: build/bin/hintrun
	$(Q)build/bin/hintrun list

shell: $(everything)
	$(if $(strip $(ARM)$(CELL)),,$(error ARM is missing: `make shell ARM=buffer`, or CELL=DIR; `make list` shows all))
	$(Q)build/bin/hintrun shell $(call option,arm,ARM) $(call option,cell,CELL) \
		$(call option,workload,WORKLOAD)

debug: $(everything)
	$(if $(strip $(ARM)$(CELL)),,$(error ARM is missing: `make debug ARM=buffer`, or CELL=DIR; `make list` shows all))
	$(Q)build/bin/hintrun debug $(call option,arm,ARM) $(call option,cell,CELL)

# ---------------------------------------------------------------- patches

.PHONY: src-linux src-qemu patches
src-linux src-qemu: src-%: | setup
	@images/cache/tree.sh open $*

patches: | setup
	@images/cache/tree.sh export linux
	@images/cache/tree.sh export qemu

# What a reviewer would check of each patch; docs/series.md.
.PHONY: series-check
series-check: setup-test $(if $(filter 1,$(FULL)),$(everything))
	$(if $(filter-out 0 1,$(FULL)),$(error FULL=$(FULL): allowed: 0 or 1))
	$(Q)status=0; for name in linux qemu; do \
		kernel-patches/review/series.sh $$name $(if $(filter 1,$(FULL)),full) || status=$$?; \
	done; exit $$status

# ---------------------------------------------------------------- tests

unit_tests := $(patsubst tests/unit/%.c,build/tests/%,$(wildcard tests/unit/test_*.c))
fuzzers := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# A test names what it is made of: a comment line SOURCES, relative to the
# top, and one LIBS.
named_in = $(shell sed -n 's|^/\* $(2): *\(.*[^ ]\) *\*/$$|\1|p' $(1))

# test_objs,FILE,FOLDER: the objects of a test and of what it names.
test_objs = $(patsubst %.c,$(2)/%.o,$(1) $(call named_in,$(1),SOURCES))

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -U_FORTIFY_SOURCE

build/san/%.o: %.c | setup $(generated)
	@mkdir -p $(@D)
	$(call say,CC,$< (sanitized))$(CC) $(CFLAGS) $(SANITIZE) -Itests/unit -MMD -MP -c -o $@ $<

build/fuzz/obj/%.o: %.c | setup $(generated)
	@mkdir -p $(@D)
	$(call say,CLANG,$< (fuzzed))$(CLANG) $(CFLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link \
		-MMD -MP -c -o $@ $<

define unit_rule
build/tests/$(1): $$(call test_objs,tests/unit/$(1).c,build/san) | build/tests
	$$(call say,LD,$$@)$$(CC) $$(SANITIZE) -o $$@ $$^ $$(call named_in,tests/unit/$(1).c,LIBS)
endef
define fuzz_rule
build/fuzz/$(1): $$(call test_objs,tests/fuzz/$(1).c,build/fuzz/obj)
	$$(call say,LD,$$@)$$(CLANG) $$(SANITIZE) -fsanitize=fuzzer -o $$@ $$^ \
		$$(call named_in,tests/fuzz/$(1).c,LIBS)
endef
# Reading the comments costs a process each: only where a test may be built.
ifneq ($(filter check test fuzz build/tests/% build/fuzz/%,$(MAKECMDGOALS)),)
  $(foreach test,$(notdir $(unit_tests)),$(eval $(call unit_rule,$(test))))
  $(foreach test,$(notdir $(fuzzers)),$(eval $(call fuzz_rule,$(test))))
endif

.PHONY: check vm-check test fuzz
check: setup-test build/bin/hintrun build/make/exit.so $(unit_tests) $(guest_tools:%=build/guest/%) $(workload_files) | build/log
	$(Q)tests/run-tests check

# What the tests want from the archive; they reach nothing themselves, and skip
# what could not be had.
.PHONY: compat
compat: setup-test
	$(Q)python3 -B tests/vm/compat.py fetch || [ $$? -eq 69 ]

vm-check: setup-test compat deb $(everything) | build/log
	$(if $(filter-out 0 1,$(FAST)),$(error FAST=$(FAST): allowed: 0 or 1))
	$(Q)tests/run-tests $(if $(filter 1,$(FAST)),fast,vm)

test: setup-test compat deb $(everything) $(unit_tests) | build/log
	$(Q)tests/run-tests check vm

# Contents of memory under hinting, for hours; the shapes only in the long form.
.PHONY: soak
soak: setup-test $(everything) $(if $(filter 1,$(DEBUG)),kernel-debug)
	$(Q)export KERNEL=$(CURDIR)/build/kernel$(if $(filter 1,$(DEBUG)),-debug); \
	$(if $(filter 1,$(DEBUG)),export ROOM_MIB=512;) \
	python3 -B tests/vm/soak.py --gib $(if $(filter 1,$(QUICK)),5,200)$(if $(filter 1,$(QUICK)),, && FULL=1 tests/vm/matrix.sh)

# Two arms, two CPUs, three rounds; tests/vm/crosscheck.sh is the short form.
.PHONY: crosscheck
crosscheck: setup-test $(everything)
	$(Q)python3 -B tests/vm/crosscheck.py long

# Each fuzzer for its share of the time; what it finds stays in build/fuzz.
FUZZ_SECONDS ?= 60
fuzz: $(fuzzers)
	$(Q)for fuzzer in $(fuzzers); do \
		mkdir -p $$fuzzer.corpus && \
		$$fuzzer -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
			-print_final_stats=1 -artifact_prefix=$$fuzzer. $$fuzzer.corpus || exit; \
	done

# ---------------------------------------------------------------- style

.PHONY: lint format compile_commands
lint: setup-test
	$(Q)tests/lint --base=$(call quote,$(or $(BASE),HEAD))

# Changed lines only: what stands in columns by hand stays.
format: setup-test
	$(Q)git-clang-format --extensions c,h $(call quote,$(or $(BASE),HEAD))

# What make would run for every object, were none there.
compile_commands: | build/log
	$(call say,JSON,build/$@.json)$(MAKE) -nB V=1 collectors bpf check | sed -n -e 's/[\\"]/\\&/g' -e \
		's!^\($(CC)\|$(CLANG)\) .* -c .* \([^ ]*\.c\)$$!{"directory": "$(CURDIR)", "command": "&", "file": "\2"},!p' | \
		sed -e '1s/^/[/' -e '$$s/,$$/]/' >build/$@.json

# ---------------------------------------------------------------- clean

.PHONY: clean distclean cache-clean
clean:
	rm -rf build

distclean:
	rm -rf build results

cache-clean:
	@images/cache/cache.sh clean $(or $(DAYS),30)

-include $(shell find build/obj build/bpf build/san build/fuzz -name '*.d' 2>/dev/null)
