// SPDX-License-Identifier: GPL-2.0
/* The netdevice: creation, up and down, teardown, namespaces. */
#include <linux/if_arp.h>
#include <linux/module.h>
#include <net/addrconf.h>
#include <net/ip_tunnels.h>
#include <net/net_namespace.h>
#include <net/rtnetlink.h>
#include "aead.h"
#include "dev.h"
#include "hold.h"
#include "peer.h"
#include "queue.h"
#include "rx.h"
#include "sa.h"
#include "sock.h"
#include "tx.h"

struct workqueue_struct *espudp_wq;

static LIST_HEAD(devices);	/* RTNL */

/**
 * espudp_dev_serial() - number for created/destroyed lines
 *
 * Return: a number that no object has had.
 */
u32 espudp_dev_serial(void)
{
	static atomic_t serial;

	return atomic_inc_return(&serial);
}

/**
 * espudp_dev_from() - our part of a netdevice
 * @dev: any netdevice
 *
 * Return: our device, or NULL if it is not one.
 */
struct espudp_dev *espudp_dev_from(struct net_device *dev)
{
	return dev->netdev_ops == &espudp_netdev_ops ? netdev_priv(dev) : NULL;
}

/**
 * espudp_dev_flush() - delete SAs, or peers and SAs
 * @edev: device, locked
 * @peers: peers as well
 */
void espudp_dev_flush(struct espudp_dev *edev, bool peers)
{
	struct espudp_peer *peer;
	struct espudp_sa *sa, *tmp;
	unsigned long id;

	lockdep_assert_held(&edev->lock);
	xa_for_each(&edev->peers, id, peer) {
		if (peers) {
			espudp_peer_kill(peer);
			continue;
		}
		list_for_each_entry_safe(sa, tmp, &peer->sas, list)
			espudp_sa_kill(sa);
	}
	list_for_each_entry_safe(sa, tmp, &edev->reserved, list)
		espudp_sa_kill(sa);
}

/**
 * espudp_dev_reset_routes() - forget cached routes of all peers
 * @edev: device, locked; its socket, mark or bound device has changed
 */
void espudp_dev_reset_routes(struct espudp_dev *edev)
{
	struct espudp_peer *peer;
	unsigned long id;

	xa_for_each(&edev->peers, id, peer)
		dst_cache_reset(&peer->dst_cache);
}

static int link_up(struct net_device *dev)
{
	struct espudp_dev *edev = netdev_priv(dev);
	struct inet6_dev *in6 = __in6_dev_get(dev);

	/* No link-local address: there is nobody to solicit. */
	if (in6)
		in6->cnf.addr_gen_mode = IN6_ADDR_GEN_MODE_NONE;
	espudp_queue_start(edev->rxq);
	espudp_queue_start(edev->txq);
	return 0;
}

static int link_down(struct net_device *dev)
{
	struct espudp_dev *edev = netdev_priv(dev);

	espudp_queue_stop(edev->txq, espudp_tx_drop);
	espudp_queue_stop(edev->rxq, espudp_rx_drop);
	return 0;
}

static void dev_stats(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	struct espudp_dev *edev = netdev_priv(dev);

	espudp_stats_sum(edev, stats);
}

/* Everything that can still find the device lets go of it here. What remains
 * are RCU readers, over before the netdevice is freed, and crypto in flight,
 * which holds the netdevice.
 */
static void dev_uninit(struct net_device *dev)
{
	struct espudp_dev *edev = netdev_priv(dev);

	list_del(&edev->list);
	mutex_lock(&edev->lock);
	edev->dead = true;
	espudp_sock_detach_all(edev);
	espudp_dev_flush(edev, true);
	mutex_unlock(&edev->lock);
	espudp_hold_stop(edev);
	cancel_delayed_work_sync(&edev->sock_work);
	cancel_work_sync(&edev->reap_work);
	cancel_work_sync(&edev->renew_work);
}

