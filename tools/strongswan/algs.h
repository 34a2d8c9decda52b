/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ALGS_H
#define ALGS_H

#include <daemon.h>

#include "../objects.h"

/* Sets the algorithms of an SA. FALSE, with a line in the log that names it, for
 * one that the module has not.
 */
bool algs_set(struct sa *sa, uint16_t enc, uint16_t integ);

#endif
