/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ALGS_H
#define ALGS_H

#include "key.h"
#include "objects.h"

/* The kernel's name of an algorithm or of an alias; NULL after an error. */
const char *algs_enc_name(const char *name);
const char *algs_auth_name(const char *name);

/* The rest is for names that the above returned. */

/* The lengths of key that an algorithm takes, in words; NULL: takes no key. */
const char *algs_enc_expected(const char *name);
const char *algs_auth_expected(const char *name);
/* Whether a cipher and a hash go together, and with the ICV's length. */
int algs_check(const struct sa *sa);
/* Whether the keys have the right lengths; the names say where they are from.
 */
int algs_check_keys(const struct sa *sa, const char *key_name,
		    const char *auth_key_name);
/* The ICV's length unless it is set. */
unsigned int algs_icv_default(const struct sa *sa);

#endif
