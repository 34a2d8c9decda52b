#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The L2TP/IPsec gateway: clients with equal addresses behind two NATs.

  test_l2tp.py [kernel|user any|bound [clients behind each NAT]]

The topology is in l2tp.py. At the clients: the kernel's xfrm in transport mode,
xl2tpd and pppd, source port 1701; at the gateway: espudp, xl2tpd and pppd; all
as the distribution ships them.

Without FULL=1 only with the kernel's l2tp_ppp and without listen-addr; with it,
also in user space and with listen-addr. Four clients behind each NAT, two on the
debug kernel.
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 400

import json
import re
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


class Scene:
    """One variant."""

    def __init__(self, kernel, listen, per_nat):
        self.name = (f"{'kernel' if kernel else 'user space'} l2tp, "
                     f"{'listen-addr' if listen else 'any address'}")
        self.kernel = kernel
        # user space saturates an emulated machine
        self.size = 1 << 20 if kernel else 1 << 16
        self.site = l2tp.Gateway(per_nat, kernel, listen)
        self.clients = self.site.clients
        self.names = [client.name for client in self.clients]
        self.old_tunnels = {"gw": set()}
        self.returned = set()

    def equal(self, what, *args):
        return equal(f"{self.name}: {what}", *args)

    def check(self, what, *args):
        return check(f"{self.name}: {what}", *args)

    def logs(self):
        return [f"--- {name}\n{self.site.log(name)}{self.site.pppd_log(name)}"
                for name in ["gw", *self.names]]

    # ---------------------------------------------------------------- acts

    def connect(self):
        site = self.site
        site.capture()
        site.configure_all()
        site.start()
        ports = site.mappings(self.clients)
        for client in self.clients:
            client.up(ports[client])
        answered = l2tp.probe(self.clients, seconds=20 * SLOW)
        self.equal("raw SCCRQ of equal tunnel ids, one from each: all are answered",
                   sorted(client.name for client in answered), self.names)
        for client in self.clients:
            client.start()
        took("dialling")
        for client in self.clients:
            client.dial()
        up = self.check(
            f"{len(self.clients)} clients dial at once, all have PPP",
            wait_for(90 * SLOW, lambda: all(client.sessions() for client in self.clients) and
                     set(site.gw_sessions()) == set(self.names)), *self.logs())
        took("PPP")
        if not up:
            return False
        self.equal("xl2tpd works in the way that is tested",
                   ("pppol2tp" in site.log("gw"),
                    re.search(r"Listening on IP address (\S+),", site.log("gw"))[1]),
                   (self.kernel, l2tp.GATEWAY if site.listen else "0.0.0.0"))
        self.equal("and knows each client by its virtual address",
                   set(re.findall(r"Connection established to ([\d.]+)", site.log("gw"))),
                   {client.virtual for client in self.clients})
        site.watch_owners()
        return True

    def shown(self):
        """Called amid the exchange."""
        self.text = n("gw", "espudp", "show")
        self.peers = json.loads(n("gw", "espudp", "show", "espudp0", "--json"))[0]["peer"]
        self.ports = self.site.ports()

    def exchange(self):
        seconds = 120 * SLOW
        self.equal("all at once, clients first: every octet arrives at its owner",
                   l2tp.exchange(self.clients, self.size, True, seconds, self.shown), {})
        self.equal("during that espudp shows where each client is, and its virtual address",
                   {peer["name"]: (peer["remote"], peer["remote-port"], peer["virtual"])
                    for peer in self.peers},
                   {client.name: (l2tp.nat_address(client.nat), self.ports[client],
                                  client.virtual) for client in self.clients})
        self.check("and traffic of each, both ways",
                   all(peer["stats"][f"{way}-bytes"] > self.size // 8
                       for peer in self.peers for way in ("rx", "tx")), self.text)
        diag(self.text)
        self.equal("all at once, host first: every octet arrives at its owner",
                   l2tp.exchange(self.clients, self.size, False, seconds), {})
        took("exchanged")

    def others_notice_nothing(self, what, client, event):
        """What happens to one client, while datagrams go to and from all."""
        before = {one.name: one.sessions() for one in self.clients}
        pump = l2tp.Pump(self.clients, (0.05 if self.kernel else 0.2) * SLOW)
        pump.more(10)
        event(pump)
        pump.more(10)
        pump.finish()
        others = [one for one in self.clients if one is not client]
        lost = {one.name: pump.lost(one) for one in others}
        self.check(f"{what}: the other {len(others)} lose no packet, and no other packet comes "
                   "to them", not any(up or down for up, down in lost.values()) and
                   not pump.astray,
                   {name: both for name, both in lost.items() if any(both)}, pump.astray)
        self.equal("nor their sessions", [one.name for one in others
                                          if one.sessions() != before[one.name] or one.downs()],
                   [])
        took(what)
        return pump

    def mapping_changes(self, client):
        session = client.sessions()

        def event(_):
            old = self.site.endpoint(client)[1]
            self.site.remap(client)
            self.check(f"{client.name}'s mapping changes, espudp follows", wait_for(
                10 * SLOW, lambda: self.site.endpoint(client)[1] not in (old, None)))
            self.equal("to where the NAT has it now", self.site.endpoint(client),
                       (l2tp.nat_address(client.nat), self.site.ports()[client]))
        pump = self.others_notice_nothing("mapping change", client, event)
        up, down = pump.lost(client)
        last = pump.sent["down", client.name] - 1
        self.check("it loses nothing on the way up, on the way down what was sent until it "
                   "was heard, and keeps its session", not up and len(down) <= last // 2 and
                   last not in down and client.sessions() == session, up, down, last)

    def rekeyed(self, client):
        old = {sa.spi for sa in client.sas[0]}
        pump = self.others_notice_nothing("rekey", client, lambda _: client.rekey())
        peer = self.site.peer(client)
        self.check(f"{client.name} has new SAs", not old & {peer["spi-in"], peer["spi-out"]} and
                   self.site.endpoint(client)[1] == self.site.ports()[client], peer)
        self.equal("and lost nothing either", pump.lost(client), ([], []))

    def killed(self, client, forgotten):
        """forgotten: IKE deletes the old peer before it makes the new one."""
        ids = re.findall(r"Local: (\d+), Remote: (\d+) \(ref", self.site.log(client.name))
        self.old_tunnels[client.name] = {local for local, _ in ids}
        self.old_tunnels["gw"] |= {remote for _, remote in ids}
        self.returned.add(client.name)
        virtual, old = client.virtual, client.peer
        what = f"{client.name} killed, its old peer {'deleted' if forgotten else 'left'}"

        def event(pump):
            sessions = len(client.sessions())
            client.kill()
            time.sleep(2 * SLOW)
            if forgotten:
                self.site.peer_del(old)
            client.up(self.site.mappings([client])[client])
            client.start()
            client.dial()
            self.check(f"{what}: it comes back", wait_for(
                30 * SLOW, lambda: len(client.sessions()) > sessions), *self.logs())
            self.equal(f"{what}: {'with' if forgotten else 'not with'} the virtual address it had",
                       client.virtual == virtual, forgotten)
            pump.add(client)
        self.equal("until now nothing came out of PPP at somebody else's", self.site.wrong(), {})
        self.others_notice_nothing(what, client, event)
        self.site.watch_owners()
        if not forgotten:
            self.site.peer_del(old)

    def verdict(self):
        site = self.site
        self.equal("after all that, too, every octet arrives at its owner",
                   l2tp.exchange(self.clients, 1 << 16, False, 60 * SLOW), {})
        self.equal("nothing came out of PPP at somebody else's", site.wrong(), {})
        # what the gateway still has for a client that was killed
        late = tuple(f"{name}: xl2tpd[" for name in ("gw", *self.returned))
        self.equal("no xl2tpd had a packet for others", [
            line for line in site.complaints()
            if not (line.startswith(late) and
                    set(re.findall(r"\d+", line)) & self.old_tunnels[line.split(":")[0]])], [])
        gone = {f"{name} Xfrm{way}NoStates" for name in self.returned for way in ("In", "Out")}
        self.equal("no client's xfrm had one", {
            key: count for key, count in site.xfrm_errors().items() if key not in gone}, {})
        drops = forge.drops("gw")
        for reason in "tx-virtual", "tx-no-sa":     # to a client that was not there
            drops.pop(reason, None)
        self.equal("espudp dropped nothing", drops, {})
        self.equal("no clear-text L2TP was on the outside", site.clear(), [])
        sock = l2tp.bound("nat1", l2tp.nat_address(1), 1701)
        sock.sendto(b"clear", (l2tp.GATEWAY, 1701))
        self.equal("where it would have been seen",
                   wait_for(5 * SLOW, lambda: len(site.clear())), 1)
        sock.close()

    def run(self):
        if self.connect():
            self.exchange()
            chosen = self.clients[:len(self.clients) // 2]
            self.mapping_changes(chosen[-1])
            self.rekeyed(chosen[0])
            self.killed(chosen[1 % len(chosen)], True)
            if forge.FULL:
                self.killed(self.clients[-1], False)
            self.verdict()
        self.site.end()


l2tp.need("xl2tpd", "pppd", "conntrack", "nft", "tcpdump")
for module in "l2tp_ppp", "ppp_async", "ppp_synctty", "esp4", "xfrm_user":
    attempt("modprobe", module)
forge.load_module()
per_site = int(sys.argv[3]) if len(sys.argv) > 3 else 2 if forge.DEBUG_KERNEL else 4
if len(sys.argv) > 1:
    variants = [(sys.argv[1] == "kernel", sys.argv[2] == "bound")]
else:
    variants = [(True, False)]
    if forge.FULL:
        variants += [(True, True), (False, False), (False, True)]
for variant in variants:
    Scene(*variant, per_site).run()
forge.end()