static void dev_free(struct net_device *dev)
{
	struct espudp_dev *edev = netdev_priv(dev);

	/* A packet that was on its way through dev_uninit() may have seen an
	 * SA expire.
	 */
	cancel_work_sync(&edev->reap_work);
	cancel_work_sync(&edev->renew_work);
	cancel_delayed_work_sync(&edev->sock_work);
	espudp_hold_stop(edev);
	espudp_queue_free(edev->txq, espudp_tx_drop);
	espudp_queue_free(edev->rxq, espudp_rx_drop);
	espudp_pool_destroy(edev);
	espudp_select_destroy(&edev->select);
	espudp_sa_table_destroy(edev);
	xa_destroy(&edev->peers);
	free_percpu(edev->unknown);
	free_percpu(edev->drops);
	free_percpu(edev->stats);
	espudp_trace_object("destroyed", "device", "%u", edev->serial);
}

const struct net_device_ops espudp_netdev_ops = {
	.ndo_open = link_up,
	.ndo_stop = link_down,
	.ndo_uninit = dev_uninit,
	.ndo_start_xmit = espudp_tx_xmit,
	.ndo_get_stats64 = dev_stats,
};

static const struct device_type device_type = { .name = KBUILD_MODNAME };

static void dev_setup(struct net_device *dev)
{
	struct espudp_dev *edev = netdev_priv(dev);
	const netdev_features_t features = NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM |
					   NETIF_F_RXCSUM | NETIF_F_ALL_TSO |
					   NETIF_F_GSO_UDP_L4 | NETIF_F_HIGHDMA;
	/* The worst: IPv6 outside, CBC, the longest ICV. */
	const unsigned int overhead = sizeof(struct ipv6hdr) + sizeof(struct udphdr) + 8 +
				      ESPUDP_IV_MAX + ESPUDP_ICV_MAX;

	dev->netdev_ops = &espudp_netdev_ops;
	dev->header_ops = &ip_tunnel_header_ops;
	dev->type = ARPHRD_NONE;
	dev->flags = IFF_POINTOPOINT | IFF_NOARP;
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->features |= features;
	dev->hw_features |= features;
	dev->hw_enc_features |= features;
	espudp_dev_lockless(dev);
	dev->mtu = ALIGN_DOWN(ETH_DATA_LEN - overhead, ESPUDP_BLOCK_MAX) - 2;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = IP_MAX_MTU - overhead - ESPUDP_BLOCK_MAX - 2;
	/* A super-packet that leaves as one UDP-GSO packet at the usual MTU. */
	netif_set_tso_max_segs(dev, 44);
	/* ICMP errors and path MTU updates need the route of the packet. */
	netif_keep_dst(dev);
	SET_NETDEV_DEVTYPE(dev, &device_type);

	memset(edev, 0, sizeof(*edev));
	edev->dev = dev;
}

