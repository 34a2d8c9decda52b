#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The L2TP/IPsec gateway with real IKE: charon, kernel-espudp, xl2tpd and pppd.

  test_ike_l2tp.py [clients behind each NAT]

Two clients behind each of two NATs, with equal addresses (the topology is in
l2tp.py): charon on the kernel's xfrm, xl2tpd and pppd. IKEv1 main mode with a
pre-shared key, transport mode. What they propose is in l2tp_ike.py: the first what
Windows does, the others what makes it modp1536, modp1024, ecp384, and 3DES. On the
debug kernel two behind one NAT.

With FULL=1 there are more rekeys: 100 each way.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 400

import json
import re
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import l2tp
import l2tp_ike
from forge import attempt, check, diag, equal, n, wait_for
from l2tp import GATEWAY, SLOW

REKEYS = 100 if forge.FULL else 1
DPD = 4 if SLOW == 1 else 20
start = time.monotonic()


def took(what):
    diag(f"{time.monotonic() - start:.0f} s: {what}")


class Scene:
    def __init__(self, per_nat, nats):
        self.site = l2tp_ike.Site(per_nat, nats=nats, connection={
            "dpd_delay": f"{DPD}s", "dpd_timeout": f"{3 * DPD}s"})
        self.clients = self.site.clients
        self.names = [client.name for client in self.clients]
        self.gw = self.site.charon
        # those behind one NAT
        self.pairs = [[client for client in self.clients if client.nat == nat] for nat in nats]

    # ------------------------------------------------------------------ looking

    def shown(self):
        """The tool's view: (IKE identity, address, port) -> peer."""
        peers = json.loads(n("gw", "espudp", "show", "espudp0", "--json"))[0].get("peer", [])
        return {(peer["name"], peer["remote"], peer["remote-port"]): peer for peer in peers}

    def end_of(self, client):
        return (client.addr, l2tp.nat_address(client.nat), self.site.ports()[client])

    def gateway_sa(self, client):
        """The gateway's newest IKE SA with a client."""
        found = [sa for sa in self.gw.sas() if sa["state"] == "ESTABLISHED" and
                 (sa["remote-id"], sa["remote-host"]) ==
                 (client.addr, l2tp.nat_address(client.nat))]
        return max(found, key=lambda sa: sa["uniqueid"], default=None)

    def newest(self, client):
        """The SPIs that it sends to, and is sent to, at both ends."""
        sa = self.gateway_sa(client)
        spis = {(child["spi-in"], child["spi-out"]) for child in sa["child-sas"].values()
                if child["state"] == "INSTALLED"} if sa else set()
        return spis, {(child["spi-out"], child["spi-in"]) for child in client.installed()}

    def under_traffic(self, what, event, but=()):
        """Datagrams go to and from all meanwhile. Nobody loses any, except those of but."""
        pump = l2tp.Pump([client for client in self.clients if client.sessions()], 0.05 * SLOW)
        pump.more(10)
        event(pump)
        pump.more(20)
        pump.finish()
        lost = {client.name: pump.lost(client) for client in self.clients if client not in but}
        check(f"{what}: of {sum(pump.sent.values())} datagrams of "
              f"{'the others' if but else 'all'} none is lost, none comes to somebody else",
              not any(up or down for up, down in lost.values()) and not pump.astray,
              {name: both for name, both in lost.items() if any(both)}, pump.astray,
              forge.drops("gw"), self.site.xfrm_errors())
        took(what)
        return pump

    # -------------------------------------------------------------------- acts

    def connect(self):
        site = self.site
        site.capture()
        site.configure_all()
        sniffer = l2tp_ike.Sniffer()
        site.start_charons()
        took("charons started")
        site.start()
        up = check(f"{len(self.clients)} clients behind {len(self.pairs)} NATs ask for IPsec at "
                   "once, all get it", site.initiate(), *site.logs())
        took("IPsec")
        if not up:
            return False
        self.natd(sniffer.finish())
        for client in self.clients:
            client.start()
        for client in self.clients:
            client.dial()
        up = check("they dial at once, all have PPP", wait_for(
            90 * SLOW, lambda: all(client.sessions() for client in self.clients) and
            set(site.gw_sessions()) == set(self.names)), *site.logs())
        took("PPP")
        if up:
            site.watch_owners()
        return up

    def natd(self, messages):
        wrong, kinds = l2tp_ike.nat_hashes(messages)
        equal("NAT-D: the gateway's hashes are of its own address and of the NAT's, those of "
              "clients of addresses that a NAT changed", wrong, [])
        equal("such hashes went to each client, in payloads of RFC 3947", list(kinds.values()),
              [{l2tp_ike.NAT_D_RFC}] * len(self.clients))
        equal("each client knows: it is behind a NAT itself, the server is not",
              {client.name: (bool(client.charon.logged("local host is behind NAT")),
                             bool(client.charon.logged("remote host is behind NAT")))
               for client in self.clients}, {name: (True, False) for name in self.names})

    def algorithms(self):
        text = self.gw.swanctl("--list-sas")
        for client in self.clients:
            of_ike, of_esp = client.wanted
            sa = self.gateway_sa(client)
            block = re.search(rf"^l2tp: #{sa['uniqueid']},.*?(?=^\S|\Z)", text, re.M | re.S)[0]
            check(f"{client.name} has IKE {of_ike}, ESP {of_esp}",
                  f"  {of_ike}\n" in block and f"ESP:{of_esp}\n" in block and
                  "TRANSPORT-NAT" not in block or "ESP in UDP" in block, block)

    def one_reqid_two_peers(self):
        shown = self.shown()
        equal("espudp shows each by its IKE identity and where it is", sorted(shown),
              sorted(self.end_of(client) for client in self.clients))
        for pair in self.pairs:
            name = " and ".join(client.name for client in pair)
            reqids = {child["reqid"] for client in pair
                      for child in self.gateway_sa(client)["child-sas"].values()}
            equal(f"{name}: one reqid", len(reqids), 1, self.gw.swanctl("--list-sas"))
            equal("and each a peer, with an address of its own", len({
                shown[self.end_of(client)]["virtual"] for client in pair}), len(pair), shown)
        equal("xl2tpd knows each by that address",
              set(re.findall(r"Connection established to ([\d.]+)", self.site.log("gw"))),
              {peer["virtual"] for peer in shown.values()})
        diag(n("gw", "espudp", "show"))

    def exchange(self, size):
        for first in True, False:
            equal(f"all at once, {'clients' if first else 'host'} first: every octet arrives at "
                  "its owner", l2tp.exchange(self.clients, size, first, 120 * SLOW), {})
        took("exchanged")

    def rekey(self, client, charon, who):
        """A new CHILD_SA, by one end."""
        def event(_):
            ids = []
            for _ in range(REKEYS):
                old = self.newest(client)
                children = charon.installed("l2tp") if charon is client.charon else [
                    child for child in self.gateway_sa(client)["child-sas"].values()
                    if child["state"] == "INSTALLED"]
                ids.append(children[0]["uniqueid"])
                charon.rekey(child_id=ids[-1])
                if not wait_for(20 * SLOW, lambda old=old: self.renewed(client, old)):
                    break
                # IKEv1 itself leaves old ones until they expire
                if len(ids) > 2:
                    charon.terminate(child_id=ids.pop(0), wait=False)
            check(f"{client.name}'s CHILD_SA rekeyed by the {who}, {REKEYS} times: each time both "
                  "ends go over to the new one",
                  self.renewed(client, old), old, self.newest(client), *self.site.logs())
        self.under_traffic(f"rekey by the {who}", event)

    def renewed(self, client, old):
        here, there = self.newest(client)
        return here == there and len(here) == 1 and not here & old[0]

    def reauthenticated(self, client):
        """IKEv1 has no other way to rekey an IKE SA."""
        def event(_):
            old = client.charon.sas()[0]
            client.charon.rekey(ike="l2tp")
            check(f"{client.name}'s IKE SA is rekeyed", wait_for(20 * SLOW, lambda: [
                sa["initiator-spi"] for sa in client.charon.sas()] not in (
                    [], [old["initiator-spi"]]) and len(client.charon.sas()) == 1 and
                self.renewed_ike(client)), client.charon.sas(), self.gw.sas())
        self.under_traffic("IKE SA rekeyed", event)

    def renewed_ike(self, client):
        sa = self.gateway_sa(client)
        return sa and sa["initiator-spi"] == client.charon.sas()[0]["initiator-spi"] and \
            self.newest(client)[0] == self.newest(client)[1]

    def moved(self, client):
        session = client.sessions()
        old = self.end_of(client)

        def event(_):
            self.site.remap(client)
            check(f"{client.name}'s mapping changes, espudp follows", wait_for(
                10 * SLOW, lambda: client in self.site.ports() and self.end_of(client) != old and
                self.end_of(client) in self.shown()), self.shown(), self.site.ports())
            check("and charon", wait_for(
                10 * SLOW, lambda: self.gateway_sa(client)["remote-port"] ==
                self.end_of(client)[2]), self.gw.sas(), self.gw.log()[-3000:])
        pump = self.under_traffic("mapping change", event, but=[client])
        up, down = pump.lost(client)
        last = pump.sent["down", client.name] - 1
        check("it loses nothing on the way up, on the way down what was sent until it was heard, "
              "and keeps its session", not up and len(down) <= last // 2 and last not in down and
              client.sessions() == session, up, down, last)

    def gone(self, client, end):
        return not self.gateway_sa(client) and end not in self.shown()

    def dial(self, client):
        """Once more; it had PPP before."""
        sessions = len(client.sessions())
        client.dial()
        return wait_for(60 * SLOW, lambda: len(client.sessions()) > sessions)

    def deleted(self, client):
        end = self.end_of(client)

        def event(pump):
            with open(self.site.control(client.name), "w", encoding="ascii") as control:
                control.write("d vpn\n")
            wait_for(10 * SLOW, client.downs)
            client.charon.terminate(ike="l2tp")
            check(f"{client.name} deletes its SAs: the gateway has none of it, nor a peer",
                  wait_for(10 * SLOW, lambda: self.gone(client, end)), self.shown(),
                  self.gw.sas())
            client.up()
            check("it connects again", self.dial(client), *self.site.logs())
            pump.add(client)
        self.under_traffic("deleted", event, but=[client])
        self.site.watch_owners()

    def killed(self, client):
        """It is back before anybody missed it."""
        def event(pump):
            old = self.gateway_sa(client)
            client.kill()
            client.charon.start()
            client.up()
            client.start()
            check(f"{client.name} is killed, and comes back", self.dial(client),
                  *self.site.logs())
            pump.add(client)
            check("DPD finds that the SAs it had are dead", wait_for(
                6 * DPD, lambda: old["uniqueid"] not in {sa["uniqueid"] for sa in self.gw.sas()}),
                self.gw.sas())
            check("and they go without those that it has now",
                  len(self.newest(client)[0]) == 1 and
                  self.newest(client)[0] == self.newest(client)[1] and
                  self.end_of(client) in self.shown(), self.newest(client), self.shown())
        self.under_traffic("killed", event, but=[client])
        self.site.watch_owners()

    def dead(self, client):
        """DPD, of one that does not come back before it is missed."""
        end = self.end_of(client)
        live = {self.gateway_sa(one)["uniqueid"] for one in self.clients if one is not client}
        mark = self.gw.mark()
        client.kill()
        check(f"{client.name} is dead: DPD finds it, its peer is gone",
              wait_for(10 * DPD, lambda: self.gone(client, end)), self.gw.sas(), self.shown())
        # the living answer for longer than the dead one was waited for
        wait_for(20 * DPD, lambda: len(self.gw.logged("sending DPD request", mark)) >=
                 4 * len(self.clients))
        equal("and none of the living", live - {sa["uniqueid"] for sa in self.gw.sas()}, set())
        took("dead")
        client.charon.start()
        client.up()
        client.start()
        check("it comes back later", self.dial(client), *self.site.logs())
        self.site.watch_owners()

    def verdict(self):
        site = self.site
        equal("nothing came out of PPP at somebody else's", site.wrong(), {})
        drops = forge.drops("gw")
        diag(drops, site.xfrm_errors())
        self.gw.terminate(ike="l2tp", timeout=30)
        equal("the gateway deletes all: nothing is left there", wait_for(
            10 * SLOW, lambda: not site.left() and not self.gw.sas()) or
              (site.left(), self.gw.sas()), True)
        equal("nor at the clients", [
            client.name for client in self.clients
            if not wait_for(5 * SLOW, lambda c=client: not c.charon.sas())], [])
        sock = l2tp.bound("nat1", l2tp.nat_address(1), 1702)
        sock.sendto(b"clear", (GATEWAY, 1701))
        check("it would have been seen there", wait_for(5 * SLOW, lambda: [
            line for line in site.clear() if f"{l2tp.nat_address(1)}.1702 >" in line]))
        sock.close()
        equal("and of the gateway's there was none since, either", site.clear_of_gateway(), [])
        equal("charon ends as it should", self.gw.stop(), 0)

    def run(self):
        if self.connect():
            self.algorithms()
            self.one_reqid_two_peers()
            self.exchange(1 << 18 if SLOW > 1 else 1 << 20)
            chosen = self.clients
            self.rekey(chosen[0], chosen[0].charon, "client")
            self.reauthenticated(chosen[0])
            self.moved(chosen[1])
            self.rekey(chosen[1], self.gw, "gateway")
            equal("until now no clear-text L2TP was on the outside", self.site.clear(), [])
            self.deleted(chosen[0])
            self.killed(chosen[1])
            self.dead(chosen[-1])
            self.exchange(1 << 16)
            self.verdict()
        self.site.end()


ike.need()
l2tp.need("xl2tpd", "pppd", "conntrack", "nft", "tcpdump")
for module in "l2tp_ppp", "ppp_async", "ppp_synctty", "esp4", "xfrm_user":
    attempt("modprobe", module)
forge.load_module()
per_site = int(sys.argv[1]) if len(sys.argv) > 1 else 2
Scene(per_site, (1,) if forge.DEBUG_KERNEL else (1, 2)).run()
forge.end()
