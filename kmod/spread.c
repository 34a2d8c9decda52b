// SPDX-License-Identifier: GPL-2.0
/* Crypto of one SA on several CPUs.
 *
 * The poll that has a large batch gives it to a CPU whose helper has nothing to
 * do, and goes on; if there is none it does the work itself, as it does with small
 * batches, for whose sake nobody is woken. So one flow has as many CPUs as it can
 * use, and its order is the queue's. A batch that its helper has not begun with when
 * the next one comes, as its CPU has more urgent things to do, is taken back.
 */
#include <linux/moduleparam.h>
#include <linux/sched/isolation.h>
#include <linux/workqueue.h>
#include "spread.h"

/* Packets for which waking another CPU is worth while. */
#define LARGE	8
/* CPUs that are asked. */
#define TRIES	8

/**
 * struct helper - what helps on a CPU
 * @work: runs the job
 * @job: given, not yet begun with
 * @busy: runs one
 */
struct helper {
	struct work_struct work;
	struct espudp_job *job;
	bool busy;
};

static DEFINE_PER_CPU(struct helper, helpers);
static struct workqueue_struct *wq;

static bool parallel;
module_param(parallel, bool, 0644);
MODULE_PARM_DESC(parallel, "encrypt and decrypt large batches on CPUs that are idle");

static void help(struct work_struct *work)
{
	struct helper *h = container_of(work, struct helper, work);
	struct espudp_job *job;

	WRITE_ONCE(h->busy, true);
	job = xchg(&h->job, NULL);
	if (job) {
		local_bh_disable();
		espudp_job_run(job, true);
		local_bh_enable();
	}
	WRITE_ONCE(h->busy, false);
}

/**
 * espudp_spread_give() - let another CPU do a job's crypto
 * @job: set up, its SA and device held
 *
 * Context: BH off.
 * Return: false if nobody is there to do it; then the caller has to.
 */
bool espudp_spread_give(struct espudp_job *job)
{
	unsigned int cpu, self = smp_processor_id(), tries = TRIES;

	for_each_cpu_wrap(cpu, cpu_online_mask, self) {
		struct helper *h = per_cpu_ptr(&helpers, cpu);

		if (cpu == self || !housekeeping_cpu(cpu, HK_TYPE_DOMAIN))
			continue;
		if (!READ_ONCE(h->busy) && !READ_ONCE(h->job)) {
			job->cpu = cpu;
			if (!cmpxchg(&h->job, NULL, job)) {
				queue_work_on(cpu, wq, &h->work);
				return true;
			}
		}
		if (!--tries)
			break;
	}
	return false;
}

/**
 * espudp_spread_wanted() - would a job's crypto be worth another CPU?
 * @job: set up
 */
bool espudp_spread_wanted(const struct espudp_job *job)
{
	return job->n >= LARGE && num_online_cpus() > 1 && READ_ONCE(parallel);
}

/**
 * espudp_spread_take_back() - take a job back that has not begun
 * @job: was given
 *
 * Return: true if it is the caller's again.
 */
bool espudp_spread_take_back(struct espudp_job *job)
{
	return cmpxchg(&per_cpu_ptr(&helpers, job->cpu)->job, job, NULL) == job;
}

/**
 * espudp_spread_init() - set up the helpers
 *
 * Return: 0 or -ENOMEM.
 */
int __init espudp_spread_init(void)
{
	int cpu;

	wq = alloc_workqueue("espudp-crypt", WQ_CPU_INTENSIVE | WQ_MEM_RECLAIM, 0);
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
