// SPDX-License-Identifier: GPL-2.0
#include <string.h>
#include <unistd.h>

#include "algs.h"
#include "codec.h"
#include "commands.h"
#include "explain.h"
#include "format.h"
#include "json.h"
#include "key.h"
#include "lookup.h"
#include "print.h"

struct sa_args {
	struct sa sa;
	const char *key_file, *auth_key_file;
};

static bool is_lifetime(const struct field *f)
{
	return f->attr >= ESPUDP_A_SA_SOFT_SECONDS &&
	       f->attr <= ESPUDP_A_SA_HARD_BYTES;
}

/* A key in its place is not for the terminal. */
static int parse_key_file(struct sa_args *args, const char *word,
			  const char *value)
{
	if (key_is_text(value) && access(value, F_OK))
		return error("%s: the name of a file is expected, not the key",
			     word);
	if (!strcmp(word, "key-file"))
		args->key_file = value;
	else
		args->auth_key_file = value;
	return OK;
}

static int parse_alg(struct sa *sa, const char *word, const char *value)
{
	bool auth = !strcmp(word, "auth");
	const char *name = auth ? algs_auth_name(value) : algs_enc_name(value);

	if (!name)
		return FAILED;
	strcpy(auth ? sa->auth : sa->enc, name);
	SET(sa, auth ? ESPUDP_A_SA_AUTH : ESPUDP_A_SA_ENC);
	return OK;
}

/* The words of `sa add'; with @lifetimes_only those of `sa set'. */
static int parse_words(struct words *w, struct sa_args *args,
		       bool lifetimes_only)
{
	const char *word, *value;
	const struct field *f;
	int ret = OK;

	while (!ret && (word = words_next(w))) {
		f = parse_word(&set_sa, word);
		if (f && args->sa.o.has >> f->attr & 1)
			return usage("`%s' is given twice", word);
		if (f && f->type == F_FLAG && !lifetimes_only) {
			field_set_number(&args->sa, f, 1);
			args->sa.o.has |= 1ULL << f->attr;
			continue;
		}
		if (f && lifetimes_only && !is_lifetime(f))
			f = NULL;
		if (!f && (lifetimes_only || (strcmp(word, "key-file") &&
					      strcmp(word, "auth-key-file"))))
			return usage("unknown word `%s' for `sa %s', see "
				     "`espudp help sa'",
				     word, lifetimes_only ? "set" : "add");
		ret = words_value(w, word, &value);
		if (ret)
			return ret;
		if (!f)
			ret = parse_key_file(args, word, value);
		else if (f->type == F_STRING)
			ret = parse_alg(&args->sa, word, value);
		else
			ret = parse_field(f, &args->sa, word, value);
	}
	return ret;
}

static int parse_dir(struct words *w, struct sa *sa)
{
	const char *word = words_next(w);

	if (!word || names_find(&names_dir, word) < 0)
		return usage("`in' or `out' is expected%s%s%s",
			     word ? ", not `" : "", word ? word : "",
			     word ? "'" : "");
	sa->dir = names_find(&names_dir, word);
	SET(sa, ESPUDP_A_SA_DIR);
	return OK;
}

static int parse_spi(struct words *w, struct sa *sa)
{
	const char *value;
	uint64_t n;
	int ret;

	if (!words_take(w, "spi"))
		return usage("`spi N' is expected");
	ret = words_value(w, "spi", &value);
	if (!ret)
		ret = parse_number("spi", value, 0, UINT32_MAX, &n);
	if (ret)
		return ret;
	sa->spi = n;
	SET(sa, ESPUDP_A_SA_SPI);
	return OK;
}

static const char *source(const char *file)
{
	return file && strcmp(file, "-") ? file : "(standard input)";
}

/* A key from a file; - is stdin and is read by the caller. */
static int read_key(struct key **key, const char *file, const char *expected)
{
	struct key_source src = { file, expected };

	*key = key_alloc();
	return strcmp(file, "-") ? key_read(*key, &src) : OK;
}

