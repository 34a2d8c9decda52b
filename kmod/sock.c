// SPDX-License-Identifier: GPL-2.0
/* UDP sockets of a device: the module's own, or adopted from an IKE daemon. */
#include <linux/file.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <net/dst_cache.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>
#include "dev.h"
#include "encap.h"
#include "event.h"
#include "gro.h"
#include "peer.h"
#include "sock.h"

/**
 * espudp_sock_alive() - may a socket still be used?
 * @es: attached socket
 *
 * The owner of an adopted one may have closed it, or taken it back with
 * setsockopt UDP_ENCAP.
 *
 * Return: false if it is lost.
 */
bool espudp_sock_alive(const struct espudp_sock *es)
{
	return !READ_ONCE(es->lost) &&
	       READ_ONCE(udp_sk(es->sk)->encap_rcv) == espudp_encap_rcv;
}

/* Called by UDP when the owner closes an adopted socket, or for our own. */
static void encap_destroy(struct sock *sk)
{
	struct espudp_sock *es;

	rcu_read_lock();
	es = rcu_dereference_sk_user_data(sk);
	if (es && es->adopted) {
		WRITE_ONCE(es->lost, true);
		mod_delayed_work(espudp_wq, &es->edev->sock_work, 0);
	}
	rcu_read_unlock();
}

static void sock_hook(struct espudp_sock *es)
{
	struct udp_sock *up = udp_sk(es->sk);

	rcu_assign_sk_user_data(es->sk, es);
	up->encap_type = ESPUDP_ENCAP_TYPE;
	up->encap_err_lookup = espudp_encap_err_lookup;
	up->encap_err_rcv = espudp_encap_err_rcv;
	up->encap_destroy = encap_destroy;
	WRITE_ONCE(up->encap_rcv, espudp_encap_rcv);
}

/* What the owner has set since is left alone. Nobody finds us from here on;
 * who has, may still call encap_err_rcv, which UDP reads twice.
 */
static void sock_unhook(struct espudp_sock *es)
{
	struct udp_sock *up = udp_sk(es->sk);

	if (up->encap_rcv == espudp_encap_rcv) {
		WRITE_ONCE(up->encap_rcv, NULL);
		up->encap_type = 0;
	}
	WRITE_ONCE(up->encap_err_lookup, NULL);
	WRITE_ONCE(up->encap_destroy, NULL);
	rcu_assign_sk_user_data(es->sk, NULL);
}

static struct espudp_sock *slot_alloc(struct espudp_dev *edev, struct sock *sk, bool adopted)
{
	struct espudp_sock *es = kzalloc(sizeof(*es), GFP_KERNEL);

	if (!es)
		return NULL;
	es->sk = sk;
	es->edev = edev;
	es->adopted = adopted;
	es->port = ntohs(inet_sk(sk)->inet_sport);
	es->serial = espudp_dev_serial();
	espudp_trace_object("created", "socket", "%u", es->serial);
	return es;
}

static void sock_link(struct espudp_dev *edev, struct espudp_sock *es)
{
	if (es->v4)
		rcu_assign_pointer(edev->sock4, es);
	if (es->v6)
		rcu_assign_pointer(edev->sock6, es);
	espudp_gro_attach(es);
	edev->generation++;
	espudp_dev_reset_routes(edev);
}

static int open_one(struct espudp_dev *edev, bool v6, u16 port,
		    struct espudp_sock **out)
{
	struct udp_port_cfg cfg = {
		.family = v6 ? AF_INET6 : AF_INET,
		.local_udp_port = htons(port),
		.use_udp_checksums = 1,
		.use_udp6_tx_checksums = 1,
		.use_udp6_rx_checksums = 1,
		.ipv6_v6only = 1,
	};
	struct espudp_sock *es;
	struct socket *sock;
	int err;

	err = udp_sock_create(edev->net, &cfg, &sock);
	if (err)
		return err;
	es = slot_alloc(edev, sock->sk, false);
	if (!es) {
		espudp_sock_release(sock);
		return -ENOMEM;
	}
	sock->sk->sk_allocation = GFP_ATOMIC;
	es->v4 = !v6;
	es->v6 = v6;
	*out = es;
	return 0;
}

