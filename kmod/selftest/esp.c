// SPDX-License-Identifier: GPL-2.0
/* Tests of esp.c, and of aead.c as far as the octets on the wire go: published
 * ESP packets, and some made by another implementation.
 */
#include <linux/completion.h>
#include <linux/slab.h>
#include "aead.h"
#include "check.h"

struct octets {
	unsigned int len;
	const u8 *p;
};

struct vector {
	const char *name;
	const char *enc;
	const char *auth;
	struct octets enc_key;
	struct octets auth_key;
	unsigned int icv_bits;
	bool esn;
	u32 seq_hi;
	unsigned int pad;
	u8 next_header;
	struct octets payload;
	struct octets packet;
};

#include "esp-vectors.h"

static const struct {
	const char *hex;
	bool valid;
	unsigned int payload;
	u8 next_header;
} trailers[] = {
	{ "", false },
	{ "04", false },
	{ "0004", true, 0, 4 },
	{ "aa0004", true, 1, 4 },
	{ "010104", true, 0, 4 },
	{ "0104", false },			/* pad length beyond the payload */
	{ "01020304", false },
	{ "0102030404", false },
	{ "010203040429", true, 0, 41 },
	{ "aabb01020204", true, 2, 4 },
	{ "aabb02020204", false },		/* wrong octets */
	{ "aabb01010204", false },
	{ "aabb00000204", false },
	{ "aabb01030204", false },
	{ "aabb01ff04", false },
	{ "aabbccdd003b", true, 4, 59 },
};

static bool test_trailers(void)
{
	unsigned int len, payload, pad, wrong;
	u8 p[300], next_header;
	enum espudp_drop why;
	bool good = true;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(trailers); i++) {
		len = strlen(trailers[i].hex) / 2;
		good &= check(!hex2bin(p, trailers[i].hex, len), "trailer %zu", i);
		why = espudp_esp_open(p, len, &payload, &next_header);
		good &= check(why == (trailers[i].valid ? ESPUDP_DROP_NONE : ESPUDP_DROP_RX_PAD),
			      "trailer %zu: %d", i, why);
		if (trailers[i].valid && !why)
			good &= check(payload == trailers[i].payload &&
				      next_header == trailers[i].next_header,
				      "trailer %zu: %u %u", i, payload, next_header);
	}

	/* every length of padding, and every octet of it wrong */
	for (pad = 0; pad < 256; pad++) {
		memset(p, 0xee, sizeof(p));
		espudp_esp_trailer(p + 3, pad, 41);
		good &= check(p[2] == 0xee && p[3 + pad + 2] == 0xee, "pad %u: writes beside", pad);
		len = 3 + pad + 2;
		good &= check(!espudp_esp_open(p, len, &payload, &next_header) && payload == 3 &&
			      next_header == 41, "pad %u", pad);
		for (wrong = 0; wrong < pad; wrong++) {
			p[3 + wrong] ^= 0x80;
			good &= check(espudp_esp_open(p, len, &payload, &next_header) ==
				      ESPUDP_DROP_RX_PAD, "pad %u: octet %u", pad, wrong);
			p[3 + wrong] ^= 0x80;
		}
	}
	return good;
}

static bool test_lengths(struct espudp_aead *a, const char *name)
{
	unsigned int inner, len, block = a->block;
	bool good = true;

	for (inner = 1; inner < 2000; inner++) {
		len = espudp_aead_esp_len(a, inner);
		good &= check((len - 8 - a->iv - a->icv) % block == 0 &&
			      len >= 8 + a->iv + inner + 2 + a->icv &&
			      len < 8 + a->iv + inner + 2 + a->icv + block &&
			      espudp_aead_inner_max(a, len) >= inner &&
			      espudp_aead_inner_max(a, len) < inner + block &&
			      espudp_aead_inner_max(a, len - 1) < inner,
			      "%s: length of %u", name, inner);
	}
	return good;
}

struct wait {
	struct completion done;
	int err;
};

static void crypt_done(void *ctx, int err)
{
	struct wait *wait = ctx;

	wait->err = err;
	complete(&wait->done);
}

static int crypt(struct espudp_aead *a, bool encrypt, u8 *esp, unsigned int len, u32 seq_hi,
		 const u8 *src)
{
	struct wait wait;
	int err;

	init_completion(&wait.done);
	local_bh_disable();
	err = espudp_aead_crypt(a, encrypt, esp, len, seq_hi, src, crypt_done, &wait);
	local_bh_enable();
	if (err != -EINPROGRESS)
		return err;
	wait_for_completion(&wait.done);
	return wait.err;
}

