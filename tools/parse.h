/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PARSE_H
#define PARSE_H

#include "objects.h"
#include "util.h"

/* The words of a command or of a line, consumed from the front. */
struct words {
	char **v;
	int n;
};

/* The next word, or NULL. */
const char *words_next(struct words *w);
const char *words_peek(const struct words *w);
/* Whether the next word is @word, which is then consumed. */
bool words_take(struct words *w, const char *word);
/* The next word as the value of @what; USAGE when there is none. */
int words_value(struct words *w, const char *what, const char **value);
/* The next word, or USAGE, which says that @what is expected. */
int words_need(struct words *w, const char *what, const char **value);
/* USAGE when words are left over. */
int words_end(const struct words *w);

/* A number as all commands take it, decimal or 0x and hexadecimal. */
bool is_number(const char *s, uint64_t *n);

/* All return a status and name the token in an error; @what is the keyword. */
int parse_number(const char *what, const char *s, uint64_t min, uint64_t max,
		 uint64_t *n);
int parse_enum(const char *what, const char *s, const struct names *names,
	       uint8_t *value);
int parse_bool(const char *what, const char *s, uint8_t *value);
/* PREFIX or `none' of a family, for a list of pools that has none of it yet. */
int parse_pool(const char *what, const char *s, uint8_t family,
	       struct list *pools);
int parse_addr(const char *what, const char *s, struct addr *a);
/* ADDR, ADDR:PORT, [ADDR] or [ADDR]:PORT; *port is 0 where there is none. */
int parse_endpoint(const char *what, const char *s, struct addr *a,
		   uint16_t *port);
/* PREFIX, FROM-TO or ADDR. */
int parse_range(const char *what, const char *s, struct addr *from,
		struct addr *to);
int parse_protocol(const char *what, const char *s, uint8_t *protocol);
const char *parse_protocol_name(uint8_t protocol);
/* local RANGE remote RANGE [proto P] [local-port N[-M]] [remote-port N[-M]]
 * [prio N]; stops at the first other word.
 */
int parse_selector(struct words *w, struct selector *s);
/* The name of a peer. */
int parse_name(const char *what, const char *s, char *name);
/* The next word as the name of a device, which need not exist. */
int take_dev(struct words *w, const char **ifname);

#define A_PEER "a peer (id, name or address)"

/* The value of a setting, put into its object. */
int parse_field(const struct field *f, void *obj, const char *what,
		const char *s);
/* The setting that a command line calls @word, or NULL. */
const struct field *parse_word(const struct set *set, const char *word);

#endif
