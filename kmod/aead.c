// SPDX-License-Identifier: GPL-2.0
/* Algorithms, keys, and one encryption or decryption of an ESP packet. */
#include <asm/simd.h>
#include <crypto/authenc.h>
#include <crypto/internal/simd.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include "aead.h"
#include "algs.h"
#include "dev.h"
#include "fault.h"
#include "sa.h"

#define ESPUDP_LENS(...) { __VA_ARGS__ }

struct enc_alg {
	const char *name;
	u8 aead;
	u8 salt;
	u8 iv;
	u8 block;
	u16 icv;
	u16 icvs[3];
	u16 keys[3];
};

struct auth_alg {
	const char *name;
	u16 key;
	u16 icv;
};

#define ENC(name, aead, salt, iv, block, icv, icvs, keys) \
	{ name, aead, salt, iv, block, icv, icvs, keys },
#define AUTH(name, key, icv) { name, key, icv },
static const struct enc_alg enc_algs[] = { ESPUDP_ALGS_ENC(ENC) };
static const struct auth_alg auth_algs[] = { ESPUDP_ALGS_AUTH(AUTH) };

/**
 * struct espudp_op - one request to the crypto API and all it points at
 * @done: called if the request completes later
 * @ctx: for @done
 * @room: octets of request context that were allocated
 * @aad: with ESN, SPI and both halves of the sequence number
 * @iv: the cipher's copy, which it may overwrite
 * @to: @aad and what is behind the ESP header, or from the second the packet; at last
 *	the ICV by itself: drivers that look for it need not cut anything
 * @from: @aad, IV, and text and ICV that are elsewhere; or from the second header,
 *	text and ICV. Both are set up once, their ends marked
 * @req: the request, its context behind it
 *
 * One is kept for each CPU: a synchronous request is over when the call
 * returns, so the next packet uses the same memory, still in the cache.
 */
struct espudp_op {
	espudp_op_fn done;
	void *ctx;
	unsigned int room;
	u8 aad[12];
	u8 iv[ESPUDP_IV_MAX];
	struct scatterlist to[3];
	struct scatterlist from[4];
	struct aead_request req CRYPTO_MINALIGN_ATTR;
};

#define OP_ROOM 1024

static DEFINE_PER_CPU(struct espudp_op *, spare_op);

static struct espudp_op *op_get(unsigned int room)
{
	struct espudp_op *op = this_cpu_read(spare_op);

	if (espudp_fault())
		return NULL;
	if (likely(op && op->room >= room)) {
		this_cpu_write(spare_op, NULL);
		return op;
	}
	room = max_t(unsigned int, room, OP_ROOM);
	op = kmalloc(sizeof(*op) + room, GFP_ATOMIC | __GFP_NOWARN);
	if (op) {
		op->room = room;
		sg_init_table(op->to, ARRAY_SIZE(op->to));
		sg_init_table(op->from, ARRAY_SIZE(op->from));
	}
	return op;
}

static void op_put(struct espudp_op *op)
{
	if (likely(!this_cpu_read(spare_op)))
		this_cpu_write(spare_op, op);
	else
		kfree_sensitive(op);
}

static void op_done(ESPUDP_CRYPTO_DONE_ARG, int err)
{
	struct espudp_op *op = espudp_crypto_done_ctx(arg);
	espudp_op_fn done = op->done;
	void *ctx = op->ctx;

	if (err == -EINPROGRESS)	/* left the backlog */
		return;
	local_bh_disable();
	op_put(op);
	done(ctx, err);
	local_bh_enable();
}

#ifdef ESPUDP_DEBUG
static bool no_simd;
module_param(no_simd, bool, 0644);
MODULE_PARM_DESC(no_simd, "Behave as without vector registers (a debug build's)");
#else
#define no_simd false
#endif

static bool simd_usable(void)
{
	return crypto_simd_usable() && !no_simd;
}

/* The synchronous transform if there is one; else it is made, and this once the other
 * does.
 */
static struct crypto_aead *sync_tfm(struct espudp_aead *a)
{
	struct crypto_aead *tfm = READ_ONCE(a->sync);

