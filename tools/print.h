/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PRINT_H
#define PRINT_H

#include "objects.h"

/* What people read on stdout. */
/* With the reserved SPIs of the list that belong to no peer yet. */
void print_dev(const struct dev *dev, const struct list *sas);
/* With its SAs. */
void print_peer(const struct peer *peer, const struct list *sas);
/* All of an SA; the list of peers gives the name of its peer. */
void print_sa(const struct sa *sa, const struct list *peers);
/* Every counter of a device. */
void print_stats(const struct dev *dev);
void print_drops(const struct stats *stats, const char *indent);
void print_unknown(const struct object *o, const char *indent);
/* "  name: " in bold, continued by printf. */
void print_item(const char *indent, const char *name);

#endif
