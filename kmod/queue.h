/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_QUEUE_H
#define _ESPUDP_QUEUE_H

#include <linux/netdevice.h>
#include "dev.h"
#include "sa.h"

/**
 * struct espudp_job - crypto of one received packet or of one batch to send
 * @list: in the queue's order
 * @q: queue whose poll finishes it
 * @sa: whose keys are used
 * @pending: requests in flight, and one while they are being submitted
 * @err: first error
 * @held: holds a reference to @sa
 * @kept: was left to a later poll
 *
 * Synchronous and asynchronous crypto complete alike: the poll that submitted
 * the job finds it done, or the last completion schedules another poll. Jobs
 * of a queue are finished in the order in which they were started.
 */
struct espudp_job {
	struct list_head list;
	struct espudp_queue *q;
	struct espudp_sa *sa;
	atomic_t pending;
	int err;
	bool held;
	bool kept;
};

struct espudp_queue *espudp_queue_for(struct espudp_dev *edev, struct sk_buff *skb, u32 **slot);
void espudp_queue_done(struct espudp_queue *q, unsigned int n);
struct espudp_queue __percpu *
espudp_queue_alloc(struct espudp_dev *edev, int (*poll)(struct napi_struct *, int),
		   enum espudp_drop down);
void espudp_queue_free(struct espudp_queue __percpu *queues,
		       void (*drop)(struct espudp_job *job));
void espudp_queue_start(struct espudp_queue __percpu *queues);
void espudp_queue_stop(struct espudp_queue __percpu *queues,
		       void (*drop)(struct espudp_job *job));

void espudp_job_start(struct espudp_job *job, struct espudp_queue *q,
		      struct espudp_sa *sa);
int espudp_job_crypt(struct espudp_job *job, bool encrypt, void *esp,
		     unsigned int len, u32 seq_hi);
void espudp_job_submitted(struct espudp_job *job);
void espudp_queue_keep(struct espudp_queue *q);
struct espudp_job *espudp_job_next_done(struct espudp_queue *q);
void espudp_job_finish(struct espudp_job *job);

#endif
