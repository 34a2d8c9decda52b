/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_REPLAY_H
#define _ESPUDP_REPLAY_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <uapi/linux/espudp.h>

/**
 * struct espudp_replay - anti-replay window of an inbound SA (RFC 6479)
 * @lock: protects @bitmap; @top is written under it and read without
 * @top: highest sequence number received, 64 bits also without ESN
 * @window: size in packets, 0 to 8192; 0 accepts everything
 * @words: size of @bitmap, a power of two, one word more than the window needs
 * @esn: extended sequence numbers
 */
struct espudp_replay {
	spinlock_t lock;	/* writers */
	u64 top;
	u32 window;
	u32 words;
	bool esn;
	unsigned long *bitmap;
};

int espudp_replay_init(struct espudp_replay *r, u32 window, bool esn, u64 top);
void espudp_replay_free(struct espudp_replay *r);
enum espudp_drop espudp_replay_check(const struct espudp_replay *r, u32 seq_lo, u64 *seq);
enum espudp_drop espudp_replay_commit(struct espudp_replay *r, u64 seq, bool *newest);

#ifdef ESPUDP_DEBUG
bool espudp_replay_selftest(void);
#endif

#endif
