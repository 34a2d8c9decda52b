// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "algs.h"
#include "conf.h"
#include "format.h"
#include "parse.h"

#define FILE_MAX (16 << 20)
#define WORDS_MAX 64

enum section { NONE, DEVICE, PEER, SA };

struct parser {
	struct conf *conf;
	enum section section;
	unsigned int line;
	bool device_seen;
	struct conf_peer *peer;
	struct conf_sa *sa;
};

void conf_where(const struct conf *conf, unsigned int line)
{
	error_where.file = line ? conf->file : NULL;
	error_where.line = line;
}

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t\r\f\v");
	end = s + strlen(s);
	while (end > s && strchr(" \t\r\f\v", end[-1]))
		*--end = 0;
	return s;
}

/* # begins a comment at the start of a line or after white space. */
static void cut_comment(char *s)
{
	for (char *p = s; *p; p++)
		if (*p == '#' && (p == s || p[-1] == ' ' || p[-1] == '\t')) {
			*p = 0;
			return;
		}
}

static int begin_section(struct parser *p, char *s)
{
	char *end = strchr(s, ']');

	if (!end || end[1])
		return error("`%s': a section is [Device], [Peer] or [SA]", s);
	*end = 0;
	s = trim(s + 1);
	p->sa = NULL;
	if (!strcasecmp(s, "Device")) {
		if (p->device_seen)
			return error("[Device] is there twice");
		p->device_seen = true;
		p->section = DEVICE;
	} else if (!strcasecmp(s, "Peer")) {
		p->section = PEER;
		p->peer = list_add(&p->conf->peers, sizeof(*p->peer));
		p->peer->line = p->line;
	} else if (!strcasecmp(s, "SA")) {
		if (!p->peer)
			return error("[SA] before any [Peer]");
		p->section = SA;
		p->sa = list_add(&p->peer->sas, sizeof(*p->sa));
		p->sa->line = p->line;
		p->sa->sa.dir = UINT8_MAX;
	} else {
		return error("unknown section `[%s]': [Device], [Peer] or [SA] "
			     "is expected",
			     s);
	}
	return OK;
}

static const struct field *find_field(const struct set *set, const char *key)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->fields[i].conf &&
		    !strcasecmp(set->fields[i].conf, key))
			return &set->fields[i];
	return NULL;
}

/* \xNN, which is how showconf writes what could be misread. */
static int unescape(char *s)
{
	char *out = s;
	unsigned int c;

	for (; *s; s++) {
		if (*s != '\\') {
			*out++ = *s;
			continue;
		}
		if (s[1] != 'x' || strspn(s + 2, "0123456789abcdefABCDEF") < 2)
			return error("bad Name: a backslash is written \\x5c");
		sscanf(s + 2, "%2x", &c);
		if (!c)
			return error("bad Name: it holds a NUL");
		*out++ = c;
		s += 3;
	}
	*out = 0;
	return OK;
}

static int set_field(const struct set *set, const struct field *f, void *obj,
		     char *value)
{
	struct object *o = obj;
	uint8_t on;
	int ret;

	if (o->has >> f->attr & 1)
		return error("%s is given twice", f->conf);
	if (f->type == F_FLAG) {
		ret = parse_bool(f->conf, value, &on);
		field_set_number(obj, f, on);
		o->has |= 1ULL << f->attr;
		return ret;
	}
	if (set == &set_peer && f->attr == ESPUDP_A_PEER_NAME) {
		ret = unescape(value);
		if (ret)
			return ret;
	}
	return parse_field(f, obj, f->conf, value);
}

static int set_listen(struct conf *conf, const char *value)
{
	if (conf->listen != LISTEN_UNSET)
		return error("Listen is given twice");
	if (!strcasecmp(value, "own") || !strcasecmp(value, "yes"))
		conf->listen = LISTEN_OWN;
	else if (!strcasecmp(value, "no"))
		conf->listen = LISTEN_NO;
	else
		return error("bad Listen `%s': own, yes or no is expected",
			     value);
	return OK;
}

