// SPDX-License-Identifier: GPL-2.0
/* Per-CPU queues with a NAPI instance each, and the crypto jobs they run. */
#include <linux/sched/clock.h>
#include "queue.h"
#include "spread.h"

/* Packets that one takes at most of a job that several do. */
#define SHARE	8
/* How long what polls handed down may wait on the CPU: as long as so many polls take,
 * and at least so many units of 1024 ns.
 */
#define SETTLED		4
#define SETTLED_MIN	250
/* Looks at jobs in flight when a queue stops. */
#define STOP_TRIES	100
/* A slot has the CPU above so many bits of a packet's number. */
#define SLOT_BITS	48

static void queue_arrived(void *info)
{
	struct espudp_queue *q = info;

	__napi_schedule(&q->napi);
}

/* Has the queue polled, on its own CPU: NAPI polls where it is scheduled, and for the
 * stack a flow whose packets come up now here, now there is out of order. Who finds
 * NAPI not scheduled owns @csd until it has been polled.
 */
static void queue_wake(struct espudp_queue *q)
{
	int cpu;

	if (!napi_schedule_prep(&q->napi))
		return;
	cpu = get_cpu();
	/* PREEMPT_RT does not want softirqs raised by such calls. */
	if (q->cpu == cpu || IS_ENABLED(CONFIG_PREEMPT_RT) ||
	    smp_call_function_single_async(q->cpu, &q->csd))
		__napi_schedule(&q->napi);
	put_cpu();
}

/* Nobody needs it who has one CPU. */
static u32 queue_clock(void)
{
	return num_online_cpus() > 1 ? local_clock() >> 10 : 0;
}

/* Has a packet, and all before it, left the CPU? What a poll hands down may be in a
 * backlog of the CPU, behind others of its polls.
 */
static bool queue_settled(const struct espudp_queue *q, u64 packet)
{
	u32 wait;

	if (READ_ONCE(q->settled) >= packet)
		return true;
	if (READ_ONCE(q->done) < packet)
		return false;
	smp_rmb();	/* pairs with queue_done() */
	wait = max(SETTLED * READ_ONCE(q->span), (u32)SETTLED_MIN);
	return (s32)(queue_clock() - READ_ONCE(q->ended) - wait) > 0;
}

/**
 * espudp_queue_for() - the queue for a packet
 * @queues: of one direction
 * @slot: of the flow, or SA: told the queue's CPU and number once a packet is in
 *
 * This CPU's, unless an earlier packet still is on another CPU, which it must not
 * overtake.
 *
 * Context: BH off.
 */
struct espudp_queue *espudp_queue_for(struct espudp_queue __percpu *queues, const u64 *slot)
{
	u64 last = READ_ONCE(*slot);
	struct espudp_queue *q = per_cpu_ptr(queues, last >> SLOT_BITS);
	struct espudp_queue *here = this_cpu_ptr(queues);

	return q == here || queue_settled(q, last & (BIT_ULL(SLOT_BITS) - 1)) ? here : q;
}

/**
 * espudp_queue_put() - queue a packet and see that it is polled
 * @q: queue
 * @skb: packet; consumed unless refused
 * @slot: that espudp_queue_for() was asked with
 *
 * Context: BH off.
 * Return: false if the queue is full.
 */
bool espudp_queue_put(struct espudp_queue *q, struct sk_buff *skb, u64 *slot)
{
	spin_lock(&q->in.lock);
	if (unlikely(q->bytes + skb->truesize > ESPUDP_QUEUE_BYTES)) {
		spin_unlock(&q->in.lock);
		return false;
	}
	q->bytes += skb->truesize;
	__skb_queue_tail(&q->in, skb);
	q->queued++;
	WRITE_ONCE(*slot, (u64)q->cpu << SLOT_BITS | q->queued);
	spin_unlock(&q->in.lock);
	queue_wake(q);
	return true;
}

/**
 * espudp_queue_take() - take what is queued
 * @q: queue being polled
 * @in: set to it
 * @max: skbs; of super-packets fewer are taken, so that a poll does not last
 *
 * None are taken while too many packets are in crypto: the end of the oldest job's
 * schedules another poll.
 *
 * Context: BH off.
 * Return: how many.
 */
