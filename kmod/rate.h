/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_RATE_H
#define _ESPUDP_RATE_H

#include <linux/atomic.h>
#include <linux/jiffies.h>

/**
 * struct espudp_rate - bounds what anybody may cause
 * @second: that is being counted
 * @count: how often in it
 */
struct espudp_rate {
	unsigned long second;
	atomic_t count;
};

/* Whether it may happen once more; on several CPUs a few more pass. */
static inline bool espudp_rate_allows(struct espudp_rate *rate, int limit)
{
	unsigned long second = jiffies / HZ;

	if (READ_ONCE(rate->second) != second) {
		WRITE_ONCE(rate->second, second);
		atomic_set(&rate->count, 0);
	}
	return atomic_inc_return(&rate->count) <= limit;
}

#endif
