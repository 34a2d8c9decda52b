/* SPDX-License-Identifier: GPL-2.0 */
#ifndef APPLY_H
#define APPLY_H

#include "conf.h"
#include "nl.h"
#include "protect.h"

/* A device as it is, and what it shall become. */
struct apply {
	struct nl nl;
	const char *ifname;
	bool sync; /* leave alone what need not change */
	struct conf conf;
	struct list devs, peers, sas; /* as they are */
	struct list plans;
	size_t *plan_of; /* for each of @peers, counted from 1; 0 for none */
	struct list undo;
	unsigned int kept_keys; /* SAs whose keys the file has, and may differ */
	struct protect protect;
	struct pool old_pools[2]; /* in requests of the log */
};

/* One for each peer of the file. */
struct plan {
	const struct conf_peer *conf;
	const struct peer *old; /* the peer it becomes of, or NULL */
	uint32_t id;
	struct list keep; /* selectors that the peer has before and after */
};

/* What takes a change back, newest last. */
struct undo {
	uint8_t cmd;
	struct dev dev;
	struct sock sock;
	struct peer peer;
	struct sa sa;
};

/* Adds the prefixes that a file's peers are to be reached by. */
void apply_prefixes(const struct conf *conf, struct list *prefixes);

/* All return a status. Changes log how they are undone. */

/* Matches the file with the device; refuses what cannot be done. */
int plan_make(struct apply *a);
/* The installed SA that an SA of the file is, or NULL. */
const struct sa *plan_find_sa(const struct apply *a, const struct plan *p,
			      const struct sa *sa);
/* The plan that an installed peer, one of @a->peers, is part of, or NULL. */
struct plan *plan_of(const struct apply *a, const struct peer *old);
/* Whether the file has a place for an installed SA. */
bool plan_keeps_sa(const struct apply *a, const struct sa *sa);

/* Whether apply_device() will close the device's own sockets. */
bool apply_closes(const struct apply *a);
int apply_device(struct apply *a);
/* Pools that the file has come first; those that it lacks go last. */
int apply_pools(struct apply *a);
int apply_pools_gone(struct apply *a);
int apply_peers(struct apply *a);
/* Routes to the virtual addresses of the peers as they are now. */
int apply_routes(struct apply *a);
int apply_sas(struct apply *a);
/* Deletes what the file does not have: after this nothing is undone. */
int apply_deletions(struct apply *a);
void apply_undo(struct apply *a);

/* Sends the command of @u; an error is about a line of the file. */
int apply_run(struct apply *a, const struct undo *u, unsigned int line,
	      nl_cb cb, void *arg);
/* A new entry of the log. */
struct undo *apply_log(struct apply *a, uint8_t cmd);
/* Puts into @to the settings in which @want, or the default where it is silent,
 * differs from what is installed, and into @back what is.
 */
void apply_diff(const struct set *set, const void *want, const void *defaults,
		const void *old, void *to, void *back);

#endif
