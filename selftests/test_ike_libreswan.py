#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Libreswan's pluto (on the kernel's xfrm) as the peer of charon with kernel-espudp.

L2TP/IPsec, IKEv1 with a pre-shared key: two clients behind one NAT, c11 with
nothing but draft-ietf-ipsec-nat-t-ike-02 and 03, c12 with RFC 3947. Site to site,
IKEv2 and encapsulation=yes: nat2 is a gateway there, with 192.168.1.0/24 behind it.
The topology is in l2tp.py.
"""
#
# KERNELS: 6.12
# TIMEOUT: 300

import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import l2tp
import l2tp_ike
import pluto
import scene
from forge import attempt, check, diag, equal, n, wait_for
from l2tp import GATEWAY, HOST, PRIVATE, SLOW
from scene import took

OTHER = l2tp.nat_address(2)
SITE, HOME = f"{PRIVATE}/24", "10.99.0.0/24"
METHODS = {"c11": "drafts", "c12": "rfc"}


class Client(l2tp_ike.Client):
    def configure(self, **_):
        self.charon = pluto.Pluto(self.name, l2tp_ike.PSK, l2tp={
            "ikev2": "no", "type": "transport", "pfs": "no", "left": self.addr,
            "leftprotoport": "17/1701", "right": GATEWAY, "rightprotoport": "17/1701",
            "ike": "aes256-sha1;modp2048", "phase2alg": "aes256-sha1",
            "nat_ikev1_method": METHODS[self.name]})

    def installed(self):
        return self.charon.installed("l2tp")


class Site(l2tp_ike.Site):
    client = Client

    def __init__(self):
        super().__init__(per_nat=2, nats=(1,), connections={"site": {
            "version": 2, "local_addrs": [GATEWAY], "remote_addrs": [OTHER], "encap": True,
            "proposals": ["aes256-sha256-modp2048"],
            "local": {"auth": "psk", "id": GATEWAY}, "remote": {"auth": "psk", "id": OTHER},
            "children": {"site": {"local_ts": [HOME], "remote_ts": [SITE],
                                  "esp_proposals": ["aes256gcm16-modp2048", "aes256gcm16"]}}}})
        self.far = pluto.Pluto("nat2", l2tp_ike.PSK, site={
            "ikev2": "insist", "type": "tunnel", "encapsulation": "yes", "left": OTHER,
            "leftsubnet": SITE, "right": GATEWAY, "rightsubnet": HOME,
            "ike": "aes256-sha2_256;modp2048", "esp": "aes_gcm256"})
        n("nat2", "nft", "add", "rule", "ip", "nat", "moved", "ip", "daddr", HOME, "accept")
        l2tp.batch("nat2", f"route add {HOME} via {GATEWAY} src {PRIVATE}")


def peers(gw):
    return {(peer["name"], peer["remote"], peer["remote-port"]): peer
            for peer in scene.show(gw.ns).get("peer", [])}


def l2tp_clients(site):
    gw, names = site.charon, [client.name for client in site.clients]
    sniffer = l2tp_ike.Sniffer()
    if not check("two of Libreswan's behind one NAT, drafts 02/03 and RFC 3947, get IPsec",
                 site.initiate(), *site.logs()):
        return False
    took("IPsec")
    wrong, kinds = l2tp_ike.nat_hashes(sniffer.finish())
    equal("NAT-D: all hashes are right", wrong, [])
    equal("to one they go in the drafts' payloads, to the other in RFC 3947's",
          sorted(kind for found in kinds.values() for kind in found),
          [l2tp_ike.NAT_D_RFC, l2tp_ike.NAT_D_DRAFT])
    check("the gateway has heard of both",
          gw.logged("received draft-ietf-ipsec-nat-t-ike-0[23] vendor ID") and
          gw.logged(r"received NAT-T \(RFC 3947\) vendor ID"), gw.log())
    for client in site.clients:
        client.start()
    for client in site.clients:
        client.dial()
    up = check("both have PPP", wait_for(90 * SLOW, lambda: all(
        client.sessions() for client in site.clients) and
        set(site.gw_sessions()) == set(names)), *site.logs())
    took("PPP")
    equal("espudp has a peer for each", sorted(peers(gw)), sorted(
        (client.addr, l2tp.nat_address(1), site.ports()[client]) for client in site.clients))
    if up:
        site.watch_owners()
    return up


def site_to_site(site):
    gw = site.charon
    up = check("site to site, encapsulation=yes: pluto initiates, the tunnel is there",
               site.far.initiate("site") and gw.installed("site"), site.far.log(), gw.log())
    equal("and a peer", [name for name in peers(gw) if name[1] == OTHER],
          [(OTHER, OTHER, 4500)])
    took("site")
    return up


def rekeyed(what, traffic, gw, far, event):
    """The gateway has another CHILD_SA after it."""
    old = {sa["uniqueid"] for sa in gw.installed("site")}
    event()
    check(what, wait_for(20 * SLOW, lambda: {sa["uniqueid"] for sa in gw.installed("site")} - old),
          gw.log()[-3000:], far.log()[-3000:])
    equal("all goes on", traffic.still(), [])


def newest(gw, client):
    """The id of the CHILD_SA that is in use."""
    return max((child["uniqueid"] for child in gw.installed("l2tp")
                if child["ike"]["remote-id"] == client.addr), default=None)


def run():
    site = Site()
    gw = site.charon
    site.capture()
    outside = scene.Outside("gw", "g0", HOME, "10.8.0.0/24")
    site.configure_all()
    site.start_charons()
    ike.start_all([site.far])
    took("started")
    site.start()
    if not l2tp_clients(site) or not site_to_site(site):
        return site.end()
    for first in True, False:
        equal(f"both clients at once, {'clients' if first else 'host'} first: every octet arrives "
              "at its owner", l2tp.exchange(site.clients, 1 << 19, first, 60 * SLOW), {})
    took("exchanged")

    client = site.clients[0]
    traffic = scene.Traffic({"site": (("nat2", PRIVATE), ("host", HOST)),
                             **{one.name: ((one.name, one.ppp), ("host", HOST))
                                for one in site.clients}})
    equal("all have traffic, both ways", traffic.still(), [])
    rekeyed("pluto rekeys the tunnel's CHILD_SA", traffic, gw, site.far,
            lambda: site.far.whack("--asynchronous", "--rekey-ipsec", "--name", "site"))
    ids = {sa["uniqueid"] for sa in gw.sas("site")}
    site.far.whack("--asynchronous", "--rekey-ike", "--name", "site")
    check("and its IKE SA", wait_for(20 * SLOW, lambda: {
        sa["uniqueid"] for sa in gw.sas("site")} - ids), gw.log()[-3000:])
    # pluto 4.10 loses its answer when an exchange of its own is under way
    check("with what was before deleted", wait_for(20 * SLOW, lambda: len(
        gw.sas("site")) == len(gw.installed("site")) == 1), gw.log()[-3000:])
    rekeyed("and the gateway the CHILD_SA", traffic, gw, site.far, lambda: gw.rekey(child="site"))
    traffic.stop()
    lost = traffic.lost()
    check("no packet was lost", not lost, lost, forge.drops("gw"), gw.log()[-9000:],
          site.far.log()[-9000:])
    took("rekeyed, site to site")

    # pluto does not rekey IKEv1's when told to
    pump = l2tp.Pump(site.clients, 0.05 * SLOW)
    child = newest(gw, client)
    gw.rekey(child_id=child)
    check(f"the CHILD_SA with {client.name} is rekeyed", wait_for(
        20 * SLOW, lambda: newest(gw, client) not in (child, None)), gw.log()[-3000:])
    pump.more(20)
    pump.finish()
    lost = {one.name: tuple(map(len, pump.lost(one))) for one in site.clients}
    check("no packet was lost", set(lost.values()) == {(0, 0)} and not pump.astray, lost,
          pump.astray, site.xfrm_errors(), forge.drops("gw"))
    took("rekeyed, L2TP")

    diag(n("gw", "espudp", "show"))
    equal("nothing came out of PPP at somebody else's", site.wrong(), {})
    equal("no clear-text L2TP was on the outside", site.clear(), [])
    site.far.terminate("site")
    for one in site.clients:
        one.charon.terminate("l2tp")
    equal("pluto deletes all: nothing is left at the gateway", wait_for(
        10 * SLOW, lambda: not site.left() and not gw.sas()) or (site.left(), gw.sas()), True)
    equal("no clear-text L2TP of the gateway's is on the outside, now either",
          site.clear_of_gateway(), [])
    equal("nor anything of the sites'", outside.clear(), [])
    check("where it would have been seen", outside.protected() > 50)
    return site.end()


ike.need()
l2tp.need("xl2tpd", "pppd", "conntrack", "nft", "tcpdump", "certutil")
pluto.need()
pluto.install()
for module in "l2tp_ppp", "ppp_async", "ppp_synctty", "esp4", "xfrm_user":
    attempt("modprobe", module)
forge.load_module()
run()
forge.end()
