// SPDX-License-Identifier: GPL-2.0
/* Packet memory of our own, recycled.
 *
 * Distributions zero every page that is allocated, which costs more than the
 * whole encapsulation. So each CPU keeps a ring of chunks and cuts pieces from
 * them. A piece is a page reference; a chunk whose pieces have all come back
 * has one reference left, ours, and is cut again.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include "fault.h"
#include "mem.h"

#define CHUNK_ORDER	3
#define CHUNK_SIZE	(PAGE_SIZE << CHUNK_ORDER)
#define CHUNKS		32

struct mem_ring {
	struct page *chunk[CHUNKS];
	unsigned int cur;
	unsigned int used;	/* octets cut from the current chunk */
};

static DEFINE_PER_CPU(struct mem_ring, mem_rings);

static bool ring_advance(struct mem_ring *r)
{
	unsigned int next = (r->cur + 1) % CHUNKS;
	struct page *page = r->chunk[next];

	if (!page || page_ref_count(page) != 1 || page_is_pfmemalloc(page)) {
		struct page *fresh = alloc_pages(GFP_ATOMIC | __GFP_COMP |
						 __GFP_NOWARN, CHUNK_ORDER);

		if (!fresh)
			return false;
		if (page)
			put_page(page);
		r->chunk[next] = fresh;
	}
	r->cur = next;
	r->used = 0;
	return true;
}

/**
 * espudp_mem_get() - get a piece of packet memory
 * @len: octets
 * @align: alignment, a power of two; pieces cut one after the other with
 *	sizes that keep it are contiguous while they are of one chunk
 *
 * The memory is contiguous, in the direct map, and not cleared. It is a page
 * reference, so it may become an skb's head or frag, which then frees it.
 * Context: BH off.
 *
 * Return: the piece, or NULL.
 */
void *espudp_mem_get(unsigned int len, unsigned int align)
{
	struct mem_ring *r = this_cpu_ptr(&mem_rings);
	struct page *page;
	unsigned int at;

	if (espudp_fault())
		return NULL;
	if (unlikely(len > CHUNK_SIZE)) {
		page = alloc_pages(GFP_ATOMIC | __GFP_COMP | __GFP_NOWARN,
				   get_order(len));
		return page ? page_address(page) : NULL;
	}

	at = ALIGN(r->used, align);
	if (!r->chunk[r->cur] || at + len > CHUNK_SIZE) {
		if (!ring_advance(r))
			return NULL;
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
 * espudp_mem_exit() - free the rings, once nobody calls espudp_mem_get()
 *
 * Pieces may still be in the stack's hands; they hold their chunks.
 */
void espudp_mem_exit(void)
{
	unsigned int i;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct mem_ring *r = per_cpu_ptr(&mem_rings, cpu);

		for (i = 0; i < CHUNKS; i++)
			if (r->chunk[i])
				put_page(r->chunk[i]);
	}
}
