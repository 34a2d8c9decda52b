/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MODULE_H
#define MODULE_H

#include "../nl.h"
#include "../objects.h"

/* Requests to the kernel module, about one device. Not synchronised. All return
 * a positive errno; module_why() says it in words.
 */
struct module {
	struct nl nl;
	char device[IFNAME_LEN];
};

/* Says in the log why it cannot. */
int module_open(struct module *m, const char *device);
void module_close(struct module *m);
const char *module_why(const struct module *m);

int module_dev_get(struct module *m, struct dev *dev);
int module_dev_set(struct module *m, const struct dev *dev);
/* Hands a UDP socket to the module; its owner keeps the non-ESP marker. */
int module_attach(struct module *m, int fd);
int module_reserve(struct module *m, struct reserve *reserve);

/* Sets the new peer's id, and its virtual address if it has one. */
int module_peer_new(struct module *m, struct peer *peer);
int module_peer_set(struct module *m, const struct peer *peer);
int module_peer_del(struct module *m, uint32_t id);
int module_peers(struct module *m, struct list *peers);

int module_sa_new(struct module *m, const struct sa *sa);
/* Those that name it are set: spi, dir, peer. */
int module_sa_get(struct module *m, struct sa *sa);
int module_sa_set(struct module *m, const struct sa *sa);
int module_sa_del(struct module *m, const struct sa *sa);
int module_sas(struct module *m, struct list *sas);

#endif
