/* SPDX-License-Identifier: GPL-2.0 */
/* A fault point for the datapath's allocations: /proc/<pid>/fail-nth does not
 * reach softirqs. In debug builds, debugfs fail_espudp makes them fail.
 */
#ifndef _ESPUDP_FAULT_H
#define _ESPUDP_FAULT_H

#include <linux/types.h>

#if defined(ESPUDP_DEBUG) && defined(CONFIG_FAULT_INJECTION_DEBUG_FS)
bool espudp_fault(void);
void espudp_fault_init(void);
void espudp_fault_exit(void);
#else
static inline bool espudp_fault(void)
{
	return false;
}

static inline void espudp_fault_init(void)
{
}

static inline void espudp_fault_exit(void)
{
}
#endif

#endif
