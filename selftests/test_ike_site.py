#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Site to site, IKEv2, without a NAT: `encap = yes'.

    ha                        a                          b                    hb
    10.1.0.2  --- 10.1.0.1    198.51.100.1 --- 198.51.100.2    10.2.0.1  --- 10.2.0.2
    fd10:1::2     fd10:1::1                                    fd10:2::1     fd10:2::2

a is charon with kernel-espudp in all scenes. The gateways are inside their subnets;
their default routes lead to each other, and those to the other subnet, while there is
no tunnel, to nowhere. At b:

  both       the same; traps at both ends, what brings the tunnel up is traffic
  all        the same; everything but a's subnet is behind b, also b itself
  libipsec   strongSwan's kernel-libipsec: ESP in user space, by nobody of ours
"""
#
# KERNELS: 6.12
# TIMEOUT: 240

import sys
import time
import traceback

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import scene
from forge import attempt, check, equal, n, n_attempt, wait_for
from scene import SLOW, batch, took

OUTER = {"a": "198.51.100.1", "b": "198.51.100.2"}
NETS = {"a": ["10.1.0.0/24", "fd10:1::/64"], "b": ["10.2.0.0/24", "fd10:2::/64"]}
INNER = {"ha": ("10.1.0.2", "fd10:1::2"), "a": ("10.1.0.1", "fd10:1::1"),
         "hb": ("10.2.0.2", "fd10:2::2"), "b": ("10.2.0.1", "fd10:2::1")}
ELSEWHERE = "192.0.2.5"         # behind b
DPD = 3


def topology():
    forge.topo_direct()
    forge.ns_add("ha", "hb")
    for gateway, other in ("a", "b"), ("b", "a"):
        host = f"h{gateway}"
        scene.veth(gateway, f"{gateway}1", host, "h0")
        for name, dev in (gateway, f"{gateway}1"), (host, "h0"):
            batch(name, f"addr add {INNER[name][0]}/24 dev {dev}",
                  f"addr add {INNER[name][1]}/64 dev {dev}")
        batch(gateway, f"route add default via {OUTER[other]}",
              f"route add default via 2001:db8:2::{1 if other == 'a' else 2}")
        batch(gateway, *(f"route add unreachable {net} metric 4294967295" for net in NETS[other]))
        batch(host, *(f"route add default via {addr}" for addr in INNER[gateway]))
    batch("hb", f"addr add {ELSEWHERE}/32 dev lo")
    batch("b", f"route add {ELSEWHERE} via {INNER['hb'][0]}")
    scene.forward("a", "b")


class Scene:
    def __init__(self, name, far="espudp", **child):
        self.name = name
        self.charons = []
        self.a, self.b = (self.charon(ns, kernel, **child)
                          for ns, kernel in (("a", "espudp"), ("b", far)))
        ike.start_all(self.charons)
        self.outside = scene.Outside("a", "a0", *NETS["a"], *NETS["b"], ELSEWHERE)
        took(f"{name}: charons run")

    def charon(self, ns, kernel, **child):
        other = "b" if ns == "a" else "a"
        charon = ike.Charon(ns, kernel=kernel, settings={
            "retransmit_tries": 2, "retransmit_timeout": 4, "retransmit_base": 1,
            "delete_rekeyed_delay": 2})
        local, remote = child.get("nets", NETS)[ns], child.get("nets", NETS)[other]
        charon.configure({"site": {
            "version": 2, "local_addrs": OUTER[ns], "remote_addrs": OUTER[other],
            "encap": True, "proposals": "aes256-sha256-modp2048",
            # b's would keep a from asking
            "dpd_delay": DPD if ns == "a" else 0,
            "local": {"auth": "psk", "id": f"{ns}.example"},
            "remote": {"auth": "psk", "id": f"{other}.example"},
            "children": {"net": {
                "local_ts": local, "remote_ts": remote, "dpd_action": "clear",
                "esp_proposals": "aes256gcm16", "start_action": child.get("start", "none")}}}},
            ike.psk())
        self.charons.append(charon)
        return charon

    def check(self, what, *args):
        return check(f"{self.name}: {what}", *args)

    def equal(self, what, *args):
        return equal(f"{self.name}: {what}", *args)

    def logs(self):
        return [f"--- {charon.ns}\n{charon.log()[-6000:]}" for charon in self.charons]

    def traffic(self):
        pairs = {"hosts": ("ha", "hb", 0), "IPv6": ("ha", "hb", 1), "gateways": ("a", "b", 0),
                 "gateway-host": ("a", "hb", 1)}
        return scene.Traffic({name: ((near, INNER[near][i]), (far, INNER[far][i]))
                              for name, (near, far, i) in pairs.items()})

    def with_sas(self, ns="a"):
        return [peer for peer in scene.peers(ns) if peer.get("sa")]

    def up(self):
        return self.a.installed("net") and self.b.installed("net")

    # ------------------------------------------------------------------- points

    def rekeys(self, ends):
        traffic = self.traffic()
        self.equal("traffic flows both ways, of hosts and of the gateways", traffic.still(), [],
                   *self.logs())
        for charon in ends:
            self.check(f"CHILD_SA rekey by {charon.ns}", charon.rekeyed(child="net"),
                       *self.logs())
            self.equal("traffic goes on", traffic.still(), [])
            self.check(f"IKE rekey by {charon.ns}", charon.rekeyed(ike="site"), *self.logs())
            self.equal("traffic goes on", traffic.still(), [])
        traffic.stop()
        self.equal(f"no packet of {traffic.sent()} was lost", traffic.lost(), {})
        self.equal("nor came twice", traffic.twice(), {})
        self.equal("no SA is left over",
                   wait_for(10 * SLOW, lambda: scene.sas("a") == 2) and scene.sas("a"), 2)

    def dpd(self):
        """Idle, and then b is dead."""
        (old,) = [sa["uniqueid"] for sa in self.a.sas()]
        mark = self.a.mark()
        self.check("DPD asks an idle peer", self.a.logged("sending DPD request", mark,
                                                          5 * DPD))
        self.a.logged("parsed INFORMATIONAL response", mark, 5)
        self.equal("and finds it alive", [sa["uniqueid"] for sa in self.a.sas()], [old])
        self.b.kill()
        self.check("it finds a dead one", wait_for((DPD + 20) * SLOW, lambda: not self.a.sas()),
                   *self.logs())
        self.equal("its SAs are gone", wait_for(5, lambda: not self.with_sas()), True)
        self.b.start()

    def delete(self, by):
        """Whoever sends is not in the clear then."""
        traffic = self.traffic()
        traffic.still()
        by.terminate(ike="site")
        return traffic

    def end(self):
        self.equal("nothing was outside in the clear", self.outside.clear(), [])
        self.check("what was there was protected", self.outside.protected() > 50)
        self.equal("no route led back to the device",
                   forge.drops("a").get("tx-loop", 0), 0)
        self.outside.stop()
        for charon in self.charons:
            self.equal(f"{charon.ns}: charon ends in order", charon.stop(), 0)
        self.equal("no peer is left", scene.peers("a"), [])
        took(f"{self.name}: ended")


def ping(ns, addr, *words):
    return n_attempt(ns, "ping", "-q", "-c", 1, "-W", 1, *words, addr).returncode == 0


def both():
    s = Scene("both", start="trap")
    traps = scene.peers("a")
    s.check("a trap is a peer without SAs", len(traps) == 1 and not traps[0].get("sa"), traps)
    s.check("with the selectors of the CHILD_SA", {
        selector["remote"] for selector in traps[0]["selector"]} == set(NETS["b"]), traps)
    s.equal("nothing is up", (s.a.sas(), s.b.sas()), ([], []))
    ping("ha", INNER["hb"][0])
    s.check("a host's packet brings the tunnel up", wait_for(20 * SLOW, s.up), *s.logs())
    s.check("a gateway's own packets have the inner source", ping("a", INNER["hb"][0]))
    s.rekeys([s.a, s.b])
    took("both: rekeyed")
    s.dpd()
    took("both: DPD")
    s.equal("the trap is left", [peer["name"] for peer in scene.peers("a")],
            [traps[0]["name"]])
    traffic = s.traffic()
    s.check("the other end is back: traffic brings the tunnel up again",
            wait_for(20 * SLOW, s.up), *s.logs())
    s.equal("and flows", traffic.still(), [], *s.logs())
    took("both: again")
    for charon in s.a, s.b:
        old = {child["spi-in"] for child in s.a.installed("net")}
        charon.terminate(ike="site")
        s.check(f"deleted by {charon.ns}: traffic brings it up", wait_for(20 * SLOW, lambda: s.up(
            ) and not old & {child["spi-in"] for child in s.a.installed("net")}), *s.logs())
        s.equal("and flows", traffic.still(), [])
    traffic.stop()
    s.check("a log line tells who acquired", s.a.logged("creating acquire job"), *s.logs())
    s.end()


def everything():
    s = Scene("all", nets={"a": NETS["a"][:1], "b": ["0.0.0.0/0"]})
    # what is a's own stays so, as with every table 220
    batch("a", f"route add throw {NETS['a'][0]} table 220")
    s.a.initiate("net")
    table = n("a", "ip", "route", "show", "table", "220")
    s.check("the IKE peer, inside the selectors, has an exclude route",
            f"throw {OUTER['b']} " in table, table)
    traffic = scene.Traffic({
        "elsewhere": (("ha", INNER["ha"][0]), ("hb", ELSEWHERE)),
        "gateway": (("a", INNER["a"][0]), ("hb", INNER["hb"][0]))})
    s.equal("traffic flows", traffic.still(), [], *s.logs())
    s.check("CHILD_SA rekey", s.b.rekeyed(child="net"), *s.logs())
    s.check("IKE rekey", s.a.rekeyed(ike="site"), *s.logs())
    traffic.still()
    traffic.stop()
    s.equal(f"no packet of {traffic.sent()} was lost", traffic.lost(), {})
    s.a.terminate(ike="site")
    s.equal("no route is left", [line for line in n("a", "ip", "route", "show", "table",
                                                    "220").splitlines()
                                 if not line.startswith("throw")], [])
    s.end()


def libipsec():
    s = Scene("libipsec", far="libipsec")
    s.a.initiate("net")
    s.check("the tunnel is up, in UDP", s.up() and s.a.installed("net")[0]["encap"] == "yes",
            *s.logs())
    s.rekeys([s.a, s.b])
    s.dpd()
    s.b.initiate("net")
    traffic = s.traffic()
    s.equal("the other end is back, and connects", traffic.still(), [], *s.logs())
    for charon in s.b, s.a:
        charon.terminate(ike="site")
        s.check(f"deleted by {charon.ns}: no peer is left", wait_for(
            10 * SLOW, lambda: not scene.peers("a") and not s.b.sas()), *s.logs())
        time.sleep(1)
        s.a.initiate("net")
        s.equal("traffic of a new one flows", traffic.still(), [], *s.logs())
    traffic.stop()
    s.end()


ike.need()
if not (ike.PLUGINS / "libstrongswan-kernel-libipsec.so").exists():
    forge.skip_all("no kernel-libipsec")
for module in "xfrm_user", "tun":
    attempt("modprobe", module)
forge.load_module()
ike.install_plugin()
topology()
for play in both, everything, libipsec:
    try:
        play()
    except Exception:
        check(f"{play.__name__}: the scene plays to its end", False, traceback.format_exc())
        for child in forge.children:
            if child.poll() is None:
                child.kill()
forge.end()
