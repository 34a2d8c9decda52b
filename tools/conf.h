/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CONF_H
#define CONF_H

#include "key.h"
#include "objects.h"
#include "util.h"

struct conf_sa {
	struct sa sa;
	char *key_file, *auth_key_file;
	struct key *key, *auth_key;
	unsigned int line;
};

struct conf_peer {
	struct peer peer;
	struct list sas; /* of struct conf_sa */
	bool no_routes;
	unsigned int line;
};

struct conf {
	const char *file;
	struct dev dev;
	enum { LISTEN_UNSET, LISTEN_NO, LISTEN_OWN } listen;
	struct list peers; /* of struct conf_peer */
	bool bare; /* see conf_read() */
};

/* Reads and checks a whole file, keys included; or, @bare, without what it needs
 * on this host: keys, and links that it names. Returns a status.
 */
int conf_read(struct conf *conf, const char *file, bool bare);
void conf_free(struct conf *conf);

/* The parts of conf_read(): @text is written to. */
int conf_parse(struct conf *conf, char *text);
int conf_check(struct conf *conf);
int conf_read_keys(struct conf *conf);

/* Makes errors say where in the file; 0 for nowhere. */
void conf_where(const struct conf *conf, unsigned int line);

#endif
