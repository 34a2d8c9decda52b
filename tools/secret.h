/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SECRET_H
#define SECRET_H

#include <stddef.h>

/* Zeroed memory that is not swapped nor dumped where the system allows it. */
void *secret_alloc(size_t size);
/* Wipes and frees. */
void secret_free(void *p, size_t size);

#endif
