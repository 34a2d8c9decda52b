// SPDX-License-Identifier: GPL-2.0
/* Packets for reserved SPIs, whose keys may come any moment: the initiator of IKEv1
 * sends on a new SA at once after its last message, which the daemon here still has
 * to deal with; if that is lost it comes again after some 4 s. A bounded number of them
 * waits a little longer than that.
 */
#include "dev.h"
#include "hold.h"
#include "rx.h"
#include "sa.h"

struct hold_cb {
	unsigned long since;	/* jiffies */
	__be32 spi;
};

static struct hold_cb *hold_cb(const struct sk_buff *skb)
{
	return (struct hold_cb *)skb->cb;
}

static void give_up(struct espudp_dev *edev, struct sk_buff *skb, __be32 spi)
{
	struct espudp_sa *sa = espudp_sa_find_in(edev, spi);

	espudp_drop_all(edev, sa, skb, ESPUDP_DROP_RX_SPI_LARVAL);
}

static void unlink_held(struct espudp_dev *edev, struct sk_buff *skb)
{
	edev->held_bytes -= skb->truesize;
	__skb_unlink(skb, &edev->held);
}

static bool link_held(struct espudp_dev *edev, struct sk_buff *skb)
{
	bool room;

	spin_lock(&edev->held.lock);
	room = skb_queue_len(&edev->held) < ESPUDP_HELD &&
	       edev->held_bytes + skb->truesize <= ESPUDP_HELD_BYTES;
	if (room) {
		edev->held_bytes += skb->truesize;
		__skb_queue_tail(&edev->held, skb);
	}
	spin_unlock(&edev->held.lock);
	return room;
}

static void held_timer(struct timer_list *t)
{
	struct espudp_dev *edev = timer_container_of(edev, t, held_timer);
	struct sk_buff_head late;
	struct sk_buff *skb;

	__skb_queue_head_init(&late);
	spin_lock(&edev->held.lock);
	while ((skb = skb_peek(&edev->held))) {
		if (time_before(jiffies, hold_cb(skb)->since + ESPUDP_HOLD * HZ)) {
			mod_timer(&edev->held_timer, hold_cb(skb)->since + ESPUDP_HOLD * HZ);
			break;
		}
		unlink_held(edev, skb);
		__skb_queue_tail(&late, skb);
	}
	spin_unlock(&edev->held.lock);

	rcu_read_lock();
	while ((skb = __skb_dequeue(&late)))
		give_up(edev, skb, hold_cb(skb)->spi);
	rcu_read_unlock();
}

/**
 * espudp_hold_init() - set up a device that holds nothing
 * @edev: device
 */
void espudp_hold_init(struct espudp_dev *edev)
{
	skb_queue_head_init(&edev->held);
	timer_setup(&edev->held_timer, held_timer, 0);
}

/**
 * espudp_hold_stop() - let go of all that is held
 * @edev: device; called again when nothing can find it any more
 *
 * Context: process.
 */
void espudp_hold_stop(struct espudp_dev *edev)
{
	struct sk_buff_head held;
	struct sk_buff *skb;

	timer_shutdown_sync(&edev->held_timer);
	__skb_queue_head_init(&held);
	local_bh_disable();
	spin_lock(&edev->held.lock);
	skb_queue_splice_tail_init(&edev->held, &held);
	edev->held_bytes = 0;
	spin_unlock(&edev->held.lock);
	while ((skb = __skb_dequeue(&held)))
		espudp_drop_all(edev, NULL, skb, ESPUDP_DROP_RX_SPI_LARVAL);
	local_bh_enable();
}

/**
 * espudp_hold() - keep a packet until its SA is there
 * @edev: device
 * @skb: datagram, data at the UDP header; consumed
 * @spi: found reserved
 *
 * Context: softirq, RCU read side.
 */
void espudp_hold(struct espudp_dev *edev, struct sk_buff *skb, __be32 spi)
{
	const struct espudp_sa *sa;

	/* Whose memory it is made of must not wait for it. */
	if (skb_orphan_frags_rx(skb, GFP_ATOMIC)) {
		give_up(edev, skb, spi);
		return;
	}
	skb_dst_drop(skb);
	skb_orphan(skb);
	nf_reset_ct(skb);
	skb_ext_reset(skb);
	skb->dev = edev->dev;
	hold_cb(skb)->since = jiffies;
	hold_cb(skb)->spi = spi;
	if (!link_held(edev, skb)) {
		give_up(edev, skb, spi);
		return;
	}
	if (!timer_pending(&edev->held_timer))
		mod_timer(&edev->held_timer, jiffies + ESPUDP_HOLD * HZ);

	/* Who completed the SA meanwhile may have looked too early. */
	sa = espudp_sa_find_in(edev, spi);
	if (!sa || sa->state != ESPUDP_SA_STATE_RESERVED)
		espudp_hold_release(edev, spi);
}

/**
 * espudp_hold_release() - receive what was held for an SPI
 * @edev: device
 * @spi: not reserved any more
 *
 * Context: any but hardirq.
 */
void espudp_hold_release(struct espudp_dev *edev, __be32 spi)
{
	struct sk_buff *skb, *next;
	struct sk_buff_head ours;

	__skb_queue_head_init(&ours);
	local_bh_disable();
	spin_lock(&edev->held.lock);
	skb_queue_walk_safe(&edev->held, skb, next) {
		if (hold_cb(skb)->spi != spi)
			continue;
		unlink_held(edev, skb);
		__skb_queue_tail(&ours, skb);
	}
	spin_unlock(&edev->held.lock);

	rcu_read_lock();
	while ((skb = __skb_dequeue(&ours)))
		espudp_rx_queue(edev, skb, spi);
	rcu_read_unlock();
	local_bh_enable();
}
