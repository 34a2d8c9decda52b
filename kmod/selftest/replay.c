// SPDX-License-Identifier: GPL-2.0
/* Tests of replay.c: what RFC 4303 says of certain numbers, every edge of the
 * window, and a long random run beside a model that remembers each number.
 */
#include <linux/vmalloc.h>
#include "check.h"

#define OLD	ESPUDP_DROP_RX_REPLAY_OLD
#define SEEN	ESPUDP_DROP_RX_REPLAY_SEEN
#define GOOD	ESPUDP_DROP_NONE
#define STEPS	(IS_ENABLED(CONFIG_KASAN) ? 200 : 1000)
#define SPAN	BIT(17)	/* numbers the model remembers behind the first top */

static const u32 windows[] = { 0, 1, 2, 63, 64, 65, 127, 128, 129, 1023, 1024, 8191, 8192 };

/* Fresh windows: all numbers up to @top count as received. */
static const struct {
	u32 window;
	bool esn;
	u64 top;
	u32 lo;
	enum espudp_drop want;
	u64 seq;
} cases[] = {
	{ 64, false, 0, 0, SEEN, 0 },
	{ 64, false, 0, 1, GOOD, 1 },
	{ 64, false, 0, 0xffffffff, GOOD, 0xffffffff },
	{ 64, false, 0xffffffff, 0, SEEN, 0 },
	{ 64, false, 0xffffffff, 1, OLD, 1 },
	{ 64, false, 0xffffffff, 0xffffffbf, OLD, 0xffffffbf },
	{ 64, false, 0xffffffff, 0xffffffc0, SEEN, 0xffffffc0 },
	{ 0, false, 0xffffffff, 0, GOOD, 0 },
	{ 0, false, 100, 100, GOOD, 100 },
	/* RFC 4303 appendix A2.1, case A: the window lies in one subspace */
	{ 64, true, 0x100000100, 0xc0, GOOD, 0x2000000c0 },
	{ 64, true, 0x100000100, 0xc1, SEEN, 0x1000000c1 },
	{ 64, true, 0x100000100, 0x100, SEEN, 0x100000100 },
	{ 64, true, 0x100000100, 0x101, GOOD, 0x100000101 },
	{ 64, true, 0x100000100, 0xffffffff, GOOD, 0x1ffffffff },
	{ 64, true, 0xffffffff, 0, GOOD, 0x100000000 },
	{ 64, true, 0xffffffff, 0xffffffc0, SEEN, 0xffffffc0 },
	{ 64, true, 0xffffffff, 0xffffffbf, GOOD, 0x1ffffffbf },
	{ 64, true, 63, 0, SEEN, 0 },
	{ 64, true, 64, 0, GOOD, 0x100000000 },
	/* case B: it spans two */
	{ 64, true, 0x10000000a, 0xffffffff, SEEN, 0xffffffff },
	{ 64, true, 0x10000000a, 0xffffffcb, SEEN, 0xffffffcb },
	{ 64, true, 0x10000000a, 0xffffffca, GOOD, 0x1ffffffca },
	{ 64, true, 0x10000000a, 0, SEEN, 0x100000000 },
	{ 64, true, 0x10000000a, 0xb, GOOD, 0x10000000b },
	/* neither before the first number nor behind the last */
	{ 64, true, 0, 0, SEEN, 0 },
	{ 64, true, 0, 1, GOOD, 1 },
	{ 64, true, 0, 0xffffffc0, GOOD, 0xffffffc0 },
	{ 64, true, 0, 0xffffffc1, OLD, 0xffffffffffffffc1 },
	{ 64, true, 62, 0xffffffff, OLD, 0xffffffffffffffff },
	{ 64, true, 62, 0, SEEN, 0 },
	{ 64, true, U64_MAX, 0xffffffff, SEEN, U64_MAX },
	{ 64, true, U64_MAX, 0, OLD, 0 },
	{ 64, true, U64_MAX - 10, 0xffffffff, GOOD, U64_MAX },
	{ 64, true, U64_MAX - 10, 5, OLD, 5 },
};

static bool test_cases(void)
{
	struct espudp_replay r;
	enum espudp_drop got;
	bool good = true;
	size_t i;
	u64 seq;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (espudp_replay_init(&r, cases[i].window, cases[i].esn, cases[i].top))
			return check(false, "no memory");
		got = espudp_replay_check(&r, cases[i].lo, &seq);
		good &= check(got == cases[i].want && seq == cases[i].seq,
			      "case %zu: %d and %llx, not %d and %llx", i, got, seq,
			      cases[i].want, cases[i].seq);
		espudp_replay_free(&r);
	}

	good &= check(espudp_replay_init(&r, ESPUDP_WINDOW_MAX + 1, false, 0) == -EINVAL,
		      "window too large");
	good &= check(espudp_replay_init(&r, 0, true, 0) == -EINVAL, "ESN without a window");
	good &= check(espudp_replay_init(&r, 64, false, 1ULL << 32) == -EINVAL,
		      "33 bits without ESN");
	return good;
}