static void sock_close(struct espudp_sock *es)
{
	espudp_trace_object("destroyed", "socket", "%u", es->serial);
	if (es->adopted) {
		lock_sock(es->sk);
		write_lock_bh(&es->sk->sk_callback_lock);
		sock_unhook(es);
		write_unlock_bh(&es->sk->sk_callback_lock);
		release_sock(es->sk);
		synchronize_rcu();
		/* It may be somebody else's by now. */
		write_lock_bh(&es->sk->sk_callback_lock);
		if (!es->sk->sk_user_data)
			WRITE_ONCE(udp_sk(es->sk)->encap_err_rcv, NULL);
		write_unlock_bh(&es->sk->sk_callback_lock);
		sock_put(es->sk);
	} else {
		espudp_sock_release(es->sk->sk_socket);
	}
	kfree_rcu(es, rcu);
}

/**
 * espudp_sock_open() - open the module's own sockets
 * @edev: device, locked
 * @v4: for IPv4
 * @v6: for IPv6
 * @port: UDP port, host byte order
 * @extack: told why not
 *
 * Context: process, without RTNL.
 * Return: 0, -EADDRINUSE, -EEXIST, or another error; then nothing changed.
 */
int espudp_sock_open(struct espudp_dev *edev, bool v4, bool v6, u16 port,
		     struct netlink_ext_ack *extack)
{
	struct espudp_sock *es4 = NULL, *es6 = NULL;
	int err = 0;

	lockdep_assert_held(&edev->lock);
	if ((v4 && rcu_access_pointer(edev->sock4)) ||
	    (v6 && rcu_access_pointer(edev->sock6))) {
		NL_SET_ERR_MSG(extack, "the device has a socket of that family already");
		return -EEXIST;
	}
	if (v4)
		err = open_one(edev, false, port, &es4);
	if (!err && v6)
		err = open_one(edev, true, port, &es6);
	if (err == -EAFNOSUPPORT && es4)	/* a host without IPv6 */
		err = 0;
	if (err) {
		if (es4)
			sock_close(es4);
		if (err == -EADDRINUSE)
			NL_SET_ERR_MSG(extack, "the port is in use; the socket that has it can be adopted by its descriptor");
		else
			NL_SET_ERR_MSG(extack, "the kernel refused to open a UDP socket");
		return err;
	}
	if (es4) {
		sock_hook(es4);
		udp_tunnel_encap_enable(es4->sk);
		sock_link(edev, es4);
	}
	if (es6) {
		sock_hook(es6);
		udp_tunnel_encap_enable(es6->sk);
		sock_link(edev, es6);
	}
	return 0;
}

static int adoptable(struct espudp_dev *edev, struct socket *sock,
		     struct netlink_ext_ack *extack)
{
	struct sock *sk = sock->sk;

	if (sk->sk_family != AF_INET && sk->sk_family != AF_INET6) {
		NL_SET_ERR_MSG(extack, "the descriptor is not an IPv4 or IPv6 socket");
		return -EPROTONOSUPPORT;
	}
	if (sk->sk_protocol == IPPROTO_UDPLITE) {
		NL_SET_ERR_MSG(extack, "the descriptor is a UDP-Lite socket, not a UDP socket");
		return -EPROTONOSUPPORT;
	}
	if (sk->sk_type != SOCK_DGRAM || sk->sk_protocol != IPPROTO_UDP) {
		NL_SET_ERR_MSG(extack, "the descriptor is not a UDP socket");
		return -EPROTONOSUPPORT;
	}
	if (!net_eq(sock_net(sk), edev->net)) {
		NL_SET_ERR_MSG(extack, "the socket is of another network namespace than the device was created in");
		return -EXDEV;
	}
	if (!inet_sk(sk)->inet_num) {
		NL_SET_ERR_MSG(extack, "the socket is not bound to a port");
		return -EDESTADDRREQ;
	}
	return 0;
}

/**
 * espudp_sock_adopt() - receive on a socket of the caller
 * @edev: device, locked
 * @fd: descriptor of a bound UDP socket, in the calling process
 * @keep_marker: its owner wants IKE with the non-ESP marker
 * @extack: told why not
 *
 * A dual-stack IPv6 socket serves both families. The owner goes on reading
 * IKE from it; when it closes it, the device merely loses it.
 *
 * Context: process.
 * Return: 0 or an error; then nothing changed.
 */
int espudp_sock_adopt(struct espudp_dev *edev, int fd, bool keep_marker,
		      struct netlink_ext_ack *extack)
{
	struct espudp_sock *es;
	struct socket *sock;
	struct sock *sk;
	bool v4, v6;
	int err;