unsigned int espudp_queue_take(struct espudp_queue *q, struct sk_buff_head *in, unsigned int max)
{
	unsigned int n = 0, bytes = 0, packets = q->flying;
	struct sk_buff *skb;

	q->began = queue_clock();
	__skb_queue_head_init(in);
	if (skb_queue_empty_lockless(&q->in))
		return 0;
	spin_lock(&q->in.lock);
	while (n < max && packets < ESPUDP_IN_FLIGHT && bytes < ESPUDP_POLL_BYTES &&
	       (skb = __skb_dequeue(&q->in))) {
		packets += espudp_skb_parts(skb, 0);
		bytes += skb->truesize;
		__skb_queue_tail(in, skb);
		n++;
	}
	q->bytes -= bytes;
	spin_unlock(&q->in.lock);
	return n;
}

/* Notes how far a queue has come: @n more packets were taken. */
static void queue_done(struct espudp_queue *q, unsigned int n)
{
	struct espudp_job *job = list_first_entry_or_null(&q->order, struct espudp_job, list);

	WRITE_ONCE(q->settled, q->prev);
	q->prev = q->done;
	q->taken += n;
	smp_wmb();	/* pairs with queue_settled(): when the poll ended is told before */
	WRITE_ONCE(q->done, job ? job->before : q->taken);
}

/* Notes when a poll ended, and how long polls take: the longest, forgotten slowly. */
static void queue_timed(struct espudp_queue *q)
{
	u32 now = queue_clock();

	WRITE_ONCE(q->span, max(now - q->began, q->span - q->span / 8));
	WRITE_ONCE(q->ended, now);
}

/**
 * espudp_queue_end() - end a poll
 * @q: queue being polled
 * @done: packets that it took
 * @budget: that it might have taken
 *
 * Return: what the poll returns.
 */
int espudp_queue_end(struct espudp_queue *q, int done, int budget)
{
	bool more = !skb_queue_empty_lockless(&q->in) && q->flying < ESPUDP_IN_FLIGHT;

	/* Else what came in this tick would stay in GRO. */
	if (more)
		napi_gro_flush(&q->napi, false);
	queue_timed(q);
	queue_done(q, done);
	if (more)
		return budget;
	if (done < budget)
		napi_complete_done(&q->napi, done);
	return done;
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
		q->from = cpu;
		q->down = down;
		skb_queue_head_init(&q->in);
		INIT_LIST_HEAD(&q->order);
		INIT_CSD(&q->csd, queue_arrived, q);
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
	queue_done(q, 0);
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
		queue_wake(per_cpu_ptr(queues, cpu));
	local_bh_enable();
}

/**
 * espudp_queue_stop() - stop polling and drop what is queued
 * @queues: started queues
 * @drop: finishes a job by dropping it
 *
 * Jobs whose crypto is not over within some milliseconds stay; they hold the device.
 *
 * Context: process, RTNL; sleeps.
 */
void espudp_queue_stop(struct espudp_queue __percpu *queues,
		       void (*drop)(struct espudp_job *job))
{
	unsigned int i = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct espudp_queue *q = per_cpu_ptr(queues, cpu);

		napi_disable(&q->napi);
		queue_purge(q, drop);
		/* Nobody looks at the others until the device is up again, or gone, and
		 * meanwhile they hold keys and packets. Most are over at once.
		 */
		for (; !list_empty(&q->order) && i < STOP_TRIES; i++) {
			usleep_range(100, 1000);
			queue_purge(q, drop);
		}
	}
}

/* Requests of a job are over. The poll may finish and free it from here on. */
static bool job_over(struct espudp_job *job, unsigned int n)
{
	return atomic_sub_return_release(n, &job->pending) == 0;
}

static void request_done(void *ctx, int err)
{
	struct espudp_job_pkt *pkt = ctx;
	struct espudp_job *job = pkt->job;
	struct espudp_queue *q = job->q;

	pkt->err = err;
	if (!job_over(job, 1))
		return;
	queue_wake(q);
	dev_put(q->edev->dev);
}

/* Somebody else will end it: what it needs stays until then. */
static void job_away(struct espudp_job *job)
{
	job->away = true;
	job->held = true;
	espudp_sa_get(job->sa);
	dev_hold(job->q->edev->dev);
}

/* Does some of a job's crypto. Returns how many of its requests are over. */
static unsigned int job_crypt(struct espudp_job *job, unsigned int i, unsigned int end)
{
	struct espudp_aead *aead = &job->sa->aead;
	bool encrypt = job->encrypt;	/* others write to the job */
	unsigned int over = 0;

	for (; i < end; i++) {
		struct espudp_job_pkt *pkt = &job->pkt[i];
		int err;

		pkt->job = job;
		err = espudp_aead_crypt(aead, encrypt, pkt->esp, pkt->len,
					upper_32_bits(pkt->seq), pkt->src, request_done, pkt);
		if (likely(err != -EINPROGRESS)) {
			pkt->err = err;
			over++;
		} else if (!job->away) {
			job_away(job);
		}
	}
	return over;
}

