# wghub. Goals for people: all check demo layers asan tsan fuzz bench format install clean deps.
# A new file in a layer's folder is found by itself; nothing here needs an edit for it.

PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
VERSION := 0.1.0
# Of the library's binary interface: dataplane/libwghub.map.
SOVERSION := 1

# VARIANT=asan|tsan|clang|fuzz|aarch64 builds everything again, instrumented, with the other compiler or
# for Arm, in a folder of its own.
VARIANT ?= release
# V=1 shows the commands.
Q := $(if $(V),,@)
CC := $(if $(filter clang fuzz,$(VARIANT)),clang,$(if $(filter default,$(origin CC)),gcc,$(CC)))
B := build/$(VARIANT)
OBJCOPY ?= objcopy
PKG_CONFIG ?= pkg-config
# For Arm on another machine: Debian's cross compiler, and its libraries in a folder of their own.
ARM_ROOT := build/arm-root
ifeq ($(VARIANT),aarch64)
CC := aarch64-linux-gnu-gcc --sysroot=$(ARM_ROOT)
LD := aarch64-linux-gnu-ld
AR := aarch64-linux-gnu-ar
OBJCOPY := aarch64-linux-gnu-objcopy
PKG_CONFIG := PKG_CONFIG_SYSROOT_DIR=$(ARM_ROOT) \
	PKG_CONFIG_LIBDIR=$(ARM_ROOT)/usr/lib/aarch64-linux-gnu/pkgconfig pkg-config
endif
ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))
# A build within a goal, in a make that sees what the goal has installed meanwhile.
BUILD = $(MAKE) --no-print-directory -j$(shell nproc)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
	-Wno-missing-field-initializers $(if $(WERROR),-Werror)
try = $(shell echo | $(CC) -Werror $(1) -x c -c - -o /dev/null 2>/dev/null && echo $(1))
HARDEN := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	$(call try,-fcf-protection) $(call try,-mbranch-protection=standard) $(call try,-ftrivial-auto-var-init=zero)
OPT_release := -O2 $(HARDEN)
OPT_clang := $(OPT_release)
OPT_aarch64 := $(OPT_release)
OPT_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan := -O1 -fsanitize=thread -fno-omit-frame-pointer
OPT_fuzz := -O1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer

PKGS := libsodium libuv libmnl liburcu-qsbr
CONTROL_PKGS := jansson libseccomp libcap-ng libqrencode
# Not linked: control/late_library.h. One test library asks servers, too.
LATE_PKGS := libcurl libmicrohttpd
X86 := $(filter x86_64,$(ARCH))
HAVE_IPSEC_MB := $(if $(X86),$(if $(wildcard /usr/include/intel-ipsec-mb.h),1))

CPPFLAGS := $(CPPFLAGS) -D_GNU_SOURCE -DWGHUB_VERSION='"$(VERSION)"' -I. -Idataplane -Idataplane/include \
	$(if $(HAVE_IPSEC_MB),-DHAVE_IPSEC_MB) \
	$(if $(X86),-DHAVE_AEAD_AVX512 -DHAVE_AEAD_AVX2) $(if $(filter aarch64,$(ARCH)),-DHAVE_AEAD_NEON) \
	$(shell $(PKG_CONFIG) --cflags $(PKGS) $(CONTROL_PKGS) $(LATE_PKGS) 2>/dev/null)
CFLAGS ?= -g
ALL_CFLAGS = -std=gnu11 $(OPT_$(VARIANT)) -fPIC -fvisibility=hidden -pthread $(WARN) $(CFLAGS)
CONTROL_LIBS := $(shell $(PKG_CONFIG) --libs $(CONTROL_PKGS) 2>/dev/null) -lm
TEST_LIBS := -lcmocka -lcurl
LDLIBS := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) $(if $(HAVE_IPSEC_MB),-lIPSec_MB) -pthread
ALL_LDFLAGS = $(OPT_$(VARIANT)) -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS)

# ---- sources by layer ----

