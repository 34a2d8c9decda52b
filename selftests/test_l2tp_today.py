#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What test_l2tp.py is compared with: the gateway on xfrm, charon on all ends.

Two clients behind each of two NATs (the topology is in l2tp.py), IKEv1 with a
pre-shared key, and the kernel's l2tp_ppp. Three gateways:

  plain     strongSwan, nothing else
  connmark  strongSwan's connmark plugin, marks that are unique
  zones     the same marks, conntrack zones, and NAT to an address for each peer,
            by rules of iptables

Each client connects in turn, IPsec first. Then there is traffic of all at once.
"""
#
# KERNELS: 6.12
# TIMEOUT: 400
# FULL-ONLY: it is about other software

import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import l2tp
import l2tp_ike
from forge import attempt, check, diag, equal, n, wait_for

SECONDS = 8
start = time.monotonic()

ZONES = """
-t raw -A PREROUTING -i g0 -p udp --dport 1701 -m policy --dir in --pol ipsec -j CT --zone-orig mark
-t mangle -A INPUT -i g0 -p udp --dport 1701 -m policy --dir in --pol ipsec -j CONNMARK --save-mark
-t nat -A INPUT -i g0 -p udp --dport 1701 -m policy --dir in --pol ipsec \
-j SNAT --to-source 10.255.0.1-10.255.255.254
-t mangle -A OUTPUT -d 10.255.0.0/16 -p udp --sport 1701 -j CONNMARK --restore-mark
"""


def took(what):
    diag(f"{time.monotonic() - start:.0f} s: {what}")


class Today(l2tp_ike.Site):
    """A gateway without espudp."""

    def __init__(self, recipe):
        marks = {} if recipe == "plain" else {"mark_in": "%unique", "mark_out": "%unique"}
        load = ike.LOAD
        if recipe == "connmark":
            load = load.replace("{kernel}", "{kernel} connmark")
        if recipe == "zones":
            marks["set_mark_in"] = "%same"
        super().__init__(per_nat=2, kernel=True, listen=True, ipsec="xfrm", child=marks,
                         gateway={"load": load})
        self.configure_all()
        self.start_charons()
        if recipe == "zones":
            n("gw", "ip", "route", "add", "10.255.0.0/16", "dev", "g0")
            for rule in ZONES.strip().splitlines():
                n("gw", "iptables-legacy", *rule.split())

    def connect(self):
        """Each in turn; returns who got PPP."""
        got = []
        for client in self.clients:
            try:
                client.up()
            except ike.Refused as error:
                diag(error)
                continue
            client.start()
            client.dial()
            if wait_for(30, client.sessions):
                got.append(client)
        return got


def run(recipe):
    site = Today(recipe)
    took(f"{recipe}: charons")
    site.capture()
    site.start()
    up = site.connect()
    took(f"{recipe}: connected")
    names = [client.name for client in site.clients]
    equal(f"{recipe}: each client in turn gets IPsec and PPP", [c.name for c in up], names,
          *site.logs())
    site.watch_owners()
    pump = l2tp.Pump(up, 0.05)
    time.sleep(SECONDS)
    pump.finish()
    first = l2tp.exchange(up, 1 << 16, True, 30)
    took(f"{recipe}: clients first")
    second = l2tp.exchange(up, 1 << 16, False, 30)
    took(f"{recipe}: host first")
    strays = site.complaints()
    diag(f"{recipe}:",
         "client  datagrams up  datagrams down  64 KiB, client first  64 KiB, host first  "
         "for others")
    alive = {}
    for client in up:
        up_, down = (100 * len(pump.got[way, client.name]) // pump.sent[way, client.name]
                     for way in ("up", "down"))
        stray = sum(line.startswith(f"{client.name}:") for line in strays)
        alive[client.name] = (up_, down, client.name not in first, client.name not in second)
        diag(f"{client.name:6}  {up_:10} %  {down:12} %  "
             f"{'yes' if client.name not in first else 'no':>20}  "
             f"{'yes' if client.name not in second else 'no':>18}  {stray:10}")
    equal(f"{recipe}: no clear-text L2TP was on the outside", site.clear(), [])
    works = [name for name, (up_, down, *done) in alive.items()
             if up_ == 100 and down == 100 and all(done)]
    if recipe == "zones":
        equal("zones: all clients work", works, names)
        check("zones: no packet came to somebody else", not strays and not site.wrong() and
              not pump.astray, strays, site.wrong(), pump.astray)
    else:
        check(f"{recipe}: of two clients behind one NAT not both work",
              not {"c11", "c12"} <= set(works) and not {"c21", "c22"} <= set(works), alive)
        check(f"{recipe}: packets came to somebody else", strays or site.wrong() or pump.astray)
    site.end()


l2tp.need("xl2tpd", "pppd", "conntrack", "nft", "tcpdump", "iptables-legacy")
ike.need()
for module in ("l2tp_ppp ppp_async ppp_synctty xfrm_user esp4 nft_compat xt_MASQUERADE xt_policy "
               "xt_connmark xt_mark xt_CT iptable_filter iptable_mangle iptable_nat "
               "iptable_raw").split():
    attempt("modprobe", module)
for one in "plain", "connmark", "zones":
    run(one)
forge.end()