static int read_stdin(struct key *enc, struct key *auth,
		      const struct key_source *enc_src,
		      const struct key_source *auth_src)
{
	struct key_source both[2] = {
		{ "(first line of standard input)", enc_src->expected },
		{ "(second line of standard input)", auth_src->expected },
	};

	if (enc && auth)
		return key_read_stdin(enc, auth, &both[0], &both[1]);
	return key_read_stdin(enc ? enc : auth, NULL, enc ? enc_src : auth_src,
			      NULL);
}

static int read_keys(struct sa_args *args, struct key **enc, struct key **auth)
{
	struct sa *sa = &args->sa;
	struct key_source enc_src = { "(standard input)",
				      algs_enc_expected(sa->enc) };
	struct key_source auth_src = { "(standard input)",
				       algs_auth_expected(sa->auth) };
	int ret = OK;

	if (enc_src.expected && !args->key_file)
		return usage("`key-file FILE' is missing");
	if (!enc_src.expected && args->key_file)
		return error("%s takes no key", sa->enc);
	if (auth_src.expected && !args->auth_key_file)
		return usage("`auth-key-file FILE' is missing");
	if (!auth_src.expected && args->auth_key_file)
		return usage("`auth-key-file' without `auth'");
	if (enc_src.expected)
		ret = read_key(enc, args->key_file, enc_src.expected);
	if (!ret && auth_src.expected)
		ret = read_key(auth, args->auth_key_file, auth_src.expected);
	if (!ret && ((*enc && !strcmp(args->key_file, "-")) ||
		     (*auth && !strcmp(args->auth_key_file, "-"))))
		ret = read_stdin(
			*enc && !strcmp(args->key_file, "-") ? *enc : NULL,
			*auth && !strcmp(args->auth_key_file, "-") ? *auth :
								     NULL,
			&enc_src, &auth_src);
	sa->enc_key = *enc;
	sa->auth_key = *auth;
	if (ret)
		return ret;
	if (*enc)
		SET(sa, ESPUDP_A_SA_ENC_KEY);
	if (*auth)
		SET(sa, ESPUDP_A_SA_AUTH_KEY);
	return algs_check_keys(sa, source(args->key_file),
			       source(args->auth_key_file));
}

static int send_sa(struct nl *nl, uint8_t cmd, const char *ifname,
		   const struct sa *sa)
{
	struct request r = { .cmd = cmd, .sa = sa };

	nl_request(nl, cmd, ifname);
	codec_encode(nl, ESPUDP_A_SA, &set_sa, sa);
	if (!nl_talk(nl, NULL, NULL))
		return OK;
	r.what =
		format("SA %s 0x%08x", names_get(&names_dir, sa->dir), sa->spi);
	return explain(nl, ifname, &r);
}

static int take_peer(struct nl *nl, const char *ifname, const char *token,
		     struct sa *sa)
{
	struct peer peer = { 0 };
	int ret = lookup_peer(nl, ifname, token, &peer);

	sa->peer = peer.id;
	SET(sa, ESPUDP_A_SA_PEER);
	object_free(&set_peer, &peer);
	return ret;
}

static int cmd_add(struct words *w, struct nl *nl)
{
	struct sa_args args = { 0 };
	struct key *enc = NULL, *auth = NULL;
	const char *ifname, *token;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = words_need(w, A_PEER, &token);
	if (!ret)
		ret = parse_dir(w, &args.sa);
	if (!ret)
		ret = parse_words(w, &args, false);
	if (!ret && !HAS(&args.sa, ESPUDP_A_SA_SPI))
		ret = usage("`spi N' is missing");
	if (!ret && !HAS(&args.sa, ESPUDP_A_SA_ENC))
		ret = usage("`enc ALGORITHM' is missing");
	if (!ret)
		ret = algs_check(&args.sa);
	if (!ret)
		ret = read_keys(&args, &enc, &auth);
	if (!ret)
		ret = nl_open(nl);
	if (!ret)
		ret = take_peer(nl, ifname, token, &args.sa);
	if (!ret)
		ret = send_sa(nl, ESPUDP_CMD_SA_NEW, ifname, &args.sa);
	key_free(enc);
	key_free(auth);
	return ret;
}