static int device_line(struct parser *p, const char *key, char *value)
{
	const struct field *f = find_field(&set_dev, key);

	if (f && f->flags & F_LINK && p->conf->bare)
		return OK;
	if (f)
		return set_field(&set_dev, f, &p->conf->dev, value);
	if (!strcasecmp(key, "Pool") || !strcasecmp(key, "Pool6"))
		return parse_pool(key, value, key[4] ? AF_INET6 : AF_INET,
				  &p->conf->dev.pool);
	if (!strcasecmp(key, "Listen"))
		return set_listen(p->conf, value);
	return error("unknown setting `%s' in [Device]", key);
}

static int add_selector(struct peer *peer, char *value)
{
	char *words[WORDS_MAX], *save = NULL;
	struct words w = { words, 0 };
	int ret;

	for (char *s = strtok_r(value, " \t", &save); s;
	     s = strtok_r(NULL, " \t", &save)) {
		if (w.n == WORDS_MAX)
			return error("bad Selector: too many words");
		words[w.n++] = s;
	}
	SET(peer, ESPUDP_A_PEER_SELECTOR);
	ret = parse_selector(&w, list_add(&peer->selector,
					  sizeof(struct selector)));
	return ret ? ret : words_end(&w);
}

static int peer_line(struct parser *p, const char *key, char *value)
{
	const struct field *f = find_field(&set_peer, key);

	if (f)
		return set_field(&set_peer, f, &p->peer->peer, value);
	if (!strcasecmp(key, "Selector"))
		return add_selector(&p->peer->peer, value);
	if (strcasecmp(key, "Routes"))
		return error("unknown setting `%s' in [Peer]", key);
	p->peer->no_routes = !strcmp(value, "none");
	if (!p->peer->no_routes && strcmp(value, "auto"))
		return error("bad Routes `%s': auto or none is expected",
			     value);
	return OK;
}

static int set_alg(struct sa *sa, const struct field *f, const char *value)
{
	bool auth = f->attr == ESPUDP_A_SA_AUTH;
	const char *name;

	if (sa->o.has >> f->attr & 1)
		return error("%s is given twice", f->conf);
	name = auth ? algs_auth_name(value) : algs_enc_name(value);
	if (!name)
		return FAILED;
	strcpy(auth ? sa->auth : sa->enc, name);
	sa->o.has |= 1ULL << f->attr;
	return OK;
}

/* Relative paths are relative to the folder of the file. */
static int set_key_file(struct conf *conf, char **file, const char *key,
			const char *value)
{
	const char *slash = strrchr(conf->file, '/');
	size_t dir = slash && *value != '/' ? slash + 1 - conf->file : 0;

	if (*file)
		return error("%s is given twice", key);
	if (!*value || key_is_text(value))
		return error("%s: the name of a file is expected%s", key,
			     *value ? ", not the key" : "");
	*file = xrealloc(NULL, dir + strlen(value) + 1, 1);
	memcpy(*file, conf->file, dir);
	strcpy(*file + dir, value);
	return OK;
}

static int sa_line(struct parser *p, const char *key, char *value)
{
	const struct field *f = find_field(&set_sa, key);

	if (f && f->type == F_STRING)
		return set_alg(&p->sa->sa, f, value);
	if (f)
		return set_field(&set_sa, f, &p->sa->sa, value);
	if (!strcasecmp(key, "KeyFile"))
		return set_key_file(p->conf, &p->sa->key_file, key, value);
	if (!strcasecmp(key, "AuthKeyFile"))
		return set_key_file(p->conf, &p->sa->auth_key_file, key, value);
	return error("unknown setting `%s' in [SA]", key);
}

static int parse_line(struct parser *p, char *line)
{
	char *key, *value;

	cut_comment(line);
	key = trim(line);
	if (!*key)
		return OK;
	if (*key == '[')
		return begin_section(p, key);
	value = strchr(key, '=');
	if (!value) /* which is not shown: it may be a key */
		return error("SETTING = VALUE is expected");
	*value = 0;
	value = trim(value + 1);
	key = trim(key);
	switch (p->section) {
	case DEVICE:
		return device_line(p, key, value);
	case PEER:
		return peer_line(p, key, value);
	case SA:
		return sa_line(p, key, value);
	default:
		return error("`%s' before any section", key);
	}
}

