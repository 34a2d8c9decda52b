#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""IKEv2 road warriors at a gateway of charon, its plugin kernel-espudp, and the module.

    c1 192.168.1.11 --+                  nat                    gw                  host
    c2 192.168.1.12 --+---- 192.168.1.1, masquerades
    c3 fd01::13     --+---- fd01::1      203.0.113.2 ---+
                                         2001:db8:1::2  +--- 203.0.113.1
    c4 2001:db8:1::14 ----------------------------------+    2001:db8:1::1
                                                             10.99.0.1 --- 10.99.0.2
                                                             fd99::1   --- fd99::2

Clients are strongSwan with the kernel's xfrm, each with a virtual address of
either family:

  c1  certificate      AES-GCM            modp2048, MOBIKE
  c2  pre-shared key   ChaCha20-Poly1305  no MOBIKE
  c3  certificate      ChaCha20-Poly1305  outer IPv6, NAT
  c4  pre-shared key   AES-GCM            outer IPv6, no NAT, encap = yes

The gateway's default route leads to the outside, and those of the addresses it
gives to clients, while no client has them, to nowhere. On the debug kernel there are
c1 and c4 only.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 300

import signal
import sys
import time
import traceback

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import scene
from forge import attempt, check, equal, n, wait_for
from scene import SLOW, batch, took

GW4, GW6 = "203.0.113.1", "2001:db8:1::1"
HOST4, HOST6 = "10.99.0.2", "fd99::2"
VIRTUAL = ("10.8.0.0/15", "fd08::/64")
INNER = (*VIRTUAL, "10.99.0.0/24", "fd99::/64")
DPD = 4


class Client:
    def __init__(self, name, cert, esp, proposal, mobike=True):
        self.name, self.cert, self.esp, self.proposal, self.mobike = \
            name, cert, esp, proposal, mobike
        self.v6 = name in ("c3", "c4")
        self.nat = name != "c4"
        self.id = f"{name}.example"
        self.gateway = GW6 if self.v6 else GW4
        self.charon = ike.Charon(name)
        self.ends = []

    def connections(self):
        to = "cert.gw.example" if self.cert else "psk.gw.example"
        own = {"auth": "pubkey", "certs": f"{self.id}.pem"} if self.cert else {"auth": "psk"}
        both = {"version": 2, "remote_addrs": self.gateway, "mobike": self.mobike,
                "encap": not self.nat, "proposals": self.proposal}
        found = {"net": {
            **both, "vips": ["0.0.0.0", "::"],
            "local": {**own, "id": self.id},
            "remote": {"auth": own["auth"], "id": to},
            "children": {"net": {"remote_ts": ["10.99.0.0/24", "fd99::/64"],
                                 "esp_proposals": self.esp}}}}
        for name in "one", "two":
            found[name] = {
                **both, "local": {"auth": "psk", "id": f"{name}.example"},
                "remote": {"auth": "psk", "id": "fixed.gw.example"},
                "children": {name: {"local_ts": FIXED, "remote_ts": "10.99.0.0/24",
                                    "esp_proposals": self.esp}}}
        return found

    def connect(self):
        self.charon.initiate("net")
        (child,) = self.charon.installed("net")
        inner = [selector.split("/")[0] for selector in child["local-ts"]]
        self.ends = [((self.name, addr), ("host", HOST6 if ":" in addr else HOST4))
                     for addr in inner]

    def pairs(self):
        return {f"{self.name} {'IPv6' if ':' in near[1] else 'IPv4'}": (near, far)
                for near, far in self.ends}

    def mapping(self):
        """The port that the NAT has for its port 4500."""
        family = "ipv6" if self.v6 else "ipv4"
        with_port = n("nat", "conntrack", "-L", "-f", family, "-p", "udp",
                      "--orig-port-dst", "4500")
        for line in with_port.splitlines():
            words = line.split()
            if f"src={own_address(self.name)}" in words:
                return int([word for word in words if word.startswith("dport=")][1][6:])
        return None

    def remap(self):
        """The NAT forgets, and has another port for it next."""
        family = "ip6" if self.v6 else "ip"
        addr = own_address(self.name)
        n("nat", "nft", "add", "rule", "inet", "nat", "moved", family, "saddr", addr, "meta",
          "l4proto", "udp", "masquerade", "to", ":30000-30999")
        n("nat", "conntrack", "-D", "-p", "udp", "-f", "ipv6" if self.v6 else "ipv4", "-s", addr)

    def peer(self):
        """The one that its inner address belongs to."""
        found = scene.peer_to("gw", self.ends[0][0][1])
        return found[0] if len(found) == 1 else found


