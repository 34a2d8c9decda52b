// SPDX-License-Identifier: GPL-2.0
/* ChaCha20-Poly1305 for ESP (RFC 7634) by the kernel's library, which works on plain
 * memory: the crypto API's requests and walks over scatterlists cost more than
 * a third of the cipher itself.
 */
#include <crypto/algapi.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include "chacha.h"

#ifdef ESPUDP_LIB_CHACHA
#include <crypto/chacha.h>
#include <crypto/poly1305.h>

static bool chacha_library = true;
module_param(chacha_library, bool, 0644);
MODULE_PARM_DESC(chacha_library, "ChaCha20-Poly1305 of new SAs by the kernel's library, not by the crypto API");

/**
 * espudp_chacha_new() - set up a key
 * @key: key and salt; the caller wipes it
 * @len: their octets
 *
 * Context: process.
 * Return: the key, to be freed by kfree_sensitive(); NULL if the crypto API has to do.
 */
struct espudp_chacha *espudp_chacha_new(const u8 *key, unsigned int len)
{
	struct espudp_chacha *c;
	unsigned int i;

	if (!READ_ONCE(chacha_library) || len != sizeof(c->key) + sizeof(c->salt))
		return NULL;
	c = kmalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(c->key); i++)
		c->key[i] = get_unaligned_le32(key + i * 4);
	memcpy(c->salt, key + sizeof(c->key), sizeof(c->salt));
	return c;
}

/* Over associated data, ciphertext and the lengths of both (RFC 8439 section 2.8). */
static void authenticate(u8 *tag, const u8 *key, const void *esp, bool esn, u32 seq_hi,
			 const u8 *text, unsigned int n)
{
	static const u8 zero[POLY1305_BLOCK_SIZE];
	struct poly1305_desc_ctx poly;
	u8 aad[POLY1305_BLOCK_SIZE] = {};
	__le64 lens[2] = { cpu_to_le64(esn ? 12 : 8), cpu_to_le64(n) };

	memcpy(aad, esp, 4);
	if (esn)
		put_unaligned_be32(seq_hi, aad + 4);
	memcpy(aad + (esn ? 8 : 4), esp + 4, 4);

	poly1305_init(&poly, key);
	poly1305_update(&poly, aad, sizeof(aad));
	poly1305_update(&poly, text, n);
	if (n % POLY1305_BLOCK_SIZE)
		poly1305_update(&poly, zero, -n % POLY1305_BLOCK_SIZE);
	poly1305_update(&poly, (u8 *)lens, sizeof(lens));
	poly1305_final(&poly, tag);	/* wipes its state */
}

/**
 * espudp_chacha_crypt() - encrypt or decrypt an ESP packet
 * @c: key
 * @encrypt: else decrypt
 * @esp: packet, as for espudp_aead_crypt(); so are @len, @seq_hi and @src
 * @len: octets from ESP header to ICV
 * @esn: @seq_hi is authenticated, too
 * @seq_hi: upper half of the sequence number
 * @src: what is behind the IV, or NULL
 *
 * Context: BH off.
 * Return: 0, or -EBADMSG for a wrong ICV.
 */
int espudp_chacha_crypt(const struct espudp_chacha *c, bool encrypt, void *esp,
			unsigned int len, bool esn, u32 seq_hi, const void *src)
{
	unsigned int n = len - 16 - POLY1305_DIGEST_SIZE;
	u8 iv[CHACHA_IV_SIZE] = {};	/* block counter 0, salt, IV */
	u8 block[CHACHA_BLOCK_SIZE] = {};
	u32 state[CHACHA_STATE_WORDS];
	u8 tag[POLY1305_DIGEST_SIZE];
	u8 *text = esp + 16;
	int err = 0;

	src = src ?: text;
	memcpy(iv + 4, c->salt, 4);
	memcpy(iv + 8, esp + 8, 8);
	chacha_init(state, c->key, iv);
	chacha_crypt(state, block, block, sizeof(block), 20);

	if (encrypt) {
		chacha_crypt(state, text, src, n, 20);
		authenticate(text + n, block, esp, esn, seq_hi, text, n);
	} else {
		authenticate(tag, block, esp, esn, seq_hi, src, n);
		if (likely(!crypto_memneq(tag, src + n, sizeof(tag))))
			chacha_crypt(state, text, src, n, 20);
		else
			err = -EBADMSG;
	}
	memzero_explicit(state, sizeof(state));
	memzero_explicit(block, sizeof(block));
	return err;
}

#else

struct espudp_chacha *espudp_chacha_new(const u8 *key, unsigned int len)
{
	return NULL;
}

int espudp_chacha_crypt(const struct espudp_chacha *c, bool encrypt, void *esp,
			unsigned int len, bool esn, u32 seq_hi, const void *src)
{
	return -EOPNOTSUPP;
}

#endif