/* Takes some of what nobody has taken yet, and does it: less and less, for the last to
 * end is waited for. Returns how many packets, and adds to *@over how many of them are
 * over.
 */
static unsigned int job_join(struct espudp_job *job, unsigned int *over)
{
	int share = clamp(((int)job->n - atomic_read(&job->next)) / 4, 1, SHARE);
	unsigned int i = atomic_fetch_add(share, &job->next);
	unsigned int end = min(i + share, job->n);

	if (i >= end)
		return 0;
	*over += job_crypt(job, i, end);
	return end - i;
}

/* The poll's part of a job is over, which may not be touched any more: if others have
 * some left, the last completion drops the device.
 */
static void job_leave(struct espudp_job *job, unsigned int over)
{
	struct net_device *dev = job->q->edev->dev;
	bool away = job->away;

	if (job_over(job, over + 1) && away)
		dev_put(dev);
}

/**
 * espudp_job_help() - join in a job's crypto
 * @job: taken from who asked for help. May not be touched any more
 *
 * Context: BH off.
 */
void espudp_job_help(struct espudp_job *job)
{
	struct espudp_queue *q = job->q;
	struct net_device *dev = q->edev->dev;
	unsigned int over = 1;

	while (job_join(job, &over))
		;
	if (!job_over(job, over))
		return;
	queue_wake(q);
	dev_put(dev);
}

/**
 * espudp_job_submit() - start a job's crypto
 * @job: embedded in the batch; @job->sa, which was seen under RCU, and the packets
 *	are set. May not be touched any more except by the poll
 * @q: queue being polled
 * @encrypt: else decrypt
 *
 * What helpers were asked for is left to them until espudp_job_next_done(): the poll
 * makes the next batch, or hands down the one before, meanwhile.
 */
void espudp_job_submit(struct espudp_job *job, struct espudp_queue *q, bool encrypt)
{
	job->q = q;
	job->encrypt = encrypt;
	job->away = false;
	job->held = false;
	job->kept = false;
	job->before = q->taken;
	q->flying += job->n;
	/* All are counted before the first is made, and one for who makes them: the last
	 * completion must not come before the references that it drops are taken.
	 */
	atomic_set(&job->pending, job->n + 1);
	list_add_tail(&job->list, &q->order);
	job->open = false;
	if (espudp_spread_wanted(job)) {
		job_away(job);
		job->mine = 0;
		job->over = 0;
		atomic_set(&job->next, 0);
		job->open = espudp_spread_ask(job);
	}
	if (!job->open)
		job_leave(job, job_crypt(job, 0, job->n));
}

/**
 * espudp_job_err() - the first error of a job
 * @job: done
 *
 * Return: 0 if there was none.
 */
int espudp_job_err(const struct espudp_job *job)
{
	unsigned int i;

	for (i = 0; i < job->n; i++)
		if (unlikely(job->pkt[i].err))
			return job->pkt[i].err;
	return 0;
}

/* Is somebody else at it, who will do the rest, while this CPU has better things to do?
 * A task waits for this softirq: it may be who sends what comes next.
 */
static bool job_cared_for(const struct espudp_job *job)
{
	return atomic_read(&job->next) > job->mine && list_is_last(&job->list, &job->q->order) &&
	       !(current->flags & (PF_IDLE | PF_KTHREAD));
}

/* Does some of the oldest job that the poll has yet to join in. False if there is none. */
static bool queue_join(struct espudp_queue *q)
{
	struct espudp_job *job;
	unsigned int taken;

	list_for_each_entry(job, &q->order, list) {
		if (!job->open)
			continue;
		taken = job_cared_for(job) ? 0 : job_join(job, &job->over);
		job->mine += taken;
		if (!taken) {
			job->open = false;
			job_leave(job, job->over + espudp_spread_take_back(job));
		}
		return true;
	}
	return false;
}

/**
 * espudp_job_next_done() - take the oldest job once its crypto is done
 * @q: queue being polled
 *
 * Until then joins in what helpers do.
 *
 * Return: the job, off the list, or NULL: then the oldest is in nobody's hands here.
 * Finish it with espudp_job_finish().
 */
struct espudp_job *espudp_job_next_done(struct espudp_queue *q)
{
	struct espudp_job *job = list_first_entry_or_null(&q->order, struct espudp_job, list);

	if (!job)
		return NULL;
	/* Pairs with job_over(). */
	while (atomic_read_acquire(&job->pending))
		if (!queue_join(q))
			return NULL;
	list_del(&job->list);
	q->flying -= job->n;
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