/* sa set|del DEV in spi N, or DEV out PEER spi N */
static int cmd_change(struct words *w, struct nl *nl, bool delete)
{
	struct sa_args args = { 0 };
	const char *ifname, *token = NULL;
	int ret;

	ret = take_dev(w, &ifname);
	if (!ret)
		ret = parse_dir(w, &args.sa);
	if (!ret && args.sa.dir == ESPUDP_DIR_OUT)
		ret = words_need(w, A_PEER, &token);
	if (!ret)
		ret = parse_spi(w, &args.sa);
	if (!ret)
		ret = delete ? words_end(w) : parse_words(w, &args, true);
	if (!ret)
		ret = nl_open(nl);
	if (!ret && token)
		ret = take_peer(nl, ifname, token, &args.sa);
	if (!ret)
		ret = send_sa(nl,
			      delete ? ESPUDP_CMD_SA_DEL : ESPUDP_CMD_SA_SET,
			      ifname, &args.sa);
	return ret;
}

static void on_reserve(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr = nl_find(nlh, ESPUDP_A_RESERVE);

	if (attr)
		codec_decode(&set_reserve, attr, arg);
}

static int cmd_reserve(struct words *w, struct nl *nl)
{
	struct reserve r = { 0 }, reply = { 0 };
	const char *ifname, *word, *value, *token = NULL;
	const struct field *f;
	struct sa sa = { 0 };
	int ret;

	ret = take_dev(w, &ifname);
	while (!ret && (word = words_next(w))) {
		f = parse_word(&set_reserve, word);
		if (!f && strcmp(word, "peer"))
			return usage("unknown word `%s' for `sa reserve', see "
				     "`espudp help sa'",
				     word);
		ret = words_value(w, word, &value);
		if (!ret && f)
			ret = parse_field(f, &r, word, value);
		else if (!ret)
			token = value;
	}
	if (!ret)
		ret = nl_open(nl);
	if (!ret && token) {
		ret = take_peer(nl, ifname, token, &sa);
		r.peer = sa.peer;
		SET(&r, ESPUDP_A_RESERVE_PEER);
	}
	if (ret)
		return ret;
	nl_request(nl, ESPUDP_CMD_SPI_RESERVE, ifname);
	codec_encode(nl, ESPUDP_A_RESERVE, &set_reserve, &r);
	if (nl_talk(nl, on_reserve, &reply))
		return explain(nl, ifname, NULL);
	if (json)
		json_print(json_object_of(&set_reserve, &reply), true);
	else
		printf("0x%08x\n", reply.spi);
	object_free(&set_reserve, &reply);
	return OK;
}

static int cmd_show_sas(struct words *w, struct nl *nl)
{
	struct list sas = { 0 }, peers = { 0 };
	struct json_object *a = NULL;
	const char *ifname, *token;
	struct sa of_peer = { 0 };
	int ret;

	ret = take_dev(w, &ifname);
	token = words_next(w);
	if (!ret)
		ret = words_end(w);
	if (!ret)
		ret = nl_open(nl);
	if (!ret && token)
		ret = take_peer(nl, ifname, token, &of_peer);
	if (!ret)
		ret = lookup_sas(nl, ifname, of_peer.peer, &sas);
	if (!ret && !json)
		ret = lookup_peers(nl, ifname, &peers);
	if (json)
		a = json_object_new_array();
	for_each(struct sa, sa, &sas) {
		if (json)
			json_object_array_add(a, json_object_of(&set_sa, sa));
		else
			print_sa(sa, &peers);
	}
	if (json && !ret)
		json_print(a, false);
	objects_free(&set_sa, &sas);
	objects_free(&set_peer, &peers);
	return ret;
}

int cmd_sa(struct words *w)
{
	const char *word = words_next(w);
	struct nl nl = { 0 };
	int ret;

	if (word && !strcmp(word, "add"))
		ret = cmd_add(w, &nl);
	else if (word && !strcmp(word, "set"))
		ret = cmd_change(w, &nl, false);
	else if (word && !strcmp(word, "del"))
		ret = cmd_change(w, &nl, true);
	else if (word && !strcmp(word, "reserve"))
		ret = cmd_reserve(w, &nl);
	else if (word && !strcmp(word, "show"))
		ret = cmd_show_sas(w, &nl);
	else
		ret = usage("sa: `add', `set', `del', `reserve' or `show' is "
			    "expected, see `espudp help sa'");
	nl_close(&nl);
	return ret;
}
