/* SPDX-License-Identifier: GPL-2.0 */
/* Algorithms by their crypto API names; shared by the module and its tool.
 *
 * ESPUDP_ENC(name, aead, salt, iv, block, icv default, icvs, keys)
 *	aead	1 if it authenticates by itself, 0 if it needs an ESPUDP_AUTH
 *	salt	octets of salt (nonce) that follow the key
 *	iv	octets of IV on the wire
 *	block	octets that the ciphertext is a multiple of, before RFC 4303's 4
 *	icvs	ESPUDP_LENS(bits...) that may be asked for
 *	keys	ESPUDP_LENS(bits...) of key without salt
 * ESPUDP_AUTH(name, key bits, icv bits)
 */
#define ESPUDP_ALGS_ENC(ESPUDP_ENC)					\
	ESPUDP_ENC("rfc4106(gcm(aes))", 1, 4, 8, 1, 128,		\
		   ESPUDP_LENS(64, 96, 128), ESPUDP_LENS(128, 192, 256)) \
	ESPUDP_ENC("rfc7539esp(chacha20,poly1305)", 1, 4, 8, 1, 128,	\
		   ESPUDP_LENS(128, 0, 0), ESPUDP_LENS(256, 0, 0))	\
	ESPUDP_ENC("rfc4309(ccm(aes))", 1, 3, 8, 1, 128,		\
		   ESPUDP_LENS(64, 96, 128), ESPUDP_LENS(128, 192, 256)) \
	ESPUDP_ENC("rfc4543(gcm(aes))", 1, 4, 8, 1, 128,		\
		   ESPUDP_LENS(128, 0, 0), ESPUDP_LENS(128, 192, 256))	\
	ESPUDP_ENC("cbc(aes)", 0, 0, 16, 16, 0,				\
		   ESPUDP_LENS(0, 0, 0), ESPUDP_LENS(128, 192, 256))	\
	ESPUDP_ENC("cbc(des3_ede)", 0, 0, 8, 8, 0,			\
		   ESPUDP_LENS(0, 0, 0), ESPUDP_LENS(192, 0, 0))	\
	ESPUDP_ENC("rfc3686(ctr(aes))", 0, 4, 8, 1, 0,			\
		   ESPUDP_LENS(0, 0, 0), ESPUDP_LENS(128, 192, 256))	\
	ESPUDP_ENC("ecb(cipher_null)", 0, 0, 0, 1, 0,			\
		   ESPUDP_LENS(0, 0, 0), ESPUDP_LENS(0, 0, 0))

#define ESPUDP_ALGS_AUTH(ESPUDP_AUTH)					\
	ESPUDP_AUTH("hmac(md5)", 128, 96)				\
	ESPUDP_AUTH("hmac(sha1)", 160, 96)				\
	ESPUDP_AUTH("hmac(sha256)", 256, 128)				\
	ESPUDP_AUTH("hmac(sha384)", 384, 192)				\
	ESPUDP_AUTH("hmac(sha512)", 512, 256)
