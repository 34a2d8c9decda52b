/* SPDX-License-Identifier: GPL-2.0 */
#ifndef EVENTS_H
#define EVENTS_H

#include <daemon.h>

#include "../objects.h"

typedef struct events_t events_t;

/* Called by threads of charon. */
typedef struct {
	void (*event)(void *data, const struct event *event);
	/* Events were lost. */
	void (*overrun)(void *data);
	/* The module is gone, and with it the device and all that it had. */
	void (*gone)(void *data);
	/* The module is there again, and the device may be made. */
	void (*back)(void *data);
	/* The device may be gone, there again, or another. */
	void (*link)(void *data);
	void *data;
} events_handler_t;

/* NULL, with a line in the log, where that cannot be. */
events_t *events_create(const char *device, const events_handler_t *handler);
void events_destroy(events_t *this);

#endif
