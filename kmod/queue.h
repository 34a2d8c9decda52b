/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_QUEUE_H
#define _ESPUDP_QUEUE_H

#include <linux/netdevice.h>
#include "dev.h"
#include "sa.h"

/**
 * struct espudp_job_pkt - one ESP packet of a job
 * @job: the job
 * @esp: ESP header, the whole packet behind it, in memory of our own
 * @src: what is behind the IV, if it is elsewhere; else NULL
 * @len: octets from ESP header to ICV
 * @err: what came of its crypto
 * @seq: sequence number, all 64 bits
 */
struct espudp_job_pkt {
	struct espudp_job *job;
	void *esp;
	const void *src;
	unsigned int len;
	int err;
	u64 seq;
};

/* CPUs that may join in a job. */
#define ESPUDP_JOB_HELPERS 4

/**
 * struct espudp_job - crypto of a batch, received or to be sent
 * @list: in the queue's order
 * @q: queue whose poll finishes it
 * @sa: whose keys are used
 * @pending: requests not over, and those who are making them
 * @next: the packet that nobody has taken yet, if several take some
 * @encrypt: else decrypt
 * @away: out of the poll's hands, or was: holds the device until it is over
 * @open: helpers were asked to join in, and the poll has yet to: @asked of them, on @cpu
 * @mine: packets of such a job that the poll took, @over of which are over
 * @held: holds a reference to @sa
 * @kept: was left to a later poll
 * @before: packets that its queue had handed out before the poll that started it
 * @n: packets
 * @pkt: the packets
 *
 * Synchronous and asynchronous crypto, and that of another CPU, complete alike: the
 * poll that submitted the job finds it done, or the last completion schedules another
 * poll. Jobs of a queue are finished in the order in which they were started.
 */
struct espudp_job {
	struct list_head list;
	struct espudp_queue *q;
	struct espudp_sa *sa;
	atomic_t pending;
	atomic_t next;
	bool encrypt;
	bool away;
	bool open;
	bool held;
	bool kept;
	u8 asked;
	u16 cpu[ESPUDP_JOB_HELPERS];
	unsigned int mine;
	unsigned int over;
	u64 before;
	unsigned int n;
	struct espudp_job_pkt pkt[ESPUDP_BATCH_SEGS];
};

/**
 * espudp_skb_parts() - how many packets an skb will be
 * @skb: packet, or one with gso_size set, whose gso_segs may be untrue
 * @hlen: octets of headers in its data
 */
static inline unsigned int espudp_skb_parts(const struct sk_buff *skb, unsigned int hlen)
{
	return skb_is_gso(skb) ? DIV_ROUND_UP(skb->len - hlen, skb_shinfo(skb)->gso_size) : 1;
}

struct espudp_queue *espudp_queue_for(struct espudp_queue __percpu *queues, const u64 *slot);
bool espudp_queue_put(struct espudp_queue *q, struct sk_buff *skb, u64 *slot);
unsigned int espudp_queue_take(struct espudp_queue *q, struct sk_buff_head *in, unsigned int max);
int espudp_queue_end(struct espudp_queue *q, int done, int budget);
struct espudp_queue __percpu *
espudp_queue_alloc(struct espudp_dev *edev, int (*poll)(struct napi_struct *, int),
		   enum espudp_drop down);
void espudp_queue_free(struct espudp_queue __percpu *queues,
		       void (*drop)(struct espudp_job *job));
void espudp_queue_start(struct espudp_queue __percpu *queues);
void espudp_queue_stop(struct espudp_queue __percpu *queues,
		       void (*drop)(struct espudp_job *job));

void espudp_job_submit(struct espudp_job *job, struct espudp_queue *q, bool encrypt);
void espudp_job_help(struct espudp_job *job);
int espudp_job_err(const struct espudp_job *job);
void espudp_queue_keep(struct espudp_queue *q);
struct espudp_job *espudp_job_next_done(struct espudp_queue *q);
void espudp_job_finish(struct espudp_job *job);

#endif