FIXED = "10.9.9.9/32"
MOVED = {"c1": "192.168.1.51"}
moved = set()


def own_address(name):
    if name in moved:
        return MOVED[name]
    number = 10 + int(name[1])
    return {"c3": f"fd01::{number}", "c4": f"2001:db8:1::{number}"}.get(
        name, f"192.168.1.{number}")


def topology(names):
    forge.ns_add("nat", "wan", "gw", "host", *names)
    batch("wan", "link add wan type bridge", "link set wan up")
    batch("nat", "link add lan type bridge", "link set lan up", "addr add 192.168.1.1/24 dev lan",
          "addr add fd01::1/64 dev lan")
    for name, dev in [("nat", "n0"), ("gw", "g0")] + [(name, "c0") for name in names
                                                      if name == "c4"]:
        scene.veth(name, dev, "wan", f"w-{name}")
        batch("wan", f"link set w-{name} master wan")
    scene.veth("gw", "g1", "host", "h0")
    batch("nat", "addr add 203.0.113.2/24 dev n0", "addr add 2001:db8:1::2/64 dev n0")
    batch("gw", f"addr add {GW4}/24 dev g0", f"addr add {GW6}/64 dev g0",
          "addr add 10.99.0.1/24 dev g1", "addr add fd99::1/64 dev g1",
          "route add default via 203.0.113.2", "route add default via 2001:db8:1::2",
          *(f"route add unreachable {net} metric 4294967295" for net in VIRTUAL))
    batch("host", f"addr add {HOST4}/24 dev h0", f"addr add {HOST6}/64 dev h0",
          "route add default via 10.99.0.1", "route add default via fd99::1")
    for name in names:
        addr = own_address(name)
        if name == "c4":
            batch(name, f"addr add {addr}/64 dev c0")
        else:
            scene.veth(name, "c0", "nat", f"l-{name}")
            batch("nat", f"link set l-{name} master lan")
            batch(name, f"addr add {addr}/{64 if ':' in addr else 24} dev c0",
                  f"route add default via {'fd01::1' if ':' in addr else '192.168.1.1'}")
            n(name, "sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1")
        batch(name, f"addr add {FIXED} dev lo")
    scene.forward("nat", "gw")
    n("nat", "nft", "-f", "-", stdin="""table inet nat {
        chain moved { }
        chain post {
            type nat hook postrouting priority srcnat
            oifname n0 jump moved
            oifname n0 masquerade
        }
    }""")


def gateway():
    gw = ike.Charon(
        "gw", kernel=KERNEL, plugin={},
        settings={"retransmit_tries": 3, "retransmit_timeout": 4 * min(SLOW, 4),
                  "retransmit_base": 1, "delete_rekeyed_delay": 2 * min(SLOW, 4)})
    both = {"version": 2, "unique": "replace", "dpd_delay": DPD * min(SLOW, 4),
            "proposals": ["aes256-sha256-modp2048", "aes256-sha256-ecp256"]}
    esp = ["aes256gcm16", "chacha20poly1305"]
    net = {"net": {"local_ts": ["10.99.0.0/24", "fd99::/64"], "esp_proposals": esp}}
    gw.configure({
        "cert": {**both, "pools": ["v4", "v6"], "children": net,
                 "local": {"auth": "pubkey", "certs": "gw.pem", "id": "cert.gw.example"},
                 "remote": {"auth": "pubkey"}},
        "psk": {**both, "pools": ["v4", "v6"], "children": net,
                "local": {"auth": "psk", "id": "psk.gw.example"},
                "remote": {"auth": "psk"}},
        "fixed": {**both, "local": {"auth": "psk", "id": "fixed.gw.example"},
                  "remote": {"auth": "psk"},
                  "children": {"fixed": {"local_ts": "10.99.0.0/24", "remote_ts": FIXED,
                                         "esp_proposals": esp}}}},
        ike.psk(), pools={"v4": {"addrs": "10.8.0.0/24"}, "v6": {"addrs": "fd08::/120"}})
    return gw


