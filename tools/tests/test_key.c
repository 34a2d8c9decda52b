// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../algs.h"
#include "../key.h"
#include "../util.h"
#include "unit.h"

static const struct key_source src = { "test", "something" };

static int parse(struct key *key, const char *text)
{
	/* A copy of the exact size, so that ASAN sees every octet too many. */
	size_t len = strlen(text);
	char *copy = xrealloc(NULL, len, 1);
	int ret;

	memcpy(copy, text, len);
	ret = key_parse(key, copy, len, &src);
	free(copy);
	return ret;
}

static void test_text(struct key *key)
{
	char text[2 * KEY_MAX + 3];

	check(!parse(key, "0011aaFF") && key->len == 4 && key->data[3] == 0xff);
	check(!parse(key, "0x0011\n") && key->len == 2);
	check(!parse(key, " 0X00 11\t22\r\n") && key->len == 3);
	check(!parse(key, "0 0 1 1") && key->len == 2 && key->data[1] == 0x11);
	check(parse(key, ""));
	check(parse(key, "0x"));
	check(parse(key, "\n"));
	check(parse(key, "001"));
	check(parse(key, "00g0"));
	check(parse(key, "00 0x11"));
	check(parse(key, "-0011"));
	memset(text, '1', sizeof(text));
	text[2 * KEY_MAX] = 0;
	check(!parse(key, text) && key->len == KEY_MAX);
	text[2 * KEY_MAX] = '1';
	text[2 * KEY_MAX + 2] = 0;
	check(parse(key, text));
}

static void test_files(struct key *key)
{
	char name[] = "/tmp/espudp-unit-XXXXXX";
	struct key_source file = { name, "something" };
	struct key_source missing = { "/nonexistent/key", "something" };
	struct key_source folder = { "/tmp", "something" };
	int fd = mkstemp(name);
	char block[4096];

	check(fd >= 0);
	check(key_read(key, &file));
	check(write(fd, "0011\n2233\n", 10) == 10);
	check(!key_read(key, &file) && key->len == 4);
	memset(block, ' ', sizeof(block));
	check(write(fd, block, sizeof(block)) == sizeof(block));
	check(key_read(key, &file));
	check(key_read(key, &missing));
	check(key_read(key, &folder));
	close(fd);
	unlink(name);
}

static int lengths(const char *enc, size_t enc_len, const char *auth,
		   size_t auth_len, unsigned int icv)
{
	struct key k = { .len = enc_len }, a = { .len = auth_len };
	struct sa sa = { .enc_key = enc_len ? &k : NULL,
			 .auth_key = auth_len ? &a : NULL };

	strcpy(sa.enc, algs_enc_name(enc));
	if (auth)
		strcpy(sa.auth, algs_auth_name(auth));
	if (icv) {
		sa.icv_bits = icv;
		SET(&sa, ESPUDP_A_SA_ICV_BITS);
	}
	if (algs_check(&sa))
		return FAILED;
	return algs_check_keys(&sa, "a", "b");
}

static void test_algs(void)
{
	check(!algs_enc_name("rot13") && !algs_auth_name("aes-gcm"));
	check(!strcmp(algs_enc_name("aes-cbc"), "cbc(aes)"));
	check(!strcmp(algs_enc_name("cbc(aes)"), "cbc(aes)"));
	check(!lengths("aes-gcm", 20, NULL, 0, 0));
	check(!lengths("aes-gcm", 28, NULL, 0, 64));
	check(!lengths("aes-gcm", 36, NULL, 0, 128));
	check(lengths("aes-gcm", 16, NULL, 0, 0));
	check(lengths("aes-gcm", 20, NULL, 0, 80));
	check(lengths("aes-gcm", 20, "sha1", 20, 0));
	check(lengths("aes-gcm", 0, NULL, 0, 0));
	check(!lengths("chacha20-poly1305", 36, NULL, 0, 128));
	check(lengths("chacha20-poly1305", 20, NULL, 0, 0));
	check(!lengths("aes-ccm", 19, NULL, 0, 64));
	check(lengths("aes-ccm", 20, NULL, 0, 64));
	check(!lengths("aes-gmac", 20, NULL, 0, 0));
	check(lengths("aes-gmac", 20, NULL, 0, 96));
	check(!lengths("aes-cbc", 16, "sha1", 20, 96));
	check(lengths("aes-cbc", 16, NULL, 0, 0));
	check(lengths("aes-cbc", 16, "sha1", 16, 0));
	check(lengths("aes-cbc", 16, "sha1", 0, 0));
	check(lengths("aes-cbc", 16, "sha1", 20, 128));
	check(lengths("aes-cbc", 20, "sha1", 20, 0));
	check(!lengths("3des-cbc", 24, "md5", 16, 0));
	check(!lengths("aes-ctr", 20, "sha512", 64, 256));
	check(!lengths("null", 0, "sha256", 32, 0));
	check(lengths("null", 16, "sha256", 32, 0));
	check(!algs_enc_expected("ecb(cipher_null)"));
}

void test_key(void)
{
	struct key *key = key_alloc();

	test_text(key);
	test_files(key);
	key_free(key);
	test_algs();
}
