// SPDX-License-Identifier: GPL-2.0
/* What the crypto API alone takes for a packet: the floor of any tunnel. Measures when it
 * is loaded, prints lines of algorithm, driver, en or de, octets of text, nanoseconds,
 * and does not stay.
 */
#include <crypto/aead.h>
#include <crypto/authenc.h>
#include <linux/module.h>
#include <linux/rtnetlink.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#define ROOM	2048
#define WARM	100
#define TIMES	1000

static const struct alg {
	const char *name;
	unsigned int enc_key;	/* octets, with salt */
	unsigned int auth_key;	/* 0 for an AEAD of one key */
	unsigned int assoc;	/* ESP header and IV */
	unsigned int icv;
} algs[] = {
	{ "rfc4106(gcm(aes))", 20, 0, 16, 16 },
	{ "rfc7539esp(chacha20,poly1305)", 36, 0, 16, 16 },
	{ "authenc(hmac(sha1),cbc(aes))", 32, 20, 24, 12 },
};

static const unsigned int lengths[] = { 64, 96, 128, 256, 512, 544, 1024, 1424, 1440 };

static int set_key(struct crypto_aead *tfm, const struct alg *alg)
{
	u8 key[RTA_SPACE(sizeof(struct crypto_authenc_key_param)) + 64] = {};
	struct crypto_authenc_key_param *param;
	struct rtattr *rta = (struct rtattr *)key;
	unsigned int len = alg->enc_key;
	unsigned int i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = i;
	if (alg->auth_key) {
		rta->rta_type = CRYPTO_AUTHENC_KEYA_PARAM;
		rta->rta_len = RTA_LENGTH(sizeof(*param));
		param = RTA_DATA(rta);
		param->enckeylen = cpu_to_be32(alg->enc_key);
		len += RTA_SPACE(sizeof(*param)) + alg->auth_key;
	}
	return crypto_aead_setkey(tfm, key, len);
}

/* Softirqs off, as where packets are dealt with. */
static int one(struct aead_request *req, struct crypto_wait *wait, bool encrypt)
{
	int err;

	local_bh_disable();
	err = encrypt ? crypto_aead_encrypt(req) : crypto_aead_decrypt(req);
	local_bh_enable();
	return crypto_wait_req(err, wait);
}

/* From one half of @buf into the other, so that what is decrypted stays authentic: a
 * wrong ICV may spare a cipher the rest.
 */
static int measure(struct crypto_aead *tfm, const struct alg *alg, u8 *buf, unsigned int len)
{
	struct aead_request *req = aead_request_alloc(tfm, GFP_KERNEL);
	struct scatterlist sg[2];
	DECLARE_CRYPTO_WAIT(wait);
	u64 begin = 0;
	u8 iv[16];
	int i, de, err = 0;

	if (!req)
		return -ENOMEM;
	sg_init_one(&sg[0], buf, ROOM);
	sg_init_one(&sg[1], buf + ROOM, ROOM);
	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_BACKLOG, crypto_req_done, &wait);
	aead_request_set_ad(req, alg->assoc);
	for (de = 0; de < 2 && !err; de++) {
		/* what authenc does not copy */
		memcpy(buf + !de * ROOM, buf + de * ROOM, alg->assoc);
		for (i = -WARM; i < TIMES && !err; i++) {
			if (!i)
				begin = ktime_get_ns();
			memset(iv, 0, sizeof(iv));
			aead_request_set_crypt(req, &sg[de], &sg[!de],
					       de ? len + alg->icv : len, iv);
			err = one(req, &wait, !de);
		}
		if (!err)
			pr_info("cryptocost %s %s %s %u %llu\n", alg->name,
				crypto_aead_driver_name(tfm), de ? "de" : "en", len,
				div_u64(ktime_get_ns() - begin, TIMES));
	}
	aead_request_free(req);
	return err;
}

static int measure_alg(const struct alg *alg, u8 *buf)
{
	struct crypto_aead *tfm = crypto_alloc_aead(alg->name, 0, 0);
	unsigned int i;
	int err;

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = crypto_aead_setauthsize(tfm, alg->icv);
	if (!err)
		err = set_key(tfm, alg);
	for (i = 0; i < ARRAY_SIZE(lengths) && !err; i++)
		err = measure(tfm, alg, buf, lengths[i]);
	crypto_free_aead(tfm);
	return err;
}

static int __init cryptocost_init(void)
{
	u8 *buf = kzalloc(2 * ROOM, GFP_KERNEL);
	unsigned int i;
	int err;

	if (!buf)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(algs); i++) {
		err = measure_alg(&algs[i], buf);
		if (err)
			pr_err("cryptocost: %s: error %d\n", algs[i].name, err);
	}
	kfree(buf);
	return -EAGAIN;		/* it has nothing else to do */
}
module_init(cryptocost_init);

MODULE_DESCRIPTION("Cost of the crypto API for the benchmark of espudp");
MODULE_LICENSE("GPL");