CRYPTO  := $(wildcard crypto/*.c)
CORE    := $(wildcard dataplane/core/*.c)
IO      := $(wildcard dataplane/io/*.c)
CONTROL := $(wildcard control/*.c)
CLI     := $(wildcard control/cli/*.c)
TESTLIB := $(wildcard tests/lib/*.c)
UNIT    := $(wildcard tests/crypto/test_*.c tests/core/test_*.c tests/io/test_*.c \
	tests/control/test_*.c tests/sim/test_*.c)
TOOLS   := $(wildcard tests/interop/*.c tests/demo/*.c)
FUZZ    := $(wildcard tests/fuzz/fuzz_*.c)
BENCH   := $(wildcard bench/*.c)
BENCHLIB := $(wildcard bench/lib/*.c)

obj = $(patsubst %.c,$(B)/%.o,$(1))
LIB_OBJS := $(call obj,$(CRYPTO) $(CORE) $(IO))
CONTROL_OBJS := $(call obj,$(CONTROL))
CLI_OBJS := $(call obj,$(CLI))
UNIT_BINS := $(patsubst %.c,$(B)/%,$(UNIT) $(TOOLS))
FUZZ_BINS := $(patsubst %.c,$(B)/%,$(FUZZ))
BENCH_BINS := $(patsubst %.c,$(B)/%,$(BENCH))

.DELETE_ON_ERROR:
.PHONY: all units benches
all: $(B)/wghub $(B)/libwghub.a $(B)/libwghub.so
ifeq ($(VARIANT),release)
	@ln -sf $(B)/wghub wghub
endif

# The program sees of the library what any other program sees; crypto/ it has besides.
$(B)/wghub: $(CLI_OBJS) $(CONTROL_OBJS) $(B)/libwghub.a $(B)/crypto.a
	@echo "ld $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -pie -o $@ $^ $(CONTROL_LIBS) $(LDLIBS)

# One object in which only the symbols of the public headers are left for others to see.
$(B)/libwghub.a: $(LIB_OBJS)
	@echo "ld $@"
	@rm -f $@
	$(Q)$(LD) -r -o $(B)/libwghub.o $^
	$(Q)$(OBJCOPY) --localize-hidden $(B)/libwghub.o
	$(Q)$(AR) rcs $@ $(B)/libwghub.o

# dataplane/libwghub.map says what the number promises.
$(B)/libwghub.so: $(LIB_OBJS) dataplane/libwghub.map
	@echo "ld $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libwghub.so.$(SOVERSION) \
		-Wl,--version-script=dataplane/libwghub.map -o $@ $(LIB_OBJS) $(LDLIBS)

# For the tests and benchmarks, which look inside.
$(B)/internal.a: $(LIB_OBJS)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/crypto.a: $(call obj,$(CRYPTO))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# The vector back ends choose their own instruction set; the rest stays portable.
ifneq ($(X86),)
$(B)/crypto/aead_avx512.o: ALL_CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512ifma -mbmi2
$(B)/crypto/aead_avx2.o: ALL_CFLAGS += -mavx2 -mbmi2
endif

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "cc $(VARIANT) $<"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# This one lets each allocation of our own code fail in turn.
$(B)/tests/core/test_alloc: ALL_LDFLAGS += $(foreach f,malloc calloc realloc aligned_alloc free \
	secret_alloc,-Wl,--wrap=$(f))
# And this one counts them.
$(B)/tests/core/test_budget: ALL_LDFLAGS += $(foreach f,malloc calloc realloc aligned_alloc free \
	secret_alloc secret_free,-Wl,--wrap=$(f))
# And here the control side may be faster than the worker that told it something.
$(B)/tests/core/test_worker: ALL_LDFLAGS += -Wl,--wrap=ring_push

# These count what the device is given.
$(B)/tests/control/test_factory_poll $(B)/tests/control/test_factory_trouble: ALL_LDFLAGS += -Wl,--wrap=wgh_device_apply

# And this one sets the clock wrong.
$(B)/tests/control/test_factory_tokens: ALL_LDFLAGS += -Wl,--wrap=clock_gettime

# A unit test links everything but the program's main().
$(B)/tests/%: $(B)/tests/%.o $(call obj,$(TESTLIB)) $(CONTROL_OBJS) $(B)/internal.a
	@echo "ld $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS) $(CONTROL_LIBS) $(LDLIBS)

# A fuzz target: with libFuzzer's main() in build/fuzz, else with one that replays files.
ifeq ($(VARIANT),fuzz)
FUZZ_MAIN := -fsanitize=fuzzer
else
FUZZ_MAIN := $(B)/tests/fuzz/replay_main.o
endif
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay_main.o $(call obj,$(TESTLIB)) \
		$(CONTROL_OBJS) $(B)/internal.a
	@echo "ld $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter-out %/replay_main.o,$(filter %.o,$^)) $(FUZZ_MAIN) \
		$(filter %.a,$^) $(TEST_LIBS) $(CONTROL_LIBS) $(LDLIBS)

# Programs that the demonstration and the interoperation tests start.
$(B)/tests/demo/%: $(B)/tests/demo/%.o $(B)/internal.a
	@echo "ld $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/tests/interop/%: $(B)/tests/interop/%.o
	@echo "ld $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# These run the program itself.
$(B)/tests/control/test_cli $(B)/tests/control/test_cli_hub: | $(B)/wghub

$(B)/bench/%: $(B)/bench/%.o $(call obj,$(BENCHLIB)) $(B)/internal.a
	@echo "ld $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) -lm

.PHONY: demo deps
# On a fresh machine this is the first command: it installs what is missing, builds and shows. The
# build runs in a make of its own, which sees what was installed.
demo:
	@tests/deps.sh demo
	@echo "building wghub"
	@$(BUILD) -s all $(B)/tests/demo/peer
	@tests/demo/demo.sh

deps:
	@tests/deps.sh check

.PHONY: check asan tsan compilers
# Everything, as CI runs it: both compilers without a warning, then layers, unit tests, fuzz targets and real peers, and
# the tests again under the sanitizers: addresses and undefined behaviour for all, threads for what has some.
check:
	@tests/deps.sh check
	@$(MAKE) --no-print-directory compilers
	@$(BUILD) VARIANT=fuzz fuzzers
	@$(BUILD) VARIANT=asan all units
	@$(BUILD) VARIANT=tsan all units
	@tests/run.sh layers manual units count library fuzz units:asan units:tsan interop factory reach

compilers:
	@$(BUILD) WERROR=1 VARIANT=release all units benches
	@$(BUILD) WERROR=1 VARIANT=clang all units benches

# The unit tests, simulations and real peers against an instrumented hub.
asan:
	@$(BUILD) VARIANT=asan all units
	@tests/run.sh units:asan interop:asan

tsan:
	@$(BUILD) VARIANT=tsan all units
	@tests/run.sh units:tsan interop:tsan

# Built for Arm and its unit tests run by qemu-user, wherever it runs; fetches 30 MB of libraries once.
.PHONY: check-aarch64
check-aarch64:
	@tests/deps.sh arm
	@tests/arm_root.sh $(ARM_ROOT)
	@$(BUILD) WERROR=1 VARIANT=aarch64 all units
	@tests/run.sh units:aarch64

.PHONY: layers fuzz fuzzers
# Who includes what, and what the core calls; needs objects to look at.
layers: $(B)/wghub
	@CC=$(CC) tests/layers.sh $(B)

# Each target for FUZZ_SECONDS, from the corpus in tests/fuzz/corpus; check takes 5.
fuzz:
	@tests/deps.sh check
	@$(BUILD) VARIANT=fuzz fuzzers
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_SEED=$${FUZZ_SEED:-0} tests/run.sh fuzz

.PHONY: bench
# About 9 minutes, on an idle machine of two cores or more, as root: bench/README.md. Results are in
# bench/out/ too.
bench:
	@tests/deps.sh demo
	@echo "building"
	@$(BUILD) -s all benches
	@bench/run-all.sh

units: $(UNIT_BINS)
fuzzers: $(FUZZ_BINS)
benches: $(BENCH_BINS)

-include $(shell find build -path build/debian -prune -o -path $(ARM_ROOT) -prune -o -type f -name '*.d' -print 2>/dev/null)
.SECONDARY:

# Without scdoc there is no manual, and all else.
MANUAL := $(if $(shell command -v scdoc),$(patsubst packaging/man/%.scd,build/man/%,$(wildcard packaging/man/*.scd)))

.PHONY: man deb check-deb
man: $(MANUAL)

build/man/%: packaging/man/%.scd
	@mkdir -p $(@D)
	scdoc <$< >$@

# Debian packages in build/deb, from what git knows of; lintian's errors are errors.
deb:
	@tests/deps.sh deb
	@packaging/deb.sh $(VERSION)

# They are installed, used, upgraded and purged in a Debian 12 of their own.
check-deb: deb all $(B)/tests/package/unit
	@tests/package/deb.sh

.PHONY: install clean format
install: all man
	for page in $(notdir $(MANUAL)); do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} build/man/$$page || exit; done
	install -D -m 644 packaging/wghub.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/wghub
	install -D -m 644 -t $(DESTDIR)$(UNITDIR) packaging/wghub*@.service packaging/wghub@.socket
	install -D -m 755 $(B)/wghub $(DESTDIR)$(PREFIX)/bin/wghub
	install -D -m 644 $(B)/libwghub.a $(DESTDIR)$(LIBDIR)/libwghub.a
	install -D -m 755 $(B)/libwghub.so $(DESTDIR)$(LIBDIR)/libwghub.so.$(SOVERSION)
	ln -sf libwghub.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libwghub.so
	@mkdir -p $(DESTDIR)$(LIBDIR)/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@REQUIRES@|$(PKGS)|' \
		-e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
		-e 's|@LIBS@|$(if $(HAVE_IPSEC_MB),-lIPSec_MB) -pthread|' dataplane/wghub.pc.in \
		>$(DESTDIR)$(LIBDIR)/pkgconfig/wghub.pc
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include dataplane/include/wghub.h \
		dataplane/include/wghub_device.h dataplane/include/wghub_policy.h dataplane/include/wghub_bench.h

clean:
	rm -rf build wghub

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')