/* Decrypts in @buf what is there, or what was moved to @from but for the header. */
static int decrypt(const struct vector *v, struct espudp_aead *a, u8 *buf, u8 *from,
		   u32 seq_hi)
{
	unsigned int head = 8 + a->iv, text = v->packet.len - head;

	if (from) {
		memcpy(from, buf + head, text);
		memset(buf + head, 0xee, text);
	}
	return crypt(a, false, buf, v->packet.len, seq_hi, from);
}

static bool test_decrypt(const struct vector *v, struct espudp_aead *a, u8 *buf,
			 const u8 *plain, u8 *from)
{
	unsigned int head = 8 + a->iv, n = v->payload.len, text = n + v->pad + 2;
	unsigned int len = v->packet.len, got, i;
	const char *where = from ? "elsewhere" : "in place";
	const u8 *want = v->packet.p;
	u8 next_header;
	bool good;
	int err;

	memcpy(buf, want, len);
	err = decrypt(v, a, buf, from, v->seq_hi);
	good = check(!err && !memcmp(buf, want, head) && !memcmp(buf + head, plain, text),
		     "%s: decrypt %s: %d", v->name, where, err);
	good &= check(!espudp_esp_open(buf + head, text, &got, &next_header) && got == n &&
		      next_header == v->next_header, "%s: trailer", v->name);

	/* every octet is authenticated, those that are not sent too */
	for (i = 0; i < len; i++) {
		memcpy(buf, want, len);
		buf[i] ^= 1 << i % 8;
		err = decrypt(v, a, buf, from, v->seq_hi);
		good &= check(err == -EBADMSG, "%s: octet %u forged, %s: %d", v->name, i, where,
			      err);
	}
	memcpy(buf, want, len);
	err = decrypt(v, a, buf, from, v->seq_hi ^ 1);
	good &= check(err == (v->esn ? -EBADMSG : 0), "%s: upper half, %s: %d", v->name, where,
		      err);
	return good;
}

/* @buf, @plain and @from are as large as the packet. */
static bool test_crypt(const struct vector *v, struct espudp_aead *a, u8 *buf, u8 *plain,
		       u8 *from)
{
	unsigned int n = v->payload.len, head = 8 + a->iv, text = n + v->pad + 2;
	unsigned int len = v->packet.len;
	const u8 *want = v->packet.p;
	bool good;
	int err;

	if (!check(len == head + text + a->icv, "%s: length", v->name))
		return false;
	memcpy(plain, v->payload.p, n);
	espudp_esp_trailer(plain + n, v->pad, v->next_header);

	memset(buf, 0xee, len);
	memcpy(buf, want, head);
	memcpy(buf + head, plain, text);
	err = crypt(a, true, buf, len, v->seq_hi, NULL);
	good = check(!err, "%s: encrypt: %d", v->name, err);
	good &= check(!memcmp(buf, want, len), "%s: encrypted otherwise", v->name);

	good &= test_decrypt(v, a, buf, plain, NULL);
	if (!a->in_place)
		good &= test_decrypt(v, a, buf, plain, from);
	return good;
}

static bool test_vector(const struct vector *v)
{
	const struct espudp_aead_params params = {
		.enc = v->enc,
		.auth = v->auth,
		.enc_key = v->enc_key.p,
		.auth_key = v->auth_key.p,
		.enc_key_len = v->enc_key.len,
		.auth_key_len = v->auth_key.len,
		.icv_bits = v->icv_bits,
		.esn = v->esn,
	};
	struct netlink_ext_ack extack = {};
	struct espudp_aead *aead;
	bool good;
	u8 *buf;
	int err;

	buf = kmalloc_array(3, v->packet.len, GFP_KERNEL);
	aead = kzalloc(sizeof(*aead), GFP_KERNEL);
	if (!buf || !aead) {
		good = check(false, "%s: no memory", v->name);
		goto free;
	}
	err = espudp_aead_init(aead, &params, &extack);
	good = check(!err, "%s: set up: %d, %s", v->name, err, extack._msg);
	if (good) {
		good = test_crypt(v, aead, buf, buf + v->packet.len, buf + 2 * v->packet.len);
		good &= test_lengths(aead, v->name);
		espudp_aead_free(aead);
	}
free:
	kfree(aead);
	kfree(buf);
	return good;
}

bool espudp_esp_selftest(void)
{
	bool good;
	size_t i;

	check_begin("esp");
	good = test_trailers();
	for (i = 0; i < ARRAY_SIZE(vectors); i++)
		good &= test_vector(&vectors[i]);
	return check_end(good);
}
