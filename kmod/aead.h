/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_AEAD_H
#define _ESPUDP_AEAD_H

#include <crypto/aead.h>
#include <linux/scatterlist.h>
#include <linux/workqueue.h>
#include "chacha.h"
#include "limits.h"

struct netlink_ext_ack;

/**
 * struct espudp_aead_params - an algorithm and its keys, as asked for
 * @enc: crypto API name of an AEAD or of a cipher
 * @auth: crypto API name of a keyed hash, or NULL
 * @icv_bits: 0 for the usual length
 */
struct espudp_aead_params {
	const char *enc;
	const char *auth;
	const u8 *enc_key;
	const u8 *auth_key;
	unsigned int enc_key_len;
	unsigned int auth_key_len;
	unsigned int icv_bits;
	bool esn;
};

/**
 * struct espudp_aead - cipher of an SA
 * @tfm: transform; may complete asynchronously
 * @sync: one that never does so, for when the processor's vector registers are not
 *	to be had and @tfm would leave the work to another thread; NULL until that has
 *	happened, as it takes much memory
 * @sync_work: makes it
 * @key: for it, wiped once it is there; NULL if there will be none
 * @key_len: octets of @key; 0 if @tfm never leaves work to others
 * @chacha: key for the kernel's library, in place of transforms; or NULL
 * @assoc: octets of associated data, IV included
 * @iv: octets of IV on the wire
 * @icv: octets of ICV
 * @block: octets that the ciphertext is a multiple of, at least 4
 * @counter: IV is a counter; else it must be unpredictable
 * @in_place: cannot read from elsewhere than it writes to
 */
struct espudp_aead {
	struct crypto_aead *tfm;
	struct crypto_aead *sync;
	struct work_struct sync_work;
	u8 *key;
	unsigned int key_len;
	struct espudp_chacha *chacha;
	const char *enc;
	const char *auth;
	u8 assoc;
	u8 iv;
	u8 icv;
	u8 block;
	u8 key_bits8;		/* key bits / 8, without salt */
	bool counter;
	bool in_place;
	bool esn;
};

struct espudp_op;
typedef void (*espudp_op_fn)(void *ctx, int err);

int espudp_aead_init(struct espudp_aead *a, const struct espudp_aead_params *p,
		     struct netlink_ext_ack *extack);
void espudp_aead_free(struct espudp_aead *a);
const char *espudp_aead_driver(const struct espudp_aead *a);
int espudp_aead_crypt(struct espudp_aead *a, bool encrypt, void *esp,
		      unsigned int len, u32 seq_hi, const void *src, espudp_op_fn done,
		      void *ctx);
void espudp_aead_module_exit(void);

/* Octets on the wire, from the ESP header to the ICV, of an inner packet. */
static inline unsigned int espudp_aead_esp_len(const struct espudp_aead *a,
					       unsigned int inner)
{
	return 8 + a->iv + ALIGN(inner + 2, a->block) + a->icv;
}

/* Longest inner packet whose ESP packet has at most @len octets; 0 if none. */
static inline unsigned int espudp_aead_inner_max(const struct espudp_aead *a,
						 unsigned int len)
{
	unsigned int overhead = 8 + a->iv + a->icv;

	if (len < overhead + a->block)
		return 0;
	return ALIGN_DOWN(len - overhead, a->block) - 2;
}

#endif