def logs():
    return [f"--- {charon.ns}\n{charon.log()[-6000:]}" for charon in charons]


def gone(client):
    """No IKE SA of its, and no peer."""
    return not [sa for sa in gw.sas() if sa.get("remote-id") == client.id] and not client.peer()


# ----------------------------------------------------------------------- steps

def connect():
    for client in clients:
        client.connect()
        sa = client.charon.sas("net")[0]
        child = client.charon.installed("net")[0]
        check(f"{client.name}: connects by {'certificate' if client.cert else 'pre-shared key'}, "
              "with addresses of both families", len(client.ends) == 2, child)
        equal(f"{client.name}: its ESP is what it asked for, in UDP",
              (child["encr-alg"], child.get("encap")), (ESP_NAMES[client.esp], "yes"))
        equal(f"{client.name}: the group has a name", sa["dh-group"],
              "MODP_2048" if "modp2048" in client.proposal else "ECP_256")
        peer = client.peer()
        check(f"{client.name}: one peer has both addresses, and is named by IKE",
              isinstance(peer, dict) and client.id in peer["name"] and
              [peer["id"]] == [other["id"] for other in
                               scene.peer_to("gw", client.ends[1][0][1])], peer)
        if client.nat:
            equal(f"{client.name}: the peer's endpoint is the NAT's", (
                peer["remote"], peer["remote-port"], peer["nat-remote"]),
                ("2001:db8:1::2" if client.v6 else "203.0.113.2", client.mapping(), "yes"))
    text = gw.swanctl("--list-sas")
    check("swanctl shows the group 2048 by its name", "MODP_2048" in text, text)
    equal("the device has a pair of SAs for each", scene.sas("gw"), 2 * len(clients))


def rekey(traffic):
    """CHILD_SAs, then IKE SAs, half from each end, under traffic."""
    for what in "child", "ike":
        old = {sa["remote-id"]: ids(sa, what) for sa in gw.sas()}
        for i, client in enumerate(clients):
            end = client.charon if i % 2 else gw
            if end is gw:
                sa = [sa for sa in gw.sas() if sa["remote-id"] == client.id][0]
                number, = ids(sa, what)
                gw.rekey(**{f"{what}_id": number})
            else:
                end.rekey(**{what: "net"})

        def renewed():
            new = {sa["remote-id"]: ids(sa, what) for sa in gw.sas()}
            return len(gw.sas()) == len(clients) and new.keys() == old.keys() and \
                all(len(new[key]) == 1 and not new[key] & old[key] for key in new)
        check(f"all {what.upper()}{'_' if what == 'child' else ' '}SAs are rekeyed, by either end",
              wait_for(30 * SLOW, renewed), gw.sas(), *logs())
        equal(f"{what}: traffic goes on", traffic.still(), [])
    equal("no SA is left over", wait_for(20 * SLOW, lambda: scene.sas("gw") == 2 * len(clients)),
          True, scene.show("gw"))


def ids(sa, what):
    if what == "ike":
        return {sa["uniqueid"]}
    return {child["uniqueid"] for child in sa.get("child-sas", {}).values()}


