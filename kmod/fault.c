// SPDX-License-Identifier: GPL-2.0
/* The datapath's own fault point; see fault.h. Debug builds only. */
#include "fault.h"

#if defined(ESPUDP_DEBUG) && defined(CONFIG_FAULT_INJECTION_DEBUG_FS)
#include <linux/debugfs.h>
#include <linux/fault-inject.h>

static DECLARE_FAULT_ATTR(fail_espudp);
static struct dentry *fault_dir;

/**
 * espudp_fault() - shall an allocation fail now?
 *
 * Return: true if so.
 */
bool espudp_fault(void)
{
	return should_fail(&fail_espudp, 1);
}

/**
 * espudp_fault_init() - make debugfs fail_espudp
 */
void espudp_fault_init(void)
{
	fail_espudp.verbose = 0;
	fault_dir = fault_create_debugfs_attr("fail_espudp", NULL, &fail_espudp);
}

/**
 * espudp_fault_exit() - remove it
 */
void espudp_fault_exit(void)
{
	debugfs_remove_recursive(fault_dir);
}
#endif
