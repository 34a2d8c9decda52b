/* SPDX-License-Identifier: GPL-2.0 */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "nl.h"

/* What a refused request was about, so that the error can be completed. */
struct request {
	uint8_t cmd;
	const char *what; /* in words, as "peer 3"; may be NULL */
	const struct sa *sa;
	const struct dev *dev;
	const struct peer *peer;
	uint16_t port;
};

/* Prints the error of the last request; always returns FAILED. */
int explain(struct nl *nl, const char *ifname, const struct request *r);

#endif
