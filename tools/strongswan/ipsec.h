/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IPSEC_H
#define IPSEC_H

#include <daemon.h>

/* The backend, or NULL with a line in the log. */
kernel_ipsec_t *kernel_espudp_ipsec_create(void);

#endif
