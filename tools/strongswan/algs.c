// SPDX-License-Identifier: GPL-2.0
#include "algs.h"

static const struct {
	uint16_t id;
	const char *name;
	uint16_t icv; /* of an AEAD, in bits */
} encs[] = {
	{ ENCR_AES_GCM_ICV8, "rfc4106(gcm(aes))", 64 },
	{ ENCR_AES_GCM_ICV12, "rfc4106(gcm(aes))", 96 },
	{ ENCR_AES_GCM_ICV16, "rfc4106(gcm(aes))", 128 },
	{ ENCR_AES_CCM_ICV8, "rfc4309(ccm(aes))", 64 },
	{ ENCR_AES_CCM_ICV12, "rfc4309(ccm(aes))", 96 },
	{ ENCR_AES_CCM_ICV16, "rfc4309(ccm(aes))", 128 },
	{ ENCR_NULL_AUTH_AES_GMAC, "rfc4543(gcm(aes))", 128 },
	{ ENCR_CHACHA20_POLY1305, "rfc7539esp(chacha20,poly1305)", 128 },
	{ ENCR_AES_CBC, "cbc(aes)", 0 },
	{ ENCR_AES_CTR, "rfc3686(ctr(aes))", 0 },
	{ ENCR_3DES, "cbc(des3_ede)", 0 },
	{ ENCR_NULL, "ecb(cipher_null)", 0 },
}, integs[] = {
	{ AUTH_HMAC_MD5_96, "hmac(md5)", 96 },
	{ AUTH_HMAC_SHA1_96, "hmac(sha1)", 96 },
	{ AUTH_HMAC_SHA2_256_96, "hmac(sha256)", 96 },
	{ AUTH_HMAC_SHA2_256_128, "hmac(sha256)", 128 },
	{ AUTH_HMAC_SHA2_384_192, "hmac(sha384)", 192 },
	{ AUTH_HMAC_SHA2_512_256, "hmac(sha512)", 256 },
};

bool algs_set(struct sa *sa, uint16_t enc, uint16_t integ)
{
	bool found = FALSE;

	for (int i = 0; i < countof(encs) && !found; i++) {
		if (encs[i].id != enc)
			continue;
		found = TRUE;
		strncpy(sa->enc, encs[i].name, sizeof(sa->enc) - 1);
		sa->icv_bits = encs[i].icv;
	}
	if (!found) {
		DBG1(DBG_KNL, "espudp: algorithm %N not supported",
		     encryption_algorithm_names, enc);
		return FALSE;
	}
	SET(sa, ESPUDP_A_SA_ENC);
	SET(sa, ESPUDP_A_SA_ICV_BITS);
	if (sa->icv_bits)
		return TRUE;
	for (int i = 0; i < countof(integs); i++) {
		if (integs[i].id != integ)
			continue;
		strncpy(sa->auth, integs[i].name, sizeof(sa->auth) - 1);
		sa->icv_bits = integs[i].icv;
		SET(sa, ESPUDP_A_SA_AUTH);
		return TRUE;
	}
	DBG1(DBG_KNL, "espudp: algorithm %N not supported",
	     integrity_algorithm_names, integ);
	return FALSE;
}
