// SPDX-License-Identifier: GPL-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../codec.h"
#include "../json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the module says, read as each object and written as JSON. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct set *const sets[] = { &set_dev, &set_peer, &set_sa,
						  &set_reserve, &set_event };
	const struct set *set;
	struct nlattr *nest;
	char text[128];
	void *obj;

	if (!size || size > UINT16_MAX - 64)
		return 0;
	set = sets[data[0] % ARRAY_SIZE(sets)];
	nest = malloc(NLA_HDRLEN + size - 1);
	nest->nla_type = NLA_F_NESTED | 1;
	nest->nla_len = NLA_HDRLEN + size - 1;
	memcpy(nest + 1, data + 1, size - 1);
	obj = calloc(1, set->size);
	codec_decode(set, nest, obj);
	json_object_put(json_object_of(set, obj));
	object_is_foreign(set, obj, text, sizeof(text));
	object_free(set, obj);
	free(obj);
	free(nest);
	return 0;
}
