// SPDX-License-Identifier: GPL-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../key.h"
#include "../util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct key_source src = { "fuzz", "anything" };
	struct key *key = malloc(sizeof(*key));
	char *text = malloc(size ? size : 1);

	error_silence(true);
	memcpy(text, data, size);
	if (!key_parse(key, text, size, &src) &&
	    (!key->len || key->len > KEY_MAX))
		abort();
	free(text);
	free(key);
	return 0;
}
