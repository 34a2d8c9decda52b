// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "names-gen.h"
#include "names.h"
#include "util.h"

#define NAMES_DEFINE_ENUM(name)                           \
	const struct names names_##name = { name##_names, \
					    ARRAY_SIZE(name##_names) };
#define NAMES_DEFINE_ATTR(name)                                \
	const struct names attrs_##name = { name##_attr_names, \
					    ARRAY_SIZE(name##_attr_names) };
NAMES_OF_ENUMS(NAMES_DEFINE_ENUM)
NAMES_OF_ATTRS(NAMES_DEFINE_ATTR)

const char *names_get(const struct names *names, unsigned int value)
{
	if (value < names->n)
		return names->v[value];
	return format("unknown(%u)", value);
}

int names_find(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(names->v[i], name))
			return i;
	return -1;
}

const char *names_list(const struct names *names, size_t first)
{
	static char text[256];
	size_t len = 0;

	text[0] = 0;
	for (size_t i = first; i < names->n && len < sizeof(text); i++)
		len += snprintf(text + len, sizeof(text) - len, "%s%s",
				i == first	 ? "" :
				i + 1 < names->n ? ", " :
						   " or ",
				names->v[i]);
	return text;
}
