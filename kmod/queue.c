// SPDX-License-Identifier: GPL-2.0
/* Per-CPU queues with a NAPI instance each, and the crypto jobs they run. */
#include "queue.h"

/**
 * espudp_queue_for() - the transmit queue for a packet
 * @edev: device
 * @skb: packet
 * @slot: set; to be told the queue's CPU and number once the packet is in
 *
 * This CPU's, unless an earlier packet of the flow still is on another one's,
 * which it must not overtake.
 *
 * Context: BH off.
 */
struct espudp_queue *espudp_queue_for(struct espudp_dev *edev, struct sk_buff *skb, u32 **slot)
{
	struct espudp_queue *q;
	u32 last;

	*slot = &edev->flows[skb_get_hash(skb) % ESPUDP_FLOWS];
	last = READ_ONCE(**slot);
	q = per_cpu_ptr(edev->txq, last >> 16);
	if ((s16)(READ_ONCE(q->done) - (u16)last) >= 0)
		q = this_cpu_ptr(edev->txq);
	return q;
}

/**
 * espudp_queue_done() - note how far a transmit queue has come
 * @q: queue whose poll ends
 * @n: packets that it took
 */
void espudp_queue_done(struct espudp_queue *q, unsigned int n)
{
	q->taken += n;
	if (list_empty(&q->order))
		WRITE_ONCE(q->done, q->taken);
}

/**
 * espudp_queue_alloc() - make the queues of one direction
 * @edev: device
 * @poll: NAPI poll
 * @down: why packets are dropped when the device goes down
 *
 * Context: process, RTNL.
 * Return: queues for each possible CPU, stopped, or NULL.
 */
struct espudp_queue __percpu *
espudp_queue_alloc(struct espudp_dev *edev, int (*poll)(struct napi_struct *, int),
		   enum espudp_drop down)
{
	struct espudp_queue __percpu *queues = alloc_percpu(struct espudp_queue);
	int cpu;

	if (!queues)
		return NULL;
	for_each_possible_cpu(cpu) {
		struct espudp_queue *q = per_cpu_ptr(queues, cpu);

		q->edev = edev;
		q->cpu = cpu;
		q->down = down;
		skb_queue_head_init(&q->in);
		INIT_LIST_HEAD(&q->order);
		netif_napi_add(edev->dev, &q->napi, poll);
	}
	return queues;
}

static void queue_purge(struct espudp_queue *q, void (*drop)(struct espudp_job *job))
{
	struct espudp_job *job;
	struct sk_buff *skb;

	local_bh_disable();
	while ((skb = skb_dequeue(&q->in)))
		espudp_drop(q->edev, NULL, NULL, skb, q->down);
	q->bytes = 0;
	q->taken = q->queued;
	while ((job = espudp_job_next_done(q)))
		drop(job);
	espudp_queue_done(q, 0);
	local_bh_enable();
}

/**
 * espudp_queue_free() - free stopped queues
 * @queues: from espudp_queue_alloc(), or NULL
 * @drop: finishes a job by dropping it
 *
 * Nothing may be in flight: the device has no reference left.
 */
void espudp_queue_free(struct espudp_queue __percpu *queues,
		       void (*drop)(struct espudp_job *job))
{
	int cpu;

	if (!queues)
		return;
	for_each_possible_cpu(cpu)
		__netif_napi_del(&per_cpu_ptr(queues, cpu)->napi);
	synchronize_net();	/* once for all */
	for_each_possible_cpu(cpu) {
		struct espudp_queue *q = per_cpu_ptr(queues, cpu);

		queue_purge(q, drop);
		WARN_ON_ONCE(!list_empty(&q->order));
	}
	free_percpu(queues);
}

/**
 * espudp_queue_start() - begin to poll
 * @queues: stopped queues
 */
void espudp_queue_start(struct espudp_queue __percpu *queues)
{
	int cpu;

	for_each_possible_cpu(cpu)
		napi_enable(&per_cpu_ptr(queues, cpu)->napi);

	/* Jobs that were in flight when the device went down. */
	local_bh_disable();
	for_each_possible_cpu(cpu)
		napi_schedule(&per_cpu_ptr(queues, cpu)->napi);
	local_bh_enable();
}