	lockdep_assert_held(&edev->lock);
	sock = sockfd_lookup(fd, &err);
	if (!sock) {
		NL_SET_ERR_MSG(extack, "the descriptor is not an open socket");
		return err;
	}
	sk = sock->sk;
	err = adoptable(edev, sock, extack);
	if (err)
		goto out;
	v6 = sk->sk_family == AF_INET6;
	v4 = !v6 || !ipv6_only_sock(sk);
	if ((v4 && rcu_access_pointer(edev->sock4)) ||
	    (v6 && rcu_access_pointer(edev->sock6))) {
		NL_SET_ERR_MSG(extack, "the device has a socket of that family already");
		err = -EEXIST;
		goto out;
	}
	es = slot_alloc(edev, sk, true);
	if (!es) {
		err = -ENOMEM;
		goto out;
	}
	es->keep_marker = keep_marker;
	es->v4 = v4;
	es->v6 = v6;

	lock_sock(sk);
	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data || udp_sk(sk)->encap_type) {
		NL_SET_ERR_MSG(extack, "the socket is an encapsulation socket already");
		err = -EBUSY;
	} else {
		sock_hold(sk);
		sock_hook(es);
	}
	write_unlock_bh(&sk->sk_callback_lock);
	if (!err)
		udp_tunnel_encap_enable(sk);	/* may sleep */
	release_sock(sk);
	if (err) {
		espudp_trace_object("destroyed", "socket", "%u", es->serial);
		kfree(es);
		goto out;
	}
	sock_link(edev, es);
	mod_delayed_work(espudp_wq, &edev->sock_work, ESPUDP_SOCKET_CHECK * HZ);
out:
	sockfd_put(sock);
	return err;
}

static void detach(struct espudp_dev *edev, struct espudp_sock *es)
{
	if (rcu_access_pointer(edev->sock4) == es)
		RCU_INIT_POINTER(edev->sock4, NULL);
	if (rcu_access_pointer(edev->sock6) == es)
		RCU_INIT_POINTER(edev->sock6, NULL);
	espudp_gro_detach(es);
	edev->generation++;
	/* Senders may hold it for as long as they read RCU; sock_close() waits
	 * for them before the socket goes.
	 */
	sock_close(es);
}

static struct espudp_sock *slot(struct espudp_dev *edev, struct espudp_sock __rcu *es)
{
	return rcu_dereference_protected(es, lockdep_is_held(&edev->lock));
}

/**
 * espudp_sock_detach_all() - close our sockets, give adopted ones back
 * @edev: device, locked
 *
 * Peers and SAs stay.
 */
void espudp_sock_detach_all(struct espudp_dev *edev)
{
	struct espudp_peer *peer;
	struct espudp_sock *es;
	unsigned long id;

	lockdep_assert_held(&edev->lock);
	es = slot(edev, edev->sock4);
	if (es)
		detach(edev, es);
	es = slot(edev, edev->sock6);
	if (es)
		detach(edev, es);
	/* Without a socket nobody looks at cached routes, which keep what is of this
	 * namespace, and must not outlive it.
	 */
	xa_for_each(&edev->peers, id, peer)
		dst_cache_reset_now(&peer->dst_cache);
}

/**
 * espudp_sock_check() - look after adopted sockets
 * @work: the device's sock_work; runs when one is closed, and every
 *	ESPUDP_SOCKET_CHECK seconds since setsockopt tells nobody
 */
void espudp_sock_check(struct work_struct *work)
{
	struct espudp_dev *edev = container_of(to_delayed_work(work), struct espudp_dev,
					       sock_work);
	bool lost = false, left = false;
	struct espudp_sock *es;
	int i;

	mutex_lock(&edev->lock);
	for (i = 0; i < 2; i++) {
		es = i ? slot(edev, edev->sock6) : slot(edev, edev->sock4);
		if (!es || !es->adopted)
			continue;
		if (espudp_sock_alive(es)) {
			left = true;
			continue;
		}
		detach(edev, es);
		lost = true;
	}
	if (lost) {
		espudp_event_socket_lost(edev);
		if (edev->on_socket_loss == ESPUDP_SOCKET_LOSS_FLUSH)
			espudp_dev_flush(edev, true);
	}
	if (left && !edev->dead)
		mod_delayed_work(espudp_wq, &edev->sock_work, ESPUDP_SOCKET_CHECK * HZ);
	mutex_unlock(&edev->lock);
}
