#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The L2TP/IPsec gateway: clients with equal addresses behind two NATs.

The topology is in l2tp.py. At the clients: the kernel's xfrm in transport mode,
xl2tpd and pppd, source port 1701; at the gateway: espudp, xl2tpd and pppd; all
as the distribution ships them.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 300

import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import l2tp
from forge import attempt, check, diag, equal, n, wait_for
from l2tp import SLOW

start = time.monotonic()


def took(what):
    diag(f"{time.monotonic() - start:.0f} s: {what}")


def scene(per_nat, kernel, listen, nats):
    site = l2tp.Gateway(per_nat, kernel, listen, nats)
    took("topology")
    site.capture()
    site.configure_all()
    site.start()
    for client in site.clients:
        client.up()
    took("IPsec")
    answered = l2tp.probe(site.clients, seconds=10 * SLOW)
    equal("raw SCCRQ with equal tunnel ids from all: each is answered",
          sorted(c.name for c in answered), [c.name for c in site.clients])
    for client in site.clients:
        client.start()
    took("xl2tpd")
    for client in site.clients:
        client.dial()
    check("all have PPP", wait_for(60 * SLOW, lambda: all(c.sessions() for c in site.clients)
                                   and len(site.gw_sessions()) == len(site.clients)),
          *(site.log(name) + site.pppd_log(name) for name in ["gw", *(c.name for c in site.clients)]))
    took("PPP")
    diag(n("gw", "espudp", "show"))
    site.watch_owners()
    size = 1 << 20 if kernel else 1 << 16
    equal("exchange, clients first", l2tp.exchange(site.clients, size, True, 60 * SLOW), {})
    took("clients first")
    equal("exchange, host first", l2tp.exchange(site.clients, size, False, 60 * SLOW), {})
    took("host first")
    equal("wrong", site.wrong(), {})
    equal("complaints", site.complaints(), [])
    equal("xfrm", site.xfrm_errors(), {})
    equal("drops", forge.drops("gw"), {})
    equal("clear", site.clear(), [])
    diag(n("gw", "espudp", "show"))
    for name in ["gw", *(c.name for c in site.clients)]:
        diag(f"--- {name}", site.log(name), site.pppd_log(name))
    site.end()
    took("end")


for module in "l2tp_ppp", "ppp_async", "ppp_synctty", "esp4", "xfrm_user":
    attempt("modprobe", module)
forge.load_module()
words = sys.argv[1:]
scene(int(words[0]), words[1] == "kernel", words[2] == "listen", (1, 2) if words[3] == "2" else (1,))
forge.end()