/**
 * espudp_queue_stop() - stop polling and drop what is queued
 * @queues: started queues
 * @drop: finishes a job by dropping it
 *
 * Jobs in flight stay; they hold the device.
 */
void espudp_queue_stop(struct espudp_queue __percpu *queues,
		       void (*drop)(struct espudp_job *job))
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct espudp_queue *q = per_cpu_ptr(queues, cpu);

		napi_disable(&q->napi);
		queue_purge(q, drop);
	}
}

/**
 * espudp_job_start() - begin a job
 * @job: embedded in the packet or batch
 * @q: queue being polled
 * @sa: its SA, seen under RCU
 */
void espudp_job_start(struct espudp_job *job, struct espudp_queue *q,
		      struct espudp_sa *sa)
{
	job->q = q;
	job->sa = sa;
	atomic_set(&job->pending, 1);
	job->err = 0;
	job->held = false;
	job->kept = false;
	list_add_tail(&job->list, &q->order);
}

static void job_done(void *ctx, int err)
{
	struct espudp_job *job = ctx;
	struct espudp_queue *q = job->q;

	if (unlikely(err))
		WRITE_ONCE(job->err, err);
	/* The poll may finish and free the job from here on. */
	if (!atomic_dec_and_test(&job->pending))
		return;
	napi_schedule(&q->napi);
	dev_put(q->edev->dev);
}

/**
 * espudp_job_crypt() - submit one ESP packet of a job
 * @job: started job
 * @encrypt: else decrypt
 * @esp: ESP header, with the whole packet behind it, in memory of our own
 * @len: octets from ESP header to ICV
 * @seq_hi: upper half of the sequence number, for ESN
 *
 * Return: 0 if it is done, -EINPROGRESS, or an error, which the job keeps.
 */
int espudp_job_crypt(struct espudp_job *job, bool encrypt, void *esp,
		     unsigned int len, u32 seq_hi)
{
	int err;

	/* Counted before the request is made: it may complete at once. Our own
	 * count keeps the last completion from happening before the references
	 * that it drops are taken.
	 */
	atomic_inc(&job->pending);
	err = espudp_aead_crypt(&job->sa->aead, encrypt, esp, len, seq_hi,
				job_done, job);
	if (likely(err != -EINPROGRESS)) {
		atomic_dec(&job->pending);
	} else if (!job->held) {
		job->held = true;
		espudp_sa_get(job->sa);
		dev_hold(job->q->edev->dev);
	}
	if (unlikely(err && err != -EINPROGRESS))
		WRITE_ONCE(job->err, err);
	return err;
}

/**
 * espudp_job_submitted() - all packets of a job were submitted
 * @job: the job; may not be touched any more except by the poll
 */
void espudp_job_submitted(struct espudp_job *job)
{
	bool held = job->held;

	/* All completions came first: theirs did not drop the device. */
	if (atomic_dec_and_test(&job->pending) && held)
		dev_put(job->q->edev->dev);
}

/**
 * espudp_job_next_done() - take the oldest job if its crypto is done
 * @q: queue being polled
 *
 * Return: the job, off the list, or NULL. Finish it with espudp_job_finish().
 */
struct espudp_job *espudp_job_next_done(struct espudp_queue *q)
{
	struct espudp_job *job = list_first_entry_or_null(&q->order, struct espudp_job, list);

	/* Pairs with the completion's atomic_dec_and_test(). */
	if (!job || atomic_read_acquire(&job->pending))
		return NULL;
	list_del(&job->list);
	return job;
}

/**
 * espudp_queue_keep() - let the jobs that stay behind hold their SAs
 * @q: queue being polled
 *
 * A job that is done may stand behind one that is not. Called before the poll
 * leaves the RCU read side in which it found the SAs.
 */
void espudp_queue_keep(struct espudp_queue *q)
{
	struct espudp_job *job;

	list_for_each_entry_reverse(job, &q->order, list) {
		if (job->kept)
			break;
		job->kept = true;
		if (!job->held) {
			job->held = true;
			espudp_sa_get(job->sa);
		}
	}
}

/**
 * espudp_job_finish() - drop what a job held
 * @job: done, off the list, its SA not needed any more
 */
void espudp_job_finish(struct espudp_job *job)
{
	if (unlikely(job->held))
		espudp_sa_put(job->sa);
}
