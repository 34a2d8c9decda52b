// SPDX-License-Identifier: GPL-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <link.h>

#include <daemon.h>

#include "ipsec.h"

#define EXPORT __attribute__((visibility("default")))

/* What newer releases of charon look at before they run anything of ours. */
EXPORT const char *kernel_espudp_plugin_version = VERSION;

METHOD(plugin_t, get_name, char *, plugin_t *this)
{
	return "kernel-espudp";
}

METHOD(plugin_t, get_features, int, plugin_t *this,
       plugin_feature_t *features[])
{
	static plugin_feature_t f[] = {
		PLUGIN_CALLBACK(kernel_ipsec_register,
				kernel_espudp_ipsec_create),
		PLUGIN_PROVIDE(CUSTOM, "kernel-ipsec"),
	};

	*features = f;
	return countof(f);
}

METHOD(plugin_t, destroy, void, plugin_t *this)
{
	free(this);
}

/* Is this a string of its own, or the end of "... strongSwan 5.9.8"? */
static bool has_version(const char *from, size_t len)
{
	const char *found, *end = from + len;

	while ((found = memmem(from, end - from, VERSION, strlen(VERSION)))) {
		from = found + strlen(VERSION);
		if (!strchr("0123456789.", found[-1] ?: ' ') &&
		    (from == end || !strchr("0123456789.", *from ?: ' ')))
			return TRUE;
	}
	return FALSE;
}

/* Every daemon of strongSwan's says in its own program which release it is. */
static int look(struct dl_phdr_info *info, size_t size, void *data)
{
	bool *same = data;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_R &&
		    p->p_filesz > 1 &&
		    has_version((const char *)info->dlpi_addr + p->p_vaddr + 1,
				p->p_filesz - 1))
			*same = TRUE;
	}
	return 1; /* the program comes first */
}

/* What follows depends on the structures of a release, and on whether it was
 * configured with mediation.
 */
static bool fits(void)
{
	bool same = FALSE,
	     mediation = dlsym(RTLD_DEFAULT, "mediation_manager_create") !=
			 NULL;

	dl_iterate_phdr(look, &same);
#ifdef ME
	return same && mediation;
#else
	return same && !mediation;
#endif
}

EXPORT plugin_t *kernel_espudp_plugin_create(void)
{
	plugin_t *this;

	if (!fits()) {
		DBG1(DBG_LIB,
		     "plugin 'kernel-espudp' was built for strongSwan " VERSION
		     ", this is another: `make strongswan-plugin' builds it anew");
		return NULL;
	}
	if (!lib->caps->keep(lib->caps, CAP_NET_ADMIN)) {
		DBG1(DBG_KNL, "espudp: CAP_NET_ADMIN is needed");
		return NULL;
	}
	INIT(this, .get_name = _get_name, .get_features = _get_features,
	     .destroy = _destroy);
	return this;
}