int conf_parse(struct conf *conf, char *text)
{
	struct parser p = { .conf = conf };
	int ret = OK;

	while (!ret && text) {
		char *line = strsep(&text, "\n");

		conf_where(conf, ++p.line);
		ret = parse_line(&p, line);
	}
	conf_where(conf, 0);
	return ret ? FAILED : OK;
}

static int read_key(struct key **key, const char *file, const char *expected)
{
	struct key_source src = { file, expected };

	*key = key_alloc();
	return key_read(*key, &src);
}

static int read_sa_keys(struct conf_sa *s)
{
	const char *enc = algs_enc_expected(s->sa.enc);
	const char *auth = algs_auth_expected(s->sa.auth);
	int ret = OK;

	if (s->key_file && !enc)
		return error("%s takes no KeyFile", s->sa.enc);
	if (s->auth_key_file && !auth)
		return error("AuthKeyFile without Authentication");
	if (s->key_file)
		ret = read_key(&s->key, s->key_file, enc);
	if (!ret && s->auth_key_file)
		ret = read_key(&s->auth_key, s->auth_key_file, auth);
	if (ret)
		return ret;
	s->sa.enc_key = s->key;
	s->sa.auth_key = s->auth_key;
	if (s->key)
		SET(&s->sa, ESPUDP_A_SA_ENC_KEY);
	if (s->auth_key)
		SET(&s->sa, ESPUDP_A_SA_AUTH_KEY);
	/* Without keys it may be an SA that is installed already. */
	if ((enc && !s->key) || (auth && !s->auth_key))
		return OK;
	return algs_check_keys(&s->sa, s->key_file, s->auth_key_file);
}

int conf_read_keys(struct conf *conf)
{
	int ret = OK;

	for_each(struct conf_peer, p, &conf->peers)
		for_each(struct conf_sa, s, &p->sas) {
			conf_where(conf, s->line);
			if (!ret)
				ret = read_sa_keys(s);
		}
	conf_where(conf, 0);
	return ret;
}

static int read_text(const char *file, char **text)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	size_t len = 0, size = 0;
	ssize_t n;

	*text = NULL;
	if (fd < 0)
		return error("%s: %s", file, strerror(errno));
	do {
		if (size - len < 4096) {
			size = size ? size * 2 : 16384;
			*text = xrealloc(*text, size, 1);
		}
		n = read(fd, *text + len, size - len - 1);
		len += n > 0 ? n : 0;
	} while (len < FILE_MAX && (n > 0 || (n < 0 && errno == EINTR)));
	close(fd);
	if (n < 0)
		return error("%s: %s", file, strerror(errno));
	if (n > 0)
		return error("%s: larger than %d octets", file, FILE_MAX);
	(*text)[len] = 0;
	if (strlen(*text) != len)
		return error("%s: not a text file", file);
	return OK;
}

int conf_read(struct conf *conf, const char *file, bool bare)
{
	char *text;
	int ret;

	memset(conf, 0, sizeof(*conf));
	conf->file = file;
	conf->bare = bare;
	ret = read_text(file, &text);
	if (!ret)
		ret = conf_parse(conf, text);
	if (!ret)
		ret = conf_check(conf);
	if (!ret && !bare)
		ret = conf_read_keys(conf);
	free(text);
	return ret;
}

void conf_free(struct conf *conf)
{
	for_each(struct conf_peer, p, &conf->peers) {
		for_each(struct conf_sa, s, &p->sas) {
			key_free(s->key);
			key_free(s->auth_key);
			free(s->key_file);
			free(s->auth_key_file);
			object_free(&set_sa, &s->sa);
		}
		free(p->sas.v);
		object_free(&set_peer, &p->peer);
	}
	free(conf->peers.v);
	object_free(&set_dev, &conf->dev);
	memset(conf, 0, sizeof(*conf));
}