/* Jumps over a whole window and a bit, then takes every number below. */
static bool test_edges(u32 window, bool esn, u64 start)
{
	struct espudp_replay r;
	enum espudp_drop want;
	bool newest, good;
	u64 top, seq;
	u32 d;

	if (espudp_replay_init(&r, window, esn, start))
		return check(false, "no memory");
	top = start + window + 99;
	local_bh_disable();
	good = check(espudp_replay_check(&r, top, &seq) == GOOD && seq == top &&
		     espudp_replay_commit(&r, seq, &newest) == GOOD && newest,
		     "window %u from %llx: top", window, start);
	for (d = 0; good && d < window + 66; d++) {
		want = d >= window ? OLD : d ? GOOD : SEEN;
		/* with ESN such a number is taken for one of the next subspace */
		if (!esn || d < window)
			good = check(espudp_replay_check(&r, top - d, &seq) == want &&
				     seq == top - d,
				     "window %u from %llx: check %u below", window, start, d);
		good &= check(espudp_replay_commit(&r, top - d, &newest) == want && !newest,
			      "window %u from %llx: %u below", window, start, d);
		want = want == GOOD ? SEEN : want;
		good &= check(espudp_replay_commit(&r, top - d, &newest) == want && !newest,
			      "window %u from %llx: %u below again", window, start, d);
	}
	local_bh_enable();
	espudp_replay_free(&r);
	return good;
}

struct model {
	u32 window;
	bool esn;
	u64 start;
	u64 top;
	u8 *seen;
};

/* RFC 4303 appendix A2.2 to the letter. */
static bool model_infer(const struct model *m, u32 seql, u64 *seq)
{
	u32 tl = m->top, th = m->top >> 32, w = m->window, seqh;

	if (tl >= w - 1) {
		seqh = seql >= tl - w + 1 ? th : th + 1;
		if (seqh < th)
			return false;
	} else {
		seqh = seql >= tl - w + 1 ? th - 1 : th;
		if (seqh > th)
			return false;
	}
	*seq = (u64)seqh << 32 | seql;
	return true;
}

static enum espudp_drop model_look(const struct model *m, u64 seq)
{
	if (!m->window)
		return GOOD;
	if (!seq)
		return SEEN;
	if (seq > m->top)
		return GOOD;
	if (m->top - seq >= m->window)
		return OLD;
	return seq <= m->start || m->seen[seq - m->start] ? SEEN : GOOD;
}

static u32 pick(struct rnd_state *rnd, const struct model *m)
{
	u32 x = prandom_u32_state(rnd), reach = m->window + 100;

	switch (x % 32) {
	case 0:
		return prandom_u32_state(rnd);
	case 1:
		return m->top + x / 32 % (3 * reach);
	case 2:
		return m->top - m->window + x / 32 % 3 - 1;
	case 3 ... 7:
		return m->top + x / 32 % 5 - 2;
	default:
		return m->top + 60 - x / 32 % reach;
	}
}

static bool test_random(struct model *m, struct rnd_state *rnd, int steps)
{
	enum espudp_drop want, got;
	struct espudp_replay r;
	bool newest, good = true;
	u64 seq, want_seq;

	m->top = m->start;
	memset(m->seen, 0, SPAN);
	if (espudp_replay_init(&r, m->window, m->esn, m->start))
		return check(false, "no memory");

	local_bh_disable();
	while (good && steps--) {
		u32 lo = pick(rnd, m);

		got = espudp_replay_check(&r, lo, &seq);
		want_seq = lo;
		if (m->esn && m->window && !model_infer(m, lo, &want_seq)) {
			good = check(got == OLD, "window %u top %llx: %x is out of range",
				     m->window, m->top, lo);
			continue;
		}
		want = model_look(m, want_seq);
		good = check(got == want && seq == want_seq,
			     "window %u esn %d from %llx top %llx: check %llx: %d and %llx, not %d",
			     m->window, m->esn, m->start, m->top, want_seq, got, seq, want);
		if (seq > m->start && seq - m->start >= SPAN)
			continue;
		/* A forger gets this far and no farther. */
		if (want == GOOD && prandom_u32_state(rnd) % 8 == 0)
			continue;

		got = espudp_replay_commit(&r, seq, &newest);
		good &= check(got == want && newest == (want == GOOD && seq > m->top),
			      "window %u esn %d from %llx top %llx: commit %llx: %d, not %d",
			      m->window, m->esn, m->start, m->top, seq, got, want);
		if (want == GOOD && seq > m->start)
			m->seen[seq - m->start] = 1;
		if (want == GOOD)
			m->top = max(m->top, seq);
	}
	local_bh_enable();
	espudp_replay_free(&r);
	return good;
}

static bool test_window(struct model *m, struct rnd_state *rnd, u32 window)
{
	const u64 starts[] = {
		0, 1, 63, window / 2, window, 0x12345678, U32_MAX - 2 * window - 300,
		/* with ESN only */
		U32_MAX, U32_MAX - 40, U32_MAX - window - 98, BIT_ULL(32) + window / 2,
		BIT_ULL(33) - window, 0xabcdef0000000123, U64_MAX - 2 * window - 300, U64_MAX - 2,
	};
	bool good = true;
	size_t i;

	m->window = window;
	for (i = 0; good && i < ARRAY_SIZE(starts); i++) {
		m->start = starts[i];
		if (starts[i] <= U32_MAX - 2 * window - 300) {
			m->esn = false;
			good &= test_random(m, rnd, STEPS);
			if (window && i % 2)
				good &= test_edges(window, false, starts[i]);
		}
		if (window) {
			m->esn = true;
			good &= test_random(m, rnd, STEPS);
			if (i % 2 && starts[i] < U64_MAX - 2)
				good &= test_edges(window, true, starts[i]);
		}
	}
	return good;
}

bool espudp_replay_selftest(void)
{
	struct rnd_state rnd;
	struct model m;
	bool good;
	size_t i;

	check_begin("replay");
	m.seen = vmalloc(SPAN);
	if (!m.seen)
		return check(false, "no memory");
	prandom_seed_state(&rnd, 4303);
	good = test_cases();
	for (i = 0; good && i < ARRAY_SIZE(windows); i++)
		good = test_window(&m, &rnd, windows[i]);
	vfree(m.seen);
	return check_end(good);
}

#undef OLD
#undef SEEN
#undef GOOD
#undef STEPS
#undef SPAN
