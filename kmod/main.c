// SPDX-License-Identifier: GPL-2.0
/* espudp: ESP in UDP (RFC 3948) for IPsec gateways. */
#include <linux/module.h>
#include "aead.h"
#include "dev.h"
#include "esp.h"
#include "fault.h"
#include "mem.h"
#include "netlink.h"
#include "replay.h"
#include "rx.h"
#include "select.h"
#include "spread.h"
#include "tx.h"

#ifdef ESPUDP_DEBUG
static bool selftest;
module_param(selftest, bool, 0);
MODULE_PARM_DESC(selftest, "Do not load if arithmetic or ciphers go wrong (a debug build's)");

static bool __init works(void)
{
	return !selftest || (espudp_replay_selftest() && espudp_select_selftest() &&
			     espudp_esp_selftest());
}
#else
static bool __init works(void)
{
	return true;
}
#endif

static void free_spares(void)
{
	espudp_rx_exit();
	espudp_tx_exit();
	espudp_aead_module_exit();
	espudp_mem_exit();
}

static int __init espudp_init(void)
{
	int err;

	err = -ENOTRECOVERABLE;
	if (!works())
		goto free;
	espudp_fault_init();
	err = espudp_spread_init();
	if (err)
		goto exit_fault;
	err = espudp_dev_init();
	if (err)
		goto exit_spread;
	err = espudp_netlink_init();
	if (err)
		goto exit_dev;
	pr_info("espudp: " ESPUDP_VERSION " loaded\n");
	return 0;

exit_dev:
	espudp_dev_exit();
exit_spread:
	espudp_spread_exit();
exit_fault:
	espudp_fault_exit();
free:
	free_spares();
	return err;
}

static void __exit espudp_exit(void)
{
	/* Devices may send events until the last one is gone. */
	espudp_dev_exit();
	espudp_netlink_exit();
	espudp_spread_exit();
	espudp_fault_exit();
	free_spares();
	pr_info("espudp: unloaded\n");
}

module_init(espudp_init);
module_exit(espudp_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("ESP in UDP (IPsec NAT traversal) datapath");
MODULE_VERSION(ESPUDP_VERSION);
MODULE_ALIAS_RTNL_LINK("espudp");
MODULE_ALIAS_GENL_FAMILY("espudp");
