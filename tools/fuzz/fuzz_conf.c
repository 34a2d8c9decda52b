// SPDX-License-Identifier: GPL-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf conf = { .file = "dir/fuzz.conf" };
	char *text = malloc(size + 1);

	error_silence(true);
	memcpy(text, data, size);
	text[size] = 0;
	if (!conf_parse(&conf, text))
		conf_check(&conf);
	conf_free(&conf);
	free(text);
	return 0;
}
