// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "key.h"
#include "secret.h"
#include "util.h"

/* Two keys of KEY_MAX octets, with room for white space. */
#define TEXT_MAX 4096

/* Locked memory comes in pages, which hold many keys. */
#define CHUNK_SIZE (64 * 1024)

union slot {
	union slot *next;
	struct key key;
};

static union slot *slots;

struct key *key_alloc(void)
{
	union slot *slot = slots;

	if (!slot) {
		slot = secret_alloc(CHUNK_SIZE);
		for (size_t i = 0; i < CHUNK_SIZE / sizeof(*slot); i++) {
			slot[i].next = slots;
			slots = &slot[i];
		}
		slot = slots;
	}
	slots = slot->next;
	memset(slot, 0, sizeof(*slot));
	return &slot->key;
}

void key_free(struct key *key)
{
	union slot *slot = (union slot *)key;

	if (!key)
		return;
	explicit_bzero(slot, sizeof(*slot));
	slot->next = slots;
	slots = slot;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int bad(const struct key_source *src, const char *fmt, ...) PRINTF(2, 3);

static int bad(const struct key_source *src, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error("key %s: %s; expected: %s", src->name, text,
		     src->expected);
}

/* Of the shortest key. */
#define KEY_DIGITS 32

bool key_is_text(const char *text)
{
	size_t digits = 0;

	while (is_space(*text))
		text++;
	if (text[0] == '0' && (text[1] | 0x20) == 'x')
		text += 2;
	for (; *text; text++) {
		if (is_space(*text))
			continue;
		if (hex_digit(*text) < 0)
			return false;
		digits++;
	}
	return digits >= KEY_DIGITS;
}

int key_parse(struct key *key, const char *text, size_t len,
	      const struct key_source *src)
{
	size_t i = 0, digits = 0;

	key->len = 0;
	while (i < len && is_space(text[i]))
		i++;
	if (len - i >= 2 && text[i] == '0' && (text[i + 1] | 0x20) == 'x')
		i += 2;
	for (; i < len; i++) {
		int d;

		if (is_space(text[i]))
			continue;
		d = hex_digit(text[i]);
		if (d < 0)
			return bad(src, "character %zu is no hexadecimal digit",
				   i + 1);
		if (digits / 2 == KEY_MAX)
			return bad(src, "longer than %d octets", KEY_MAX);
		if (digits % 2)
			key->data[digits / 2] |= d;
		else
			key->data[digits / 2] = d << 4;
		digits++;
	}
	if (digits % 2)
		return bad(src, "odd number of hexadecimal digits (%zu)",
			   digits);
	if (!digits)
		return bad(src, "empty");
	key->len = digits / 2;
	return OK;
}

/* There may be many keys to read: it is got once. */
static char *text_buffer(void)
{
	static char *text;

	if (!text)
		text = secret_alloc(TEXT_MAX);
	return text;
}

/* By read(2), because stdio would keep a copy. */
static int read_text(int fd, char *text, const struct key_source *src,
		     size_t *len)
{
	ssize_t n;

	for (*len = 0; *len < TEXT_MAX; *len += n) {
		n = read(fd, text + *len, TEXT_MAX - *len);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0)
			return bad(src, "%s", strerror(errno));
		if (!n)
			return OK;
	}
	return bad(src, "longer than %d characters", TEXT_MAX - 1);
}

struct inode {
	dev_t dev;
	ino_t ino;
};

static int inode_cmp(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

/* Once for a file, however many SAs it has the key of. */
static void warn_of_others(const struct stat *st, const char *name)
{
	static void *warned;
	struct inode *inode = xrealloc(NULL, 1, sizeof(*inode));
	struct inode **found;

	*inode = (struct inode){ st->st_dev, st->st_ino };
	found = tsearch(inode, &warned, inode_cmp);
	if (found && *found != inode)
		free(inode);
	else
		note("warning: key file %s is accessible to others (mode %04o)",
		     name, st->st_mode & 07777);
}

int key_read(struct key *key, const struct key_source *src)
{
	struct stat st;
	size_t len;
	char *text;
	int fd, ret;

	fd = open(src->name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return bad(src, "%s", strerror(errno));
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    st.st_mode & (S_IRWXG | S_IRWXO))
		warn_of_others(&st, src->name);
	text = text_buffer();
	ret = read_text(fd, text, src, &len);
	close(fd);
	if (!ret)
		ret = key_parse(key, text, len, src);
	explicit_bzero(text, len);
	return ret;
}

int key_read_stdin(struct key *key, struct key *second,
		   const struct key_source *src,
		   const struct key_source *second_src)
{
	char *text = text_buffer(), *end;
	size_t len, first;
	int ret;

	ret = read_text(STDIN_FILENO, text, src, &len);
	if (ret)
		goto out;
	if (!second) {
		ret = key_parse(key, text, len, src);
		goto out;
	}
	end = memchr(text, '\n', len);
	first = end ? (size_t)(end - text) : len;
	ret = key_parse(key, text, first, src);
	if (!ret)
		ret = key_parse(second, text + first, len - first, second_src);
out:
	explicit_bzero(text, TEXT_MAX);
	return ret;
}