	if (likely(tfm))
		return tfm;
	if (READ_ONCE(a->key))
		queue_work(espudp_wq, &a->sync_work);
	return a->tfm;
}

/* The upper half of an extended sequence number is authenticated and not sent: its
 * octets stand beside the packet (RFC 4303 section 2.2.1).
 */
static void set_aad(struct espudp_op *op, const void *esp, u32 seq_hi)
{
	memcpy(op->aad, esp, 4);
	put_unaligned_be32(seq_hi, op->aad + 4);
	memcpy(op->aad + 8, esp + 4, 4);
}

/**
 * espudp_aead_crypt() - encrypt or decrypt an ESP packet
 * @a: cipher
 * @encrypt: else decrypt
 * @esp: SPI, sequence number and IV, filled in; then the payload with its
 *	trailer; then room for, or the received, ICV. Memory of our own, contiguous
 *	and in the direct map
 * @len: octets of all that
 * @seq_hi: upper half of the sequence number; used with ESN only
 * @src: what is behind the IV, if it is not yet there: in memory like @esp that
 *	nobody writes to. It is read from here, and the result is in @esp. NULL if
 *	@a->in_place
 * @done: called with @ctx if, and only if, the call returns -EINPROGRESS
 * @ctx: for @done
 *
 * Context: BH off; @done runs with BH off.
 * Return: 0, -EINPROGRESS, -EBADMSG for a wrong ICV, or another error.
 */
int espudp_aead_crypt(struct espudp_aead *a, bool encrypt, void *esp,
		      unsigned int len, u32 seq_hi, const void *src, espudp_op_fn done,
		      void *ctx)
{
	unsigned int text = len - 8 - a->iv;
	struct crypto_aead *tfm = a->tfm;
	struct scatterlist *to, *from;
	struct aead_request *req;
	struct espudp_op *op;
	int err;

	if (a->chacha)
		return espudp_chacha_crypt(a->chacha, encrypt, esp, len, a->esn, seq_hi, src);
	if (a->key_len && unlikely(!simd_usable()))
		tfm = sync_tfm(a);
	op = op_get(crypto_aead_reqsize(tfm));
	if (unlikely(!op))
		return -ENOMEM;
	op->done = done;
	op->ctx = ctx;
	memcpy(op->iv, esp + 8, a->iv);
	if (a->esn) {
		set_aad(op, esp, seq_hi);
		to = op->to;
		sg_set_buf(&to[0], op->aad, sizeof(op->aad));
		sg_set_buf(&to[1], esp + 8, len - 8 - a->icv);
	} else {
		to = op->to + 1;
		sg_set_buf(to, esp, len - a->icv);
	}
	sg_set_buf(&op->to[2], esp + len - a->icv, a->icv);
	from = to;
	if (src) {
		from = op->from + !a->esn;
		sg_set_buf(&op->from[0], op->aad, sizeof(op->aad));
		sg_set_buf(&op->from[1], a->esn ? esp + 8 : esp, a->esn ? a->iv : 8 + a->iv);
		sg_set_buf(&op->from[2], src, text - a->icv);
		sg_set_buf(&op->from[3], src + text - a->icv, a->icv);
	}

	req = &op->req;
	aead_request_set_tfm(req, tfm);
	aead_request_set_callback(req, 0, op_done, op);
	aead_request_set_ad(req, a->assoc);
	if (encrypt) {
		aead_request_set_crypt(req, from, to, text - a->icv, op->iv);
		err = crypto_aead_encrypt(req);
	} else {
		aead_request_set_crypt(req, from, to, text, op->iv);
		err = crypto_aead_decrypt(req);
	}
	if (err != -EINPROGRESS)
		op_put(op);
	return err;
}

static bool has_len(const u16 *lens, unsigned int bits)
{
	return bits == lens[0] || (lens[1] && bits == lens[1]) ||
	       (lens[2] && bits == lens[2]);
}

static const struct enc_alg *find_enc(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(enc_algs); i++)
		if (!strcmp(enc_algs[i].name, name))
			return &enc_algs[i];
	return NULL;
}

