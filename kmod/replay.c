// SPDX-License-Identifier: GPL-2.0
/* Anti-replay window, RFC 4303 section 3.4.3, on a ring of words as RFC 6479
 * describes: moving the window clears whole words and shifts nothing. The ring
 * has a word more than the window needs, so that it can begin anywhere in one.
 */
#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include "limits.h"
#include "replay.h"

/* Else the lockless reader could see one half of @top. */
static_assert(sizeof(long) == sizeof(u64), "espudp needs a 64-bit kernel");

/**
 * espudp_replay_init() - set up a window
 * @r: window
 * @window: size in packets, 0 for no replay protection
 * @esn: extended sequence numbers
 * @top: highest sequence number that counts as received
 *
 * All numbers up to @top count as received: which ones really were is not
 * known, and a replay must not pass.
 *
 * Context: process.
 * Return: 0, -EINVAL or -ENOMEM.
 */
int espudp_replay_init(struct espudp_replay *r, u32 window, bool esn, u64 top)
{
	if (window > ESPUDP_WINDOW_MAX || (esn && !window) || (!esn && top > U32_MAX))
		return -EINVAL;

	spin_lock_init(&r->lock);
	r->top = top;
	r->window = window;
	r->words = 0;
	r->esn = esn;
	r->bitmap = NULL;
	if (!window)
		return 0;

	r->words = roundup_pow_of_two(DIV_ROUND_UP(window, BITS_PER_LONG) + 1);
	r->bitmap = kmalloc_array(r->words, sizeof(*r->bitmap), GFP_KERNEL_ACCOUNT);
	if (!r->bitmap)
		return -ENOMEM;
	memset(r->bitmap, 0xff, r->words * sizeof(*r->bitmap));
	r->bitmap[BIT_WORD(top) & (r->words - 1)] = GENMASK(top % BITS_PER_LONG, 0);
	return 0;
}

/**
 * espudp_replay_free() - free a window
 * @r: window that nobody uses any more; may be all zero
 */
void espudp_replay_free(struct espudp_replay *r)
{
	kfree(r->bitmap);
	r->bitmap = NULL;
}

static inline unsigned long *word_of(const struct espudp_replay *r, u64 seq)
{
	return &r->bitmap[BIT_WORD(seq) & (r->words - 1)];
}

/* Of all numbers that end in @seq_lo the one between the window's bottom and
 * 2^32 - 1 above it, which is what RFC 4303 appendix A2.2 infers in both of
 * its cases. False if that lies before the first number or behind the last.
 */
static bool infer_esn(u64 top, u32 window, u32 seq_lo, u64 *seq)
{
	u64 bottom = top - window + 1;
	u32 above = seq_lo - (u32)bottom;

	*seq = bottom + above;
	return (above < window) == (*seq <= top);
}

/**
 * espudp_replay_check() - look whether a packet is worth decrypting
 * @r: window of its SA
 * @seq_lo: sequence number in the packet
 * @seq: set to the whole sequence number, to authenticate and to commit
 *
 * Changes nothing and takes no lock: what it lets pass, the commit decides.
 *
 * Return: ESPUDP_DROP_NONE, ESPUDP_DROP_RX_REPLAY_OLD or
 * ESPUDP_DROP_RX_REPLAY_SEEN.
 */
enum espudp_drop espudp_replay_check(const struct espudp_replay *r, u32 seq_lo, u64 *seq)
{
	/* Pairs with the release in commit: whoever sees a new top sees the
	 * words that it cleared, too, and takes no new number for an old one.
	 */
	u64 top = smp_load_acquire(&r->top);

	*seq = seq_lo;
	if (!r->window)
		return ESPUDP_DROP_NONE;
	if (r->esn && !infer_esn(top, r->window, seq_lo, seq))
		return ESPUDP_DROP_RX_REPLAY_OLD;
	if (unlikely(!*seq))
		return ESPUDP_DROP_RX_REPLAY_SEEN;
	if (likely(*seq > top))
		return ESPUDP_DROP_NONE;
	if (top - *seq >= r->window)
		return ESPUDP_DROP_RX_REPLAY_OLD;
	if (READ_ONCE(*word_of(r, *seq)) & BIT_MASK(*seq))
		return ESPUDP_DROP_RX_REPLAY_SEEN;
	return ESPUDP_DROP_NONE;
}

/* Makes room for the numbers behind the old top. */
static void clear_words(struct espudp_replay *r, u64 seq)
{
	u64 word = BIT_WORD(r->top);
	u64 n = min_t(u64, BIT_WORD(seq) - word, r->words);

	while (n--)
		WRITE_ONCE(r->bitmap[++word & (r->words - 1)], 0);
}

/**
 * espudp_replay_commit() - accept a packet that was authenticated, once
 * @r: window of its SA
 * @seq: what espudp_replay_check() made of its sequence number
 * @newest: set to whether it is the highest sequence number so far
 *
 * Context: BH off.
 * Return: ESPUDP_DROP_NONE, ESPUDP_DROP_RX_REPLAY_OLD or
 * ESPUDP_DROP_RX_REPLAY_SEEN.
 */
enum espudp_drop espudp_replay_commit(struct espudp_replay *r, u64 seq, bool *newest)
{
	enum espudp_drop why = ESPUDP_DROP_NONE;
	unsigned long *word;

	*newest = false;
	spin_lock(&r->lock);
	if (!r->window) {
		*newest = seq > r->top;
		if (*newest)
			WRITE_ONCE(r->top, seq);
		goto out;
	}
	if (unlikely(!seq)) {
		why = ESPUDP_DROP_RX_REPLAY_SEEN;
		goto out;
	}

	if (likely(seq > r->top)) {
		clear_words(r, seq);
		/* Pairs with the acquire in check. */
		smp_store_release(&r->top, seq);
		*newest = true;
	} else if (r->top - seq >= r->window) {
		why = ESPUDP_DROP_RX_REPLAY_OLD;
		goto out;
	}
	word = word_of(r, seq);
	if (*word & BIT_MASK(seq))
		why = ESPUDP_DROP_RX_REPLAY_SEEN;
	else
		WRITE_ONCE(*word, *word | BIT_MASK(seq));
out:
	spin_unlock(&r->lock);
	return why;
}

#ifdef ESPUDP_DEBUG
#include "selftest/replay.c"
#endif