def roam():
    """Mappings change: with MOBIKE by a new address, without it in silence."""
    for client in clients:
        if client.nat and client.name not in MOVED:
            client.remap()
    for client in clients:
        if client.name in MOVED:
            old, new = own_address(client.name), MOVED[client.name]
            batch(client.name, f"addr add {new}/24 dev c0", f"addr del {old}/24 dev c0")
            moved.add(client.name)
    for client in clients:
        if not client.nat:
            continue

        def followed():
            port = client.mapping()
            sa = [sa for sa in gw.sas() if sa.get("remote-id") == client.id]
            peer = client.peer()
            return port and (peer["remote-port"], sa[0]["remote-port"]) == (port, port)
        how = "to a new address, with MOBIKE" if client.name in MOVED else \
            "a new mapping, without MOBIKE" if not client.mobike else "a new mapping"
        check(f"{client.name}: {how}: peer and IKE SA follow", wait_for(20 * SLOW, followed),
              client.mapping(), client.peer(), gw.sas(), *logs())


def dpd():
    """The living, one whose charon stands still while ESP comes, and the dead."""
    mark = gw.mark()
    live = {sa["uniqueid"] for sa in gw.sas()}
    asked = wait_for(10 * DPD * min(SLOW, 4), lambda: len(
        gw.logged("sending DPD request", mark) or []) >= len(clients))
    time.sleep(1)
    check("DPD asks idle clients", asked, gw.log(mark))
    equal("and finds them alive", {sa["uniqueid"] for sa in gw.sas()}, live)

    client = clients[0]
    traffic = scene.Traffic(client.pairs())
    traffic.still()
    client.charon.child.send_signal(signal.SIGSTOP)
    time.sleep((DPD + 10) * min(SLOW, 4))
    check(f"{client.name}: whose daemon stands still, while its ESP comes, is alive",
          client.id in [sa.get("remote-id") for sa in gw.sas()] and not gone(client), *logs())
    traffic.stop()
    client.charon.child.send_signal(signal.SIGCONT)

    client = clients[-1]
    scene.vanish(client.charon)
    check(f"{client.name}: dead, is found to be, and its peer goes",
          wait_for((DPD + 30) * min(SLOW, 4), lambda: gone(client)), client.peer(), gw.log(mark))
    equal("and nobody else", len(gw.sas()), len(clients) - 1)


def reconnect():
    """One that was dead, and one whose SAs are still there."""
    last, first = clients[-1], clients[0]
    last.charon.start()
    last.connect()
    before, addresses = first.peer(), first.ends
    scene.vanish(first.charon)
    first.charon.start()
    first.connect()
    equal(f"{first.name}: comes back and has its addresses again", first.ends, addresses)
    after = first.peer()
    check(f"{first.name}: and has taken its peer over", isinstance(after, dict) and
          after["id"] == before["id"] and after["spi-in"] != before["spi-in"], before, after)
    traffic = scene.Traffic({**first.pairs(), **last.pairs()})
    equal("traffic of who came back flows", traffic.still(), [])
    time.sleep(2)
    equal("the old SAs' deletion did no harm", traffic.still(), [])
    traffic.stop()


def claim():
    """An inner address that two identities want."""
    one, two = clients[0], clients[-1]
    address = FIXED.split("/", maxsplit=1)[0]
    one.charon.initiate("one")
    before = scene.peer_to("gw", address)[0]
    traffic = scene.Traffic({"fixed": ((one.name, address), ("host", HOST4))})
    equal("an address of a client's own: traffic flows", traffic.still(), [])
    try:
        two.charon.initiate("two")
        refused = ""
    except ike.Refused as error:
        refused = str(error)
    two.charon.terminate(ike="two")
    check("another identity is refused the same address", refused, *logs())
    check("charon says why", gw.logged("peer two.example.*another peer has an equal selector"),
          gw.log()[-4000:])
    equal("traffic of its owner goes on", traffic.still(), [])
    traffic.stop()
    equal("without a loss", traffic.lost(), {})

    two.charon.initiate("one")
    after = scene.peer_to("gw", address)[0]
    equal("the same identity from elsewhere takes the peer over", after["id"], before["id"])
    equal("its endpoint is the newcomer's", after["remote"],
          own_address(two.name) if not two.nat else after["remote"])
    traffic = scene.Traffic({"fixed": ((two.name, address), ("host", HOST4))})
    equal("and its traffic flows", traffic.still(), [])
    one.charon.terminate(ike="one")
    equal("also after the old SAs are deleted", traffic.still(), [])
    equal("which leave the peer alone", [peer["id"] for peer in scene.peer_to("gw", address)],
          [before["id"]])
    traffic.stop()
    two.charon.terminate(ike="one")


