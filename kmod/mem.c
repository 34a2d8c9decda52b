// SPDX-License-Identifier: GPL-2.0
/* Packet memory of our own, recycled.
 *
 * Distributions zero every page that is allocated, which costs more than the
 * whole encapsulation. So each CPU keeps a ring of chunks and cuts pieces from
 * them. A piece is a page reference; a chunk whose pieces have all come back
 * has one reference left, ours, and is cut again.
 */
#include <linux/slab.h>
#include "fault.h"
#include "mem.h"

#define CHUNK_ORDER	3
#define CHUNK_SIZE	(PAGE_SIZE << CHUNK_ORDER)
#define CHUNKS		128	/* 4 MiB, if so much is in others' hands at a time */
#define LOOK_AHEAD	4

struct mem_ring {
	struct page *chunk[CHUNKS];
	unsigned int n;
	unsigned int cur;
	unsigned int used;	/* octets cut from the current chunk */
};

static DEFINE_PER_CPU(struct mem_ring [ESPUDP_MEM_USES], mem_rings);

/* Its address is in page_private() of chunks for transmission. */
static const char ours;

static bool chunk_idle(const struct page *page)
{
	return page_ref_count(page) == 1 && !page_is_pfmemalloc(page);
}

/* Goes on to a chunk that nobody uses. If the next ones are all in use the ring
 * grows, and when it may not any more, lets go of one.
 */
static bool ring_advance(struct mem_ring *r, enum espudp_mem_use use)
{
	unsigned int next = r->n ? (r->cur + 1) % r->n : 0;
	struct page *fresh;
	unsigned int i;

	for (i = 0; i < min(r->n, LOOK_AHEAD); i++) {
		unsigned int at = (next + i) % r->n;

		if (chunk_idle(r->chunk[at])) {
			swap(r->chunk[at], r->chunk[next]);
			goto found;
		}
	}
	fresh = alloc_pages(GFP_ATOMIC | __GFP_COMP | __GFP_NOWARN, CHUNK_ORDER);
	if (!fresh)
		return false;
	if (r->n == CHUNKS)
		put_page(r->chunk[next]);
	else if (r->n++)
		r->chunk[r->n - 1] = r->chunk[next];
	r->chunk[next] = fresh;
	if (use == ESPUDP_MEM_TX)
		set_page_private(fresh, (unsigned long)&ours);
found:
	r->cur = next;
	r->used = 0;
	return true;
}

/* A piece by itself: too large for a chunk, or there is memory in small pieces only. */
static void *alone(unsigned int len)
{
	struct page *page = alloc_pages(GFP_ATOMIC | __GFP_COMP | __GFP_NOWARN, get_order(len));

	return page ? page_address(page) : NULL;
}

/**
 * espudp_mem_get() - get a piece of packet memory
 * @use: pieces of different uses come back after different times
 * @len: octets
 * @align: alignment, a power of two; pieces cut for transmission one after the
 *	other with sizes that keep it are contiguous while they are of one chunk
 *
 * The memory is contiguous, in the direct map, and not cleared. It is a page
 * reference, so it may become an skb's head or frag, which then frees it.
 * Context: BH off.
 *
 * Return: the piece, or NULL.
 */
void *espudp_mem_get(enum espudp_mem_use use, unsigned int len, unsigned int align)
{
	struct mem_ring *r = this_cpu_ptr(&mem_rings[use]);
	struct page *page;
	unsigned int at;

	if (espudp_fault())
		return NULL;
	if (unlikely(len > CHUNK_SIZE))
		return alone(len);

	at = ALIGN(r->used, align);
	/* Ciphers walk a packet page by page, and each step costs. */
	if (use == ESPUDP_MEM_RX && len <= PAGE_SIZE && offset_in_page(at) + len > PAGE_SIZE)
		at = PAGE_ALIGN(at);
	if (unlikely(!r->n || at + len > CHUNK_SIZE)) {
		if (unlikely(!ring_advance(r, use)))
			return alone(len);
		at = 0;
	}
	page = r->chunk[r->cur];
	get_page(page);
	r->used = at + len;
	return page_address(page) + at;
}

/**
 * espudp_mem_put() - give a piece back that no skb took over
 * @p: from espudp_mem_get()
 */
void espudp_mem_put(void *p)
{
	put_page(virt_to_head_page(p));
}

/**
 * espudp_mem_is_ours() - is this memory for transmission, that only we write to?
 * @page: of a packet
 *
 * What was handed down to be sent may come back as a received packet, if the peer
 * is on this host.
 */
bool espudp_mem_is_ours(struct page *page)
{
	struct page *head = compound_head(page);

	return PageHead(head) && compound_order(head) == CHUNK_ORDER &&
	       page_private(head) == (unsigned long)&ours;
}

/**
 * espudp_mem_exit() - free the rings, once nobody calls espudp_mem_get()
 *
 * Pieces may still be in the stack's hands; they hold their chunks.
 */
void espudp_mem_exit(void)
{
	unsigned int use;
	int cpu;

	for_each_possible_cpu(cpu) {
		for (use = 0; use < ESPUDP_MEM_USES; use++) {
			struct mem_ring *r = per_cpu_ptr(&mem_rings[use], cpu);

			while (r->n)
				put_page(r->chunk[--r->n]);
		}
	}
}

/**
 * espudp_spare_get() - get an object, not cleared
 * @spares: where objects of that kind are kept
 * @size: octets of one
 *
 * Context: BH off.
 * Return: the object, or NULL.
 */
void *espudp_spare_get(struct espudp_spares __percpu *spares, size_t size)
{
	struct espudp_spares *s = this_cpu_ptr(spares);

	if (espudp_fault())
		return NULL;
	if (likely(s->n))
		return s->obj[--s->n];
	return kmalloc(size, GFP_ATOMIC | __GFP_NOWARN);
}

/**
 * espudp_spare_put() - give an object back
 * @spares: where it is kept
 * @obj: from espudp_spare_get()
 *
 * Context: BH off.
 */
void espudp_spare_put(struct espudp_spares __percpu *spares, void *obj)
{
	struct espudp_spares *s = this_cpu_ptr(spares);

	if (likely(s->n < ESPUDP_SPARES))
		s->obj[s->n++] = obj;
	else
		kfree(obj);
}

/**
 * espudp_spares_free() - free what is kept, once nobody gets any more
 * @spares: of one kind
 */
void espudp_spares_free(struct espudp_spares __percpu *spares)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct espudp_spares *s = per_cpu_ptr(spares, cpu);

		while (s->n)
			kfree(s->obj[--s->n]);
	}
}
