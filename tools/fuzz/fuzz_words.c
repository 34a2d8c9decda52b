// SPDX-License-Identifier: GPL-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../format.h"
#include "../parse.h"
#include "../prefix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken and printed again must mean the same. */
static void check_selector(struct words *w)
{
	struct selector s = { 0 }, t = { 0 };
	char *v[32], *save = NULL, *text;
	struct words again = { v, 0 };
	struct list prefixes = { 0 };

	if (parse_selector(w, &s))
		return;
	prefixes_of_range(&s.remote_from, &s.remote_to, &prefixes);
	if (!prefixes.n || prefixes.n > 254)
		abort();
	free(prefixes.v);
	text = strdup(format_selector(&s));
	for (char *p = strtok_r(text, " ", &save); p;
	     p = strtok_r(NULL, " ", &save))
		v[again.n++] = p;
	if (parse_selector(&again, &t) || again.n || !selector_equal(&s, &t))
		abort();
	free(text);
}

static void check_endpoint(const char *text)
{
	struct addr a, b;
	uint16_t p, q;

	if (parse_endpoint("fuzz", text, &a, &p) || !p)
		return;
	if (parse_endpoint("fuzz", format_endpoint(&a, p), &b, &q) || p != q ||
	    !addr_equal(&a, &b))
		abort();
}

static void check_words(const struct set *set, void *obj, char **v, int n)
{
	for (int i = 0; i + 1 < n; i++) {
		const struct field *f = parse_word(set, v[i]);

		if (f && f->type != F_STRING && f->type != F_FLAG)
			parse_field(f, obj, v[i], v[i + 1]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *v[64], *save = NULL;
	struct words w = { v, 0 };
	struct peer peer = { 0 };
	struct dev dev = { 0 };
	struct sa sa = { 0 };

	error_silence(true);
	memcpy(text, data, size);
	text[size] = 0;
	for (char *p = strtok_r(text, " \n", &save); p && w.n < 64;
	     p = strtok_r(NULL, " \n", &save))
		v[w.n++] = p;
	for (int i = 0; i < w.n; i++)
		check_endpoint(v[i]);
	check_words(&set_dev, &dev, v, w.n);
	check_words(&set_peer, &peer, v, w.n);
	check_words(&set_sa, &sa, v, w.n);
	check_selector(&w);
	free(text);
	return 0;
}