def delete(traffic):
    """By the client, by the gateway; the host goes on sending."""
    first, last = clients[0], clients[-1]
    first.charon.terminate(ike="net")
    check(f"{first.name}: its delete removes the peer", wait_for(10 * SLOW, lambda: gone(first)),
          first.peer())
    number = [sa["uniqueid"] for sa in gw.sas() if sa.get("remote-id") == last.id]
    gw.terminate(ike_id=number[0])
    check(f"{last.name}: the gateway's delete removes it at both ends",
          wait_for(10 * SLOW, lambda: gone(last) and not last.charon.sas()), last.peer())
    others = [name for name in traffic.flows if name.split()[0] not in (first.name, last.name)]
    equal("others' traffic goes on", [name for name in traffic.still(3) if name in others], [])
    time.sleep(1)


KERNEL = "espudp"
ESP_NAMES = {"aes256gcm16": "AES_GCM_16", "chacha20poly1305": "CHACHA20_POLY1305"}
ike.need()
for module in "xfrm_user esp4 esp6 nft_masq nft_chain_nat nf_conntrack_netlink".split():
    attempt("modprobe", module)
forge.load_module()
ike.install_plugin()
clients = [Client("c1", True, "aes256gcm16", "aes256-sha256-modp2048"),
           Client("c2", False, "chacha20poly1305", "aes256-sha256-ecp256", mobike=False),
           Client("c3", True, "chacha20poly1305", "aes256-sha256-ecp256"),
           Client("c4", False, "aes256gcm16", "aes256-sha256-ecp256")]
if forge.DEBUG_KERNEL:
    clients = [clients[0], clients[3]]
took("loaded")
topology([client.name for client in clients])
took("topology")
gw = gateway()
charons = [gw, *(client.charon for client in clients)]
authority = ike.Authority()
authority.issue(gw, "gw", "DNS:cert.gw.example")
for client in clients:
    if client.cert:
        authority.issue(client.charon, client.id)
    client.charon.configure(client.connections(), ike.psk())
took("certificates")
ike.start_all(charons)
took("charons run")
outside = scene.Outside("gw", "g0", *INNER)
try:
    connect()
    took("connected")
    everybody = {name: pair for client in clients for name, pair in client.pairs().items()}
    traffic = scene.Traffic(everybody)
    equal("traffic flows both ways, for everybody, of both families", traffic.still(), [],
          *logs())
    rekey(traffic)
    traffic.stop()
    equal(f"through all rekeys no packet of {traffic.sent()} was lost", traffic.lost(), {},
          forge.drops("gw"), scene.xfrm_errors(*(client.name for client in clients)))
    equal("nor came twice", traffic.twice(), {})
    took("rekeyed")
    traffic = scene.Traffic(everybody)
    traffic.still()
    roam()
    equal("traffic flows on after all roamed", traffic.still(), [], *logs())
    traffic.stop()
    equal("a new mapping loses nothing upwards", {
        name: lost for name, lost in traffic.lost().items()
        if name.endswith("up") and name.split()[0] not in MOVED}, {})
    took("roamed")
    dpd()
    took("DPD")
    reconnect()
    took("reconnected")
    claim()
    took("claimed")
    traffic = scene.Traffic(everybody)
    traffic.still()
    delete(traffic)
    traffic.stop()
    took("deleted")
    equal("nothing was outside in the clear", outside.clear(), [])
    check("what was there was protected", outside.protected() > 100)
except Exception:
    check("the scene plays to its end", False, traceback.format_exc(), *logs())
for charon in charons:
    equal(f"{charon.ns}: charon ends in order", charon.stop(), 0)
if KERNEL == "espudp":
    equal("no peer is left", scene.peers("gw"), [])
forge.end()
