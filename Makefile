# SPDX-License-Identifier: GPL-2.0
#
# "make help" lists the targets.

VERSION := $(shell cat VERSION)
CACHE := $(or $(ESPUDP_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/espudp)
PREFIX ?= /usr/local
BUILD ?= build

ifneq ($(V),1)
Q := @
MAKEFLAGS += --no-print-directory
endif

# The kernel to build for: KDIR; or KVER, a release or one of the cached kernels
# 6.1, 6.12 and debug; or the running kernel; or the newest there are headers of, which
# is one of the cache only where no other is.
newest = $(patsubst %/.,%,$(lastword $(shell ls -d $(1:%=%/.) 2>/dev/null | sort -V)))
named := $(KVER)$(KDIR)
cached := $(filter 6.1 6.12 debug,$(KVER))
ifneq ($(cached),)
KDIR ?= $(CACHE)/kernels/$(cached)/build
else ifneq ($(KVER),)
KDIR ?= /lib/modules/$(KVER)/build
else
KDIR ?= $(or $(wildcard /lib/modules/$(shell uname -r)/build),$\
	$(call newest,/lib/modules/*/build),$(call newest,$(CACHE)/kernels/6.*/build))
endif

# Sets $release and the folder $out in a recipe.
debug := $(filter 1,$(DEBUG))
of_kernel = release=$$(sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' \
	"$(KDIR)/include/generated/utsrelease.h" 2>/dev/null); [ -n "$$release" ] || { \
	echo "no kernel headers in '$(KDIR)': set KVER or KDIR" >&2; exit 1; }; \
	out=$(BUILD)/$$release$(debug:%=-debug)

# What a kernel for testing is there for: a debug build of the module.
for_tests = $(Q)$(MAKE) module KVER=$(1) DEBUG=1

helpers := $(patsubst selftests/helpers/%.c,$(BUILD)/helpers/%,$(wildcard selftests/helpers/*.c))
source := Kbuild VERSION kmod uapi
dkms_tree = $(DESTDIR)/usr/src/espudp-$(VERSION)
dkms_hooks = $(addprefix $(DESTDIR)/etc/kernel/,postinst.d/espudp header_postinst.d/espudp)

all: module tool ## the module and the tool

# Built on a farm of links, so that objects for several kernels live side by side.
module: $(cached:%=kernel-%) ## the module, in build/<release>/ (DEBUG=1: build/<release>-debug/)
	$(Q)$(of_kernel); mkdir -p $$out && find $$out -xtype l -delete && \
	cp -rsf $(addprefix $(CURDIR)/,$(source)) $$out && \
	$(MAKE) -C "$(KDIR)" M="$$(realpath $$out)" $(if $(debug),ESPUDP_DEBUG=y) modules && \
	echo "module: $$out/espudp.ko"

$(cached:%=kernel-%): kernel-%:
	$(Q)selftests/vm/kernel --cached $* >/dev/null

tool: ## the tool, in build/tools/
	$(Q)$(MAKE) -C tools O=$(abspath $(BUILD))/tools
	@echo "tool: $(BUILD)/tools/espudp"

strongswan-plugin: ## the backend for strongSwan, in build/strongswan/ (STRONGSWAN_SRC=)
	$(Q)src=$$(tools/strongswan/source "$(CACHE)" $(STRONGSWAN_SRC)) && \
	$(MAKE) -C tools/strongswan SRC="$$src" O=$(abspath $(BUILD))/strongswan all check-release
	@echo "plugin: $(BUILD)/strongswan/libstrongswan-kernel-espudp.so"

strongswan-install: strongswan-plugin ## put it where charon looks (DESTDIR, PLUGINDIR, CONFDIR)
	$(Q)src=$$(tools/strongswan/source "$(CACHE)" $(STRONGSWAN_SRC)) && \
	$(MAKE) -C tools/strongswan SRC="$$src" O=$(abspath $(BUILD))/strongswan install

strongswan-uninstall: ## remove it; its configuration stays
	$(Q)$(MAKE) -C tools/strongswan O=$(abspath $(BUILD))/strongswan uninstall

helpers: $(helpers)

$(BUILD)/helpers/%: selftests/helpers/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -Wall -Wextra -pthread -o $@ $<

prepare: ## install the tools that tests need, unpack kernels into the cache
	$(Q)selftests/vm/host
	$(Q)selftests/vm/libreswan >/dev/null
	$(Q)selftests/vm/qemu >/dev/null || :
	$(Q)for kernel in 6.1 6.12; do selftests/vm/kernel $$kernel >/dev/null || exit; done

demo: prepare tool helpers strongswan-plugin ## client, NAT and gateway: traffic through a tunnel, shown
	$(call for_tests,6.12)
	$(Q)selftests/vm/run --kernel 6.12 --timeout 400 -- selftests/demo.sh

check: prepare tool helpers strongswan-plugin ## all tests on 6.12, a sample on 6.1 (KERNEL=, TESTS=, V=1; FULL=1: all)
	$(call for_tests,6.1)
	$(call for_tests,6.12)
	$(Q)$(MAKE) -C tools O=$(abspath $(BUILD))/tools check
	$(Q)selftests/run

check-debug: prepare tool helpers strongswan-plugin ## all tests on the debug kernel (TIER=short)
	$(Q)selftests/vm/kernel debug >/dev/null
	$(call for_tests,debug)
	$(Q)KERNEL=debug selftests/run

bench: prepare tool helpers ## compare with plain TCP, xfrm and WireGuard
	$(Q)selftests/bench/bench.sh

bench-native: tool helpers ## the same on this machine, as root: 9 rounds, real time
	$(Q)MODES=native selftests/bench/bench.sh

lint: prepare ## static checks of all that is here
	$(Q)selftests/lint

install: install-for all install-tool ## the module and the tool (DESTDIR, PREFIX=/usr/local)
	$(Q)$(of_kernel); \
	install -D -m 644 $$out/espudp.ko $(DESTDIR)/lib/modules/$$release/updates/espudp.ko
ifeq ($(DESTDIR),)
	$(Q)$(of_kernel); depmod $$release
endif

# A module that the running kernel never finds is for who asks for it.
install-for:
ifeq ($(DESTDIR)$(named),)
	$(Q)$(of_kernel); running=$$(uname -r); [ "$$release" = "$$running" ] || { \
		echo "the running kernel is $$running, of which there are no headers; those found" \
			"are of $$release: install linux-headers-$$running, or say" \
			"KVER=$$release if that is meant" >&2; exit 1; }
endif

install-tool: tool ## the tool alone, where DKMS builds the module
	$(Q)$(MAKE) -C tools O=$(abspath $(BUILD))/tools PREFIX=$(PREFIX) install

uninstall: uninstall-tool ## remove them, the module for every kernel
	$(Q)for module in $(DESTDIR)/lib/modules/*/updates/espudp.ko; do \
		[ -e "$$module" ] || continue; \
		updates=$${module%/*} kernel=$${module%/updates/*}; \
		rm -f "$$module" && rmdir --ignore-fail-on-non-empty "$$updates" || exit; \
		[ -n "$(DESTDIR)" ] || [ ! -e "$$kernel/modules.dep" ] || \
			depmod "$${kernel##*/}" || exit; \
	done

uninstall-tool: ## remove the tool alone
	$(Q)$(MAKE) -C tools O=$(abspath $(BUILD))/tools PREFIX=$(PREFIX) uninstall

dkms-install: dkms-uninstall ## the module by DKMS, for this (or KVER) and later kernels (DESTDIR)
	$(Q)mkdir -p $(dkms_tree)
	$(Q)cp -r $(source) $(dkms_tree)
	$(Q)sed 's/@VERSION@/$(VERSION)/' dkms.conf >$(dkms_tree)/dkms.conf
	$(Q)for hook in $(dkms_hooks); do install -D -m 755 dkms.hook $$hook || exit; done
ifeq ($(DESTDIR),)
	$(Q)dkms install -m espudp -v $(VERSION) $(KVER:%=-k %)
endif

# Every version that is there. A tree with a Makefile is not what dkms-install made.
dkms-uninstall: ## remove it, older versions as well
ifeq ($(DESTDIR),)
	$(Q)for version in $$(dkms status -m espudp | \
			sed -n 's/^espudp[/,] *\([^,: ]*\)[,:].*/\1/p' | sort -u); do \
		dkms remove -m espudp -v "$$version" --all || exit; \
	done
	$(Q)for conf in /usr/src/espudp-*/dkms.conf; do \
		[ ! -e "$$conf" ] || [ -e "$${conf%/*}/Makefile" ] || rm -rf "$${conf%/*}" || exit; \
	done
else
	$(Q)rm -rf $(dkms_tree)
endif
	$(Q)rm -f $(dkms_hooks)

clean: ## remove build/
	$(Q)rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 21 | sed 's/^/  /'
	@echo
	@echo "  KVER=RELEASE|6.1|6.12|debug or KDIR=DIR  the kernel to build for [the running one]"
	@echo "  STRONGSWAN_SRC=DIR                       strongSwan's source, configured in place; without"
	@echo "                                           it apt-get installs and downloads what is needed"
	@echo "  PLUGINDIR=DIR CONFDIR=DIR                where strongswan-install puts things; set both"
	@echo "                                           when packaging"
	@echo "  DEBUG=1  W=1  C=1|2  V=1                 debug build, warnings, sparse, commands"
	@echo "  ESPUDP_CACHE=DIR                         kernels and sources [~/.cache/espudp]"

.PHONY: all module $(cached:%=kernel-%) tool helpers prepare demo check check-debug \
	bench bench-native lint strongswan-plugin strongswan-install strongswan-uninstall \
	install install-for install-tool uninstall uninstall-tool \
	dkms-install dkms-uninstall clean help