static int dev_newlink(ESPUDP_NEWLINK_ARGS)
{
	struct espudp_dev *edev = netdev_priv(dev);
	int cpu, err = -ENOMEM;

	edev->net = espudp_newlink_net();
	edev->port = ESPUDP_PORT_DEFAULT;
	edev->pmtu_discovery = 1;
	edev->replay_window = ESPUDP_WINDOW_DEFAULT;
	edev->nat_scope = ESPUDP_NAT_SCOPE_BOTH;
	mutex_init(&edev->lock);
	xa_init_flags(&edev->peers, XA_FLAGS_ALLOC1);
	INIT_WORK(&edev->reap_work, espudp_sa_reap);
	INIT_WORK(&edev->renew_work, espudp_peer_renew_work);
	INIT_DELAYED_WORK(&edev->sock_work, espudp_sock_check);
	INIT_LIST_HEAD(&edev->list);
	espudp_hold_init(edev);

	edev->stats = espudp_stats_alloc(GFP_KERNEL);
	if (!edev->stats)
		return err;
	edev->drops = alloc_percpu(struct espudp_dev_drops);
	if (!edev->drops)
		goto free_stats;
	edev->unknown = alloc_percpu(struct espudp_unknown_ring);
	if (!edev->unknown)
		goto free_drops;
	for_each_possible_cpu(cpu)
		spin_lock_init(&per_cpu_ptr(edev->unknown, cpu)->lock);
	err = espudp_sa_table_init(edev);
	if (err)
		goto free_unknown;
	err = espudp_select_init(&edev->select);
	if (err)
		goto free_table;
	err = espudp_pool_init(edev);
	if (err)
		goto free_select;
	err = -ENOMEM;
	edev->rxq = espudp_queue_alloc(edev, espudp_rx_poll, ESPUDP_DROP_RX_DEV_DOWN);
	if (!edev->rxq)
		goto free_pool;
	edev->txq = espudp_queue_alloc(edev, espudp_tx_poll, ESPUDP_DROP_TX_DEV_DOWN);
	if (!edev->txq)
		goto free_rxq;

	edev->serial = espudp_dev_serial();
	espudp_trace_object("created", "device", "%u", edev->serial);
	err = register_netdevice(dev);
	if (err) {
		espudp_trace_object("destroyed", "device", "%u", edev->serial);
		goto free_txq;
	}
	/* From here on dev_free() frees. */
	dev->needs_free_netdev = true;
	dev->priv_destructor = dev_free;
	list_add(&edev->list, &devices);
	return 0;

free_txq:
	espudp_queue_free(edev->txq, espudp_tx_drop);
free_rxq:
	espudp_queue_free(edev->rxq, espudp_rx_drop);
free_pool:
	espudp_pool_destroy(edev);
free_select:
	espudp_select_destroy(&edev->select);
free_table:
	espudp_sa_table_destroy(edev);
free_unknown:
	free_percpu(edev->unknown);
free_drops:
	free_percpu(edev->drops);
free_stats:
	free_percpu(edev->stats);
	return err;
}

static struct net *dev_link_net(const struct net_device *dev)
{
	const struct espudp_dev *edev = netdev_priv(dev);

	return READ_ONCE(edev->net) ?: dev_net(dev);
}

static struct rtnl_link_ops link_ops __read_mostly = {
	.kind = KBUILD_MODNAME,
	.priv_size = sizeof(struct espudp_dev),
	.setup = dev_setup,
	.newlink = dev_newlink,
	.get_link_net = dev_link_net,
};

/* A namespace goes away: sockets in it must go first. Devices that were moved
 * elsewhere stay, without sockets.
 */
static void __net_exit net_pre_exit(struct net *net)
{
	struct espudp_dev *edev;

	rtnl_lock();
	list_for_each_entry(edev, &devices, list) {
		if (edev->net != net)
			continue;
		mutex_lock(&edev->lock);
		espudp_sock_detach_all(edev);
		WRITE_ONCE(edev->net, NULL);
		mutex_unlock(&edev->lock);
	}
	rtnl_unlock();
}

static struct pernet_operations net_ops = {
	.pre_exit = net_pre_exit,
};

/**
 * espudp_dev_init() - register the netdevice kind
 *
 * Return: 0 or an error.
 */
int __init espudp_dev_init(void)
{
	int err;

	espudp_wq = alloc_workqueue("espudp", WQ_UNBOUND, 0);
	if (!espudp_wq)
		return -ENOMEM;
	err = register_pernet_device(&net_ops);
	if (err)
		goto free_wq;
	err = rtnl_link_register(&link_ops);
	if (err)
		goto unregister_pernet;
	return 0;

unregister_pernet:
	unregister_pernet_device(&net_ops);
free_wq:
	destroy_workqueue(espudp_wq);
	return err;
}

/**
 * espudp_dev_exit() - delete all devices, wait for all that they left
 *
 * SAs and peers are freed by RCU work on our queue, an SA's last reference
 * may queue another: two rounds of waiting, then the queue is destroyed.
 */
void espudp_dev_exit(void)
{
	rtnl_link_unregister(&link_ops);
	unregister_pernet_device(&net_ops);
	rcu_barrier();
	flush_workqueue(espudp_wq);
	rcu_barrier();
	destroy_workqueue(espudp_wq);
	/* udp_destroy_sock() calls encap_destroy() outside RCU: a task may be
	 * on its way there.
	 */
	synchronize_rcu_tasks();
}
