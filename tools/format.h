/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdio.h>

#include "objects.h"
#include "util.h"

/* printf() into one of some static buffers, good for a few calls. */
const char *format(const char *fmt, ...) PRINTF(1, 2);

const char *format_addr(const struct addr *a);
const char *format_endpoint(const struct addr *a, uint16_t port);
/* A prefix where the range is one, else FROM-TO. */
const char *format_range(const struct addr *from, const struct addr *to);
/* As the words that parse_selector() takes. */
const char *format_selector(const struct selector *s);
const char *format_protocol(uint8_t protocol);
const char *format_bytes(uint64_t n);
/* "1 hour, 2 minutes" */
const char *format_seconds(uint64_t s);
const char *format_ago(uint64_t ms);
/* The name of the device it is bound to, where that is known. */
const char *format_bound(const struct dev *dev);
/* What an IKE header says: "v1 main-mode", "v2 IKE_AUTH response". */
const char *format_ike(uint8_t version, uint8_t exchange, uint8_t flags);
/* Any octets as text that is safe on a terminal and in JSON: \xNN for control
 * characters, the backslash and what is not UTF-8. With @conf also for what a
 * configuration file would misread.
 */
const char *format_name(const char *name, bool conf);
/* "alice (3)" or "3" */
const char *format_peer(const char *name, uint32_t id);

/* Colours; empty strings where stdout is no terminal. */
enum colour { C_RESET, C_BOLD, C_GREEN, C_YELLOW, C_CYAN, C_RED };
const char *colour(enum colour c);

#endif
