// SPDX-License-Identifier: GPL-2.0
#include <signal.h>
#include <stdlib.h>

#include "apply.h"
#include "commands.h"
#include "lookup.h"
#include "shield.h"
#include "virtual.h"

static int read_state(struct apply *a)
{
	int ret = nl_open(&a->nl);

	if (!ret)
		ret = lookup_devs(&a->nl, a->ifname, &a->devs);
	if (!ret && a->devs.n != 1)
		ret = error("%s: the module told nothing of it", a->ifname);
	if (!ret)
		ret = lookup_peers(&a->nl, a->ifname, &a->peers);
	if (!ret)
		ret = lookup_sas(&a->nl, a->ifname, 0, &a->sas);
	return ret;
}

/* Guards are there before any peer changes, deletions come when nothing can be
 * refused any more.
 */
static int change(struct apply *a)
{
	struct list prefixes = { 0 };
	sigset_t mask;
	int ret;

	/* Not to stop half-way. */
	sigfillset(&mask);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	ret = protect_begin(&a->protect, a->ifname);
	if (ret)
		return ret;
	apply_prefixes(&a->conf, &prefixes);
	ret = protect_add(&a->protect, &prefixes);
	if (!ret)
		ret = virtual_guard(&a->protect, &a->conf.dev.pool);
	if (!ret)
		ret = apply_device(a);
	if (!ret)
		ret = apply_pools(a);
	if (!ret)
		ret = apply_peers(a);
	if (!ret)
		ret = apply_sas(a);
	if (!ret)
		ret = apply_routes(a);
	if (ret)
		apply_undo(a);
	else
		ret = apply_deletions(a);
	protect_end(&a->protect, ret != OK);
	if (!ret && a->conf.listen == LISTEN_UNSET && a->conf.peers.n &&
	    !LIST(struct dev, &a->devs)->socket.n)
		note("%s: no socket is open, and the file has no `Listen = "
		     "own'",
		     a->ifname);
	if (!ret && !a->sync && a->kept_keys)
		note("%s: %u SAs were installed already and stay; their keys "
		     "cannot be compared with the file's",
		     a->ifname, a->kept_keys);
	free(prefixes.v);
	if (!ret && (a->conf.dev.pool.n || LIST(struct dev, &a->devs)->pool.n))
		ret = shield_renew();
	return ret;
}

static int run(struct words *w, bool sync)
{
	struct apply a = { .sync = sync };
	const char *file;
	int ret;

	ret = take_dev(w, &a.ifname);
	if (!ret)
		ret = words_need(w, "the name of a configuration file", &file);
	if (!ret)
		ret = words_end(w);
	if (ret)
		return ret;
	ret = conf_read(&a.conf, file, false);
	if (!ret)
		ret = read_state(&a);
	if (!ret)
		ret = plan_make(&a);
	if (!ret)
		ret = change(&a);
	for_each(struct plan, p, &a.plans)
		free(p->keep.v);
	free(a.plans.v);
	free(a.plan_of);
	free(a.undo.v);
	objects_free(&set_dev, &a.devs);
	objects_free(&set_peer, &a.peers);
	objects_free(&set_sa, &a.sas);
	conf_free(&a.conf);
	nl_close(&a.nl);
	return ret;
}

int cmd_setconf(struct words *w)
{
	return run(w, false);
}

int cmd_syncconf(struct words *w)
{
	return run(w, true);
}
