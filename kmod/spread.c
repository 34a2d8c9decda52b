// SPDX-License-Identifier: GPL-2.0
/* Crypto of one SA on several CPUs.
 *
 * The poll that has a large batch asks helpers on other CPUs to join in, makes the next
 * batch or hands down the one before, and then joins in itself (queue.c): each takes the
 * next few packets until there are none left. Who has not begun by then is not needed any
 * more. So a flow has as many CPUs as are idle, and waits for none that is not; small
 * batches, for whose sake nobody is woken, are no slower. Where nobody ever comes in time,
 * he is not asked often.
 */
#include <linux/moduleparam.h>
#include <linux/sched/isolation.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "spread.h"

/* Octets for which waking another CPU is worth while. */
#define LARGE	(12 << 10)
/* CPUs that are looked at. */
#define TRIES	8
/* Jobs that wait for a helper. */
#define WAITING	4
/* Batches that nobody helped with until one is done without asking, then three, seven,
 * at most 63 between two. To ask costs little beside a batch, and what runs on the
 * other CPU seldom does so for long.
 */
#define PATIENCE	8
#define SHY		(PATIENCE + 6)

/**
 * struct helper - what helps on a CPU
 * @work: does
 * @jobs: to be joined, not yet begun with
 * @busy: queue whose job it is at
 */
struct helper {
	struct work_struct work;
	struct espudp_job *jobs[WAITING];
	struct espudp_queue *busy;
};

static DEFINE_PER_CPU_SHARED_ALIGNED(struct helper, helpers);
static struct workqueue_struct *wq;

static bool parallel = true;
module_param(parallel, bool, 0644);
MODULE_PARM_DESC(parallel, "encrypt and decrypt large batches on several CPUs");

/* Puts @new where @old waits. False if it does not. */
static bool helper_replace(struct helper *h, struct espudp_job *old, struct espudp_job *new)
{
	unsigned int i;

	for (i = 0; i < WAITING; i++)
		if (READ_ONCE(h->jobs[i]) == old && cmpxchg(&h->jobs[i], old, new) == old)
			return true;
	return false;
}

/* How many helpers a job is worth. */
static unsigned int helpers_for(const struct espudp_job *job)
{
	return min_t(unsigned int, job->n * job->pkt[0].len / LARGE, ESPUDP_JOB_HELPERS);
}

static void help(struct work_struct *work)
{
	struct helper *h = container_of(work, struct helper, work);
	unsigned int i;

	/* Whoever puts another one where this has looked has the work done again. */
	for (i = 0; i < WAITING; i++) {
		struct espudp_job *job;

		/* Who has taken a job goes on at once, for it is waited for. */
		local_bh_disable();
		job = xchg(&h->jobs[i], NULL);
		if (job) {
			WRITE_ONCE(h->busy, job->q);
			espudp_job_help(job);
			WRITE_ONCE(h->busy, NULL);
		}
		local_bh_enable();
	}
}

/**
 * espudp_spread_wanted() - would a job's crypto be worth another CPU?
 * @job: set up
 *
 * Context: the queue's poll.
 */
bool espudp_spread_wanted(const struct espudp_job *job)
{
	/* With PREEMPT_RT, who has taken a job may have to wait for others. */
	if (!helpers_for(job) || num_online_cpus() == 1 || !READ_ONCE(parallel) ||
	    IS_ENABLED(CONFIG_PREEMPT_RT))
		return false;
	if (!job->q->skip)
		return true;
	job->q->skip--;
	return false;
}

/**
 * espudp_spread_ask() - ask other CPUs to join in a job
 * @job: set up, its SA and device held; each that is asked is one of @job->pending
 *
 * Context: BH off.
 * Return: false if there was nobody to be asked.
 */
bool espudp_spread_ask(struct espudp_job *job)
{
	unsigned int want = helpers_for(job);
	unsigned int cpu, self = smp_processor_id(), tries = TRIES;
	struct espudp_queue *q = job->q;

	job->asked = 0;
	for_each_cpu_wrap(cpu, cpu_online_mask, q->from) {
		struct helper *h = per_cpu_ptr(&helpers, cpu);

		if (cpu == self || !housekeeping_cpu(cpu, HK_TYPE_DOMAIN) ||
		    !housekeeping_cpu(cpu, HK_TYPE_WQ))
			continue;
		/* Counted before it can begin. */
		atomic_inc(&job->pending);
		if (helper_replace(h, NULL, job)) {
			job->cpu[job->asked++] = cpu;
			queue_work_on(cpu, wq, &h->work);
		} else {
			atomic_dec(&job->pending);
		}
		if (job->asked == want || !--tries)
			break;
	}
	return job->asked;
}

/**
 * espudp_spread_take_back() - do without those that have not begun
 * @job: nothing of it is left to be done, or somebody is at it
 *
 * Context: the queue's poll.
 * Return: how many of those that were asked.
 */
unsigned int espudp_spread_take_back(struct espudp_job *job)
{
	struct espudp_queue *q = job->q;
	unsigned int i, n = 0;
	bool busy = false;

	for (i = 0; i < job->asked; i++) {
		struct helper *h = per_cpu_ptr(&helpers, job->cpu[i]);

		n += helper_replace(h, job, NULL);
		busy |= READ_ONCE(h->busy) == q;
	}
	if (n < job->asked || busy) {
		q->shy = 0;
	} else {
		q->shy = min(q->shy + 1, SHY);
		q->from = job->cpu[job->asked - 1] + 1;	/* others may have time */
	}
	q->skip = q->shy > PATIENCE ? (1 << (q->shy - PATIENCE)) - 1 : 0;
	return n;
}

/**
 * espudp_spread_init() - set up the helpers
 *
 * Return: 0 or -ENOMEM.
 */
int __init espudp_spread_init(void)
{
	int cpu;

	wq = alloc_workqueue("espudp-crypt",
			     ESPUDP_WQ_PERCPU | WQ_CPU_INTENSIVE | WQ_MEM_RECLAIM, 0);
	if (!wq)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		INIT_WORK(&per_cpu_ptr(&helpers, cpu)->work, help);
	return 0;
}

/**
 * espudp_spread_exit() - end the helpers; no device is left that could give them jobs
 */
void espudp_spread_exit(void)
{
	destroy_workqueue(wq);
}