static const struct auth_alg *find_auth(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(auth_algs); i++)
		if (!strcmp(auth_algs[i].name, name))
			return &auth_algs[i];
	return NULL;
}

/* A key as the crypto API wants it, to be freed with kfree_sensitive(). */
static u8 *make_key(const struct espudp_aead_params *p, unsigned int *len)
{
	struct crypto_authenc_key_param *param;
	struct rtattr *rta;
	u8 *key;

	if (!p->auth) {
		*len = p->enc_key_len;
		return kmemdup(p->enc_key, *len, GFP_KERNEL);
	}
	*len = RTA_SPACE(sizeof(*param)) + p->auth_key_len + p->enc_key_len;
	key = kmalloc(*len, GFP_KERNEL);
	if (!key)
		return NULL;
	rta = (struct rtattr *)key;
	rta->rta_type = CRYPTO_AUTHENC_KEYA_PARAM;
	rta->rta_len = RTA_LENGTH(sizeof(*param));
	param = RTA_DATA(rta);
	param->enckeylen = cpu_to_be32(p->enc_key_len);
	memcpy(key + RTA_SPACE(sizeof(*param)), p->auth_key, p->auth_key_len);
	memcpy(key + RTA_SPACE(sizeof(*param)) + p->auth_key_len,
	       p->enc_key, p->enc_key_len);
	return key;
}

static int check_params(const struct enc_alg *enc, const struct auth_alg *auth,
			const struct espudp_aead_params *p, struct netlink_ext_ack *extack)
{
	if (p->enc_key_len < enc->salt ||
	    !has_len(enc->keys, (p->enc_key_len - enc->salt) * 8)) {
		NL_SET_ERR_MSG(extack, "wrong length of the encryption key (with its salt) for this algorithm");
		return -EINVAL;
	}
	if (enc->aead) {
		if (p->auth || p->auth_key_len) {
			NL_SET_ERR_MSG(extack, "this algorithm authenticates by itself: no other may be given");
			return -EINVAL;
		}
		if (p->icv_bits && !has_len(enc->icvs, p->icv_bits)) {
			NL_SET_ERR_MSG(extack, "wrong ICV length for this algorithm");
			return -EINVAL;
		}
		return 0;
	}
	if (!auth) {
		NL_SET_ERR_MSG(extack, "this cipher does not authenticate: a keyed hash is needed");
		return -EINVAL;
	}
	if (p->auth_key_len * 8 != auth->key) {
		NL_SET_ERR_MSG(extack, "wrong length of the authentication key for this algorithm");
		return -EINVAL;
	}
	if (p->icv_bits && p->icv_bits != auth->icv) {
		NL_SET_ERR_MSG(extack, "wrong ICV length for this algorithm");
		return -EINVAL;
	}
	return 0;
}

static int set_up(struct crypto_aead *tfm, const struct espudp_aead *a)
{
	int err = -EINVAL;

	if (crypto_aead_ivsize(tfm) == a->iv)
		err = crypto_aead_setauthsize(tfm, a->icv);
	return err ?: crypto_aead_setkey(tfm, a->key, a->key_len);
}

static void forget_key(struct espudp_aead *a)
{
	kfree_sensitive(a->key);
	WRITE_ONCE(a->key, NULL);
}

static void make_sync(struct work_struct *work)
{
	struct espudp_aead *a = container_of(work, struct espudp_aead, sync_work);
	struct crypto_aead *tfm;

	if (!a->key)
		return;
	tfm = crypto_alloc_aead(crypto_tfm_alg_name(crypto_aead_tfm(a->tfm)), 0,
				CRYPTO_ALG_ASYNC);
	if (!IS_ERR(tfm) && set_up(tfm, a)) {
		crypto_free_aead(tfm);
		tfm = NULL;
	}
	if (!IS_ERR_OR_NULL(tfm))
		smp_store_release(&a->sync, tfm);	/* sync_tfm() depends on it */
	forget_key(a);
}

