# SPDX-License-Identifier: GPL-2.0
#
# "make help" lists the targets.

VERSION := $(shell cat VERSION)
CACHE := $(or $(ESPUDP_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/espudp)
PREFIX ?= /usr/local

ifneq ($(V),1)
Q := @
MAKEFLAGS += --no-print-directory
endif

# The kernel to build for: KDIR; or KVER, a release or one of the cached kernels
# 6.1, 6.12 and debug; or the running kernel; or the newest there are headers of.
cached := $(filter 6.1 6.12 debug,$(KVER))
ifneq ($(cached),)
KDIR ?= $(CACHE)/kernels/$(cached)/build
else ifneq ($(KVER),)
KDIR ?= /lib/modules/$(KVER)/build
else
KDIR ?= $(or $(wildcard /lib/modules/$(shell uname -r)/build),$\
	$(lastword $(shell ls -d /lib/modules/*/build $(CACHE)/kernels/6.*/build \
		2>/dev/null | sort -V)))
endif

# Sets $release and the folder $out in a recipe.
debug := $(filter 1,$(DEBUG))
of_kernel = release=$$(sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' \
	"$(KDIR)/include/generated/utsrelease.h" 2>/dev/null); [ -n "$$release" ] || { \
	echo "no kernel headers in '$(KDIR)': set KVER or KDIR" >&2; exit 1; }; \
	out=build/$$release$(debug:%=-debug)

.PHONY: all
all: module tool

# Built on a farm of links, so that objects for several kernels live side by side.
.PHONY: module
module: $(cached:%=kernel-%)
	$(Q)$(of_kernel); mkdir -p $$out && find $$out -xtype l -delete && \
	cp -rsf $(addprefix $(CURDIR)/,Kbuild VERSION kmod uapi) $$out && \
	$(MAKE) -C "$(KDIR)" M="$(CURDIR)/$$out" $(if $(debug),ESPUDP_DEBUG=y) modules && \
	echo "module: $$out/espudp.ko"

.PHONY: kernel-%
kernel-%:
	$(Q)selftests/vm/kernel --cached $* >/dev/null

.PHONY: tool
tool:
	$(Q)$(MAKE) -C tools O=$(CURDIR)/build/tools
	@echo "tool: build/tools/espudp"
