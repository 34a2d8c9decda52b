/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DEVICE_H
#define DEVICE_H

#include "module.h"

/* What the settings say of the device; NULL where they say nothing. */
struct device_config {
	const char *name;
	bool create;
	const char *pool[2]; /* of IPv4, of IPv6 */
	uint32_t fwmark;
};

/* Makes the device where that is allowed. Says in the log why it cannot; returns
 * 0 or a positive errno.
 */
int device_make(const struct device_config *config);
/* Brings it up, with what the settings say; reads what it is then. A pool has a
 * blackhole route, which stays behind.
 */
int device_setup(struct module *m, const struct device_config *config,
		 struct dev *dev);

#endif