static bool may_wait(struct crypto_aead *tfm)
{
	return crypto_aead_alg(tfm)->base.cra_flags & CRYPTO_ALG_ASYNC;
}

/**
 * espudp_aead_init() - set up a cipher
 * @a: filled in on success
 * @p: algorithm and keys; the caller wipes the keys
 * @extack: told why not
 *
 * Context: process, may load modules.
 * Return: 0; -EINVAL or -ENOENT with words for the caller; -ENOMEM or what else
 * the crypto API says.
 */
int espudp_aead_init(struct espudp_aead *a, const struct espudp_aead_params *p,
		     struct netlink_ext_ack *extack)
{
	const struct enc_alg *enc = find_enc(p->enc);
	const struct auth_alg *auth = p->auth ? find_auth(p->auth) : NULL;
	char name[CRYPTO_MAX_ALG_NAME];
	struct crypto_aead *tfm;
	int err;

	if (!enc || (p->auth && !auth)) {
		NL_SET_ERR_MSG(extack, "unknown algorithm");
		return -ENOENT;
	}
	err = check_params(enc, auth, p, extack);
	if (err)
		return err;

	if (enc->aead)
		strscpy(name, enc->name, sizeof(name));
	else
		snprintf(name, sizeof(name), "%s(%s,%s)",
			 p->esn ? "authencesn" : "authenc", auth->name, enc->name);
	tfm = crypto_alloc_aead(name, 0, 0);
	err = PTR_ERR_OR_ZERO(tfm);
	if (err == -ENOENT)
		NL_SET_ERR_MSG(extack, "the kernel does not have this algorithm");
	if (err)
		return err;

	a->icv = (p->icv_bits ?: enc->aead ? enc->icv : auth->icv) / 8;
	a->iv = enc->iv;
	a->assoc = (p->esn ? 12 : 8) + enc->iv;
	a->block = max_t(u8, enc->block, 4);
	a->key_bits8 = p->enc_key_len - enc->salt;
	a->counter = enc->aead || enc->salt;
	/* authencesn copies to where it writes, and moves parts of that about. */
	a->in_place = !enc->aead && p->esn;
	a->esn = p->esn;
	a->enc = enc->name;
	a->auth = auth ? auth->name : NULL;

	err = -ENOMEM;
	a->key = make_key(p, &a->key_len);
	if (!a->key)
		goto free;
	err = set_up(tfm, a);
	if (err == -EINVAL)
		NL_SET_ERR_MSG(extack, "the crypto API refused the key or the ICV length");
	if (err)
		goto free;
	a->tfm = tfm;
	INIT_WORK(&a->sync_work, make_sync);
	if (may_wait(tfm))
		return 0;
	forget_key(a);
	a->key_len = 0;
	if (!strcmp(enc->name, "rfc7539esp(chacha20,poly1305)"))
		a->chacha = espudp_chacha_new(p->enc_key, p->enc_key_len);
	if (a->chacha) {
		crypto_free_aead(tfm);
		a->tfm = NULL;
	}
	return 0;

free:
	forget_key(a);
	a->key_len = 0;
	crypto_free_aead(tfm);
	return err;
}

/**
 * espudp_aead_free() - free a cipher and wipe its keys
 * @a: cipher without requests in flight
 *
 * Context: process.
 */
void espudp_aead_free(struct espudp_aead *a)
{
	if (a->key_len)
		cancel_work_sync(&a->sync_work);
	forget_key(a);
	crypto_free_aead(a->tfm);
	crypto_free_aead(a->sync);
	kfree_sensitive(a->chacha);
	a->tfm = NULL;
	a->sync = NULL;
	a->chacha = NULL;
}

/**
 * espudp_aead_driver() - what does the work
 * @a: cipher that is set up
 *
 * Return: its name.
 */
const char *espudp_aead_driver(const struct espudp_aead *a)
{
	return a->chacha ? "lib/crypto" : crypto_aead_driver_name(a->tfm);
}

/**
 * espudp_aead_module_exit() - free the spare requests
 */
void espudp_aead_module_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree_sensitive(per_cpu(spare_op, cpu));
}
