/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ESPUDP_CHACHA_H
#define _ESPUDP_CHACHA_H

#include <linux/types.h>

/**
 * struct espudp_chacha - key of ChaCha20-Poly1305 (RFC 7634)
 * @key: of ChaCha20
 * @salt: first four octets of the nonce
 */
struct espudp_chacha {
	u32 key[8];
	u8 salt[4];
};

struct espudp_chacha *espudp_chacha_new(const u8 *key, unsigned int len);
int espudp_chacha_crypt(const struct espudp_chacha *c, bool encrypt, void *esp,
			unsigned int len, bool esn, u32 seq_hi, const void *src);

#endif
