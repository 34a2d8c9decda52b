/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KEY_H
#define KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#define KEY_MAX 256

struct key {
	size_t len;
	uint8_t data[KEY_MAX];
};

struct key *key_alloc(void);
void key_free(struct key *key);

/* Where a key comes from and which lengths would be right, for errors. */
struct key_source {
	const char *name;
	const char *expected;
};

/* Is this a key rather than the name of a file? Hexadecimal, and long. */
bool key_is_text(const char *text);
/* Hexadecimal text, 0x prefix and white space allowed. Returns a status. */
int key_parse(struct key *key, const char *text, size_t len,
	      const struct key_source *src);
/* Reads the key file src->name. */
int key_read(struct key *key, const struct key_source *src);
/* Reads one key from stdin; two, a line each, where @second is not NULL. */
int key_read_stdin(struct key *key, struct key *second,
		   const struct key_source *src,
		   const struct key_source *second_src);

#endif
