/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_SOCK_H
#define _ESPUDP_SOCK_H

#include <linux/netfilter.h>
#include <linux/workqueue.h>
#include <net/sock.h>

struct espudp_dev;
struct netlink_ext_ack;

/* Neither UDP_ENCAP_ESPINUDP (2) nor any other value that the kernel acts on. */
#define ESPUDP_ENCAP_TYPE 0x45

/**
 * struct espudp_sock - a UDP socket on which a device receives
 * @sk: held while attached
 * @adopted: somebody else's; else the module's own
 * @keep_marker: its owner reads IKE with the non-ESP marker
 * @v4: serves IPv4 outer packets
 * @v6: serves IPv6
 * @lost: owner closed it or undid the adoption
 * @hooks: see super-packets before UDP does
 *
 * Lives in the device's slots (one for each family, possibly the same socket
 * in both) and in sk_user_data. Freed after a grace period.
 */
struct espudp_sock {
	struct rcu_head rcu;
	struct sock *sk;
	struct espudp_dev *edev;
	bool adopted;
	bool keep_marker;
	bool v4;
	bool v6;
	bool lost;
	u16 port;
	u32 serial;
	struct nf_hook_ops hooks[2];
};

int espudp_sock_open(struct espudp_dev *edev, bool v4, bool v6, u16 port,
		     struct netlink_ext_ack *extack);
int espudp_sock_adopt(struct espudp_dev *edev, int fd, bool keep_marker,
		      struct netlink_ext_ack *extack);
void espudp_sock_detach_all(struct espudp_dev *edev);
void espudp_sock_check(struct work_struct *work);
bool espudp_sock_alive(const struct espudp_sock *es);

#endif
