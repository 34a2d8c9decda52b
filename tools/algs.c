// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "../kmod/algs.h"
#include "algs.h"
#include "format.h"

struct enc {
	const char *name;
	bool aead;
	unsigned int salt;
	unsigned int icv;
	unsigned int icvs[3];
	unsigned int keys[3];
};

struct auth {
	const char *name;
	unsigned int key;
	unsigned int icv;
};

#define ESPUDP_LENS(...)    \
	{                   \
		__VA_ARGS__ \
	}
#define ESPUDP_ENC(n, a, s, iv, b, i, is, ks) { n, a, s, i, is, ks },
#define ESPUDP_AUTH(n, k, i) { n, k, i },

static const struct enc encs[] = { ESPUDP_ALGS_ENC(ESPUDP_ENC) };
static const struct auth auths[] = { ESPUDP_ALGS_AUTH(ESPUDP_AUTH) };

static const struct {
	const char *alias, *name;
} aliases[] = {
	{ "aes-gcm", "rfc4106(gcm(aes))" },
	{ "chacha20-poly1305", "rfc7539esp(chacha20,poly1305)" },
	{ "aes-ccm", "rfc4309(ccm(aes))" },
	{ "aes-gmac", "rfc4543(gcm(aes))" },
	{ "aes-cbc", "cbc(aes)" },
	{ "3des-cbc", "cbc(des3_ede)" },
	{ "aes-ctr", "rfc3686(ctr(aes))" },
	{ "null", "ecb(cipher_null)" },
	{ "md5", "hmac(md5)" },
	{ "sha1", "hmac(sha1)" },
	{ "sha256", "hmac(sha256)" },
	{ "sha384", "hmac(sha384)" },
	{ "sha512", "hmac(sha512)" },
};

static const char *resolve(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (!strcmp(aliases[i].alias, name))
			return aliases[i].name;
	return name;
}

static const struct enc *find_enc(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(encs); i++)
		if (!strcmp(encs[i].name, name))
			return &encs[i];
	return NULL;
}

static const struct auth *find_auth(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(auths); i++)
		if (!strcmp(auths[i].name, name))
			return &auths[i];
	return NULL;
}

static const char *alias_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (!strcmp(aliases[i].name, name))
			return aliases[i].alias;
	return name;
}

const char *algs_enc_name(const char *name)
{
	const struct enc *e = find_enc(resolve(name));
	char text[512];
	size_t len = 0;

	if (e)
		return e->name;
	for (size_t i = 0; i < ARRAY_SIZE(encs); i++)
		len += snprintf(text + len, sizeof(text) - len, "%s%s (%s)",
				i ? ", " : "", alias_of(encs[i].name),
				encs[i].name);
	error("unknown algorithm `%s': known are %s", name, text);
	return NULL;
}

const char *algs_auth_name(const char *name)
{
	const struct auth *a = find_auth(resolve(name));
	char text[512];
	size_t len = 0;

	if (a)
		return a->name;
	for (size_t i = 0; i < ARRAY_SIZE(auths); i++)
		len += snprintf(text + len, sizeof(text) - len, "%s%s (%s)",
				i ? ", " : "", alias_of(auths[i].name),
				auths[i].name);
	error("unknown algorithm `%s': known are %s", name, text);
	return NULL;
}

/* "a, b or c" of up to three numbers that are not 0, made by @of. */
static const char *choice(const unsigned int v[3], unsigned int div,
			  unsigned int add)
{
	size_t n = 0;

	while (n < 3 && v[n])
		n++;
	switch (n) {
	case 3:
		return format("%u, %u or %u", v[0] / div + add,
			      v[1] / div + add, v[2] / div + add);
	case 2:
		return format("%u or %u", v[0] / div + add, v[1] / div + add);
	default:
		return format("%u", v[0] / div + add);
	}
}

const char *algs_enc_expected(const char *name)
{
	const struct enc *e = find_enc(name);

	if (!e || !e->keys[0])
		return NULL;
	if (e->salt)
		return format("%s octets in hexadecimal for %s (a key of %s "
			      "bits followed by %u octets of salt)",
			      choice(e->keys, 8, e->salt), name,
			      choice(e->keys, 1, 0), e->salt);
	return format("%s octets in hexadecimal for %s (a key of %s bits)",
		      choice(e->keys, 8, 0), name, choice(e->keys, 1, 0));
}

const char *algs_auth_expected(const char *name)
{
	const struct auth *a = find_auth(name);

	if (!a)
		return NULL;
	return format("%u octets in hexadecimal for %s (a key of %u bits)",
		      a->key / 8, name, a->key);
}

unsigned int algs_icv_default(const struct sa *sa)
{
	const struct enc *e = find_enc(sa->enc);
	const struct auth *a = find_auth(sa->auth);

	if (e && e->aead)
		return e->icv;
	return a ? a->icv : 0;
}

int algs_check(const struct sa *sa)
{
	const struct enc *e = find_enc(sa->enc);
	const struct auth *a = find_auth(sa->auth);
	bool ok = false;

	if (!e)
		return error("no encryption algorithm given");
	if (e->aead && sa->auth[0])
		return error("%s authenticates by itself: it takes no %s",
			     e->name, sa->auth);
	if (!e->aead && !a)
		return error("%s needs an authentication algorithm, as sha256 "
			     "(hmac(sha256))",
			     e->name);
	if (!HAS(sa, ESPUDP_A_SA_ICV_BITS))
		return OK;
	if (!e->aead) {
		if (sa->icv_bits == a->icv)
			return OK;
		return error("bad ICV length `%u': %s takes %u bits",
			     sa->icv_bits, a->name, a->icv);
	}
	for (size_t i = 0; i < ARRAY_SIZE(e->icvs); i++)
		ok |= e->icvs[i] && e->icvs[i] == sa->icv_bits;
	if (ok)
		return OK;
	return error("bad ICV length `%u': %s takes %s bits", sa->icv_bits,
		     e->name, choice(e->icvs, 1, 0));
}

int algs_check_keys(const struct sa *sa, const char *key_name,
		    const char *auth_key_name)
{
	const struct enc *e = find_enc(sa->enc);
	const struct auth *a = find_auth(sa->auth);
	bool ok = !e->keys[0] && !sa->enc_key;

	if (!e->keys[0] && sa->enc_key)
		return error("%s takes no key", e->name);
	if (e->keys[0] && !sa->enc_key)
		return error("key missing; expected: %s",
			     algs_enc_expected(e->name));
	for (size_t i = 0; sa->enc_key && i < ARRAY_SIZE(e->keys); i++)
		ok |= e->keys[i] &&
		      e->keys[i] / 8 + e->salt == sa->enc_key->len;
	if (!ok)
		return error("key %s: %zu octets; expected: %s", key_name,
			     sa->enc_key->len, algs_enc_expected(e->name));
	if (!a)
		return OK;
	if (!sa->auth_key)
		return error("authentication key missing; expected: %s",
			     algs_auth_expected(a->name));
	if (sa->auth_key->len != a->key / 8)
		return error("key %s: %zu octets; expected: %s", auth_key_name,
			     sa->auth_key->len, algs_auth_expected(a->name));
	return OK;
}
