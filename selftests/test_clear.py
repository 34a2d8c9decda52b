#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""L2TP in clear text, around SAs that there are, and that there were.

    c  client, espudp0        nat  masquerades          wan            gw  espudp0
    c0 192.168.1.2 --- 192.168.1.1  203.0.113.11 --- 203.0.113.99 --- g0 203.0.113.1

The client reaches the gateway by a policy rule, the gateway the client by its virtual
address. At both ends the socket is adopted, its owner a process that can be killed.
wan is a stranger on the outside. Everything is captured at the gateway's outside.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 180

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import scene
from forge import Esp, check, equal, n, netns, wait_for
from scene import SLOW, batch, veth

CLIENT, NAT, STRANGER, GATEWAY = "192.168.1.2", "203.0.113.11", "203.0.113.99", "203.0.113.1"
OWN, OTHER = {"c": CLIENT, "gw": GATEWAY}, {"c": GATEWAY, "gw": NAT}
ENDS = "c", "gw"
owners, peers, spis = {}, {}, {}


def topology():
    forge.load_module()
    forge.ns_add("c", "nat", "wan", "gw")
    veth("c", "c0", "nat", "n0")
    veth("nat", "n1", "wan", "w0")
    veth("gw", "g0", "wan", "w1")
    batch("wan", "link add wan type bridge", "link set wan up", "link set w0 master wan",
          "link set w1 master wan", f"addr add {STRANGER}/24 dev wan")
    batch("c", f"addr add {CLIENT}/24 dev c0", "route add default via 192.168.1.1")
    batch("nat", "addr add 192.168.1.1/24 dev n0", f"addr add {NAT}/24 dev n1")
    batch("gw", f"addr add {GATEWAY}/24 dev g0", f"route add default via {STRANGER}")
    scene.forward("nat")
    n("nat", "nft", "-f", "-", stdin="""table ip nat { chain post {
        type nat hook postrouting priority srcnat
        oifname n1 masquerade
        }
        }""")
    for ns in ENDS:
        batch(ns, "link add espudp0 type espudp", "link set espudp0 up")
    # a reverse path filter would hide what the shield is for
    for ns in "c", "gw", "nat":
        n(ns, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")


def daemon(ns):
    """What owns the socket; waits until it does."""
    owners[ns] = forge.n_spawn(ns, "socket_owner", 4500, "espudp", "socket", "adopt", "espudp0",
                               "fd", 3, stdout=subprocess.PIPE)
    if owners[ns].stdout.readline() != b"ready\n":
        raise forge.Failed(f"no socket in {ns}")


def peer(ns, *words):
    peers[ns] = int(n(ns, "espudp", "peer", "add", "espudp0", "mode", "transport", "local",
                      OWN[ns], "remote", OTHER[ns], *words, "selector", "local", OWN[ns],
                      "remote", OTHER[ns], "proto", "udp", "local-port", 1701))


def new_sas():
    """At both ends; what there was is gone."""
    to, back = (Esp(max(spis.values(), default=0x1000) + i) for i in (1, 2))
    for ns in ENDS:
        forge.netlink(ns).must("flush", ifname="espudp0", flush="sas")
        for way, esp in zip(("out", "in") if ns == "c" else ("in", "out"), (to, back)):
            spis[ns, way] = esp.spi
            error, message = forge.sa_new(ns, "espudp0", peers[ns], way, esp)
            if error:
                raise forge.Failed(f"sa-new: {message}")


class Talk(threading.Thread):
    """L2TP's datagrams from both ends, all the time; what comes, by end."""

    def __init__(self, virtual):
        super().__init__(daemon=True)
        self.to = {"c": [GATEWAY], "gw": [virtual]}
        self.sent, self.heard = 0, {ns: [] for ns in ENDS}
        self.socks = {}
        for ns in ENDS:
            with netns(ns):
                self.socks[ns] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socks[ns].bind(("0.0.0.0", 1701))
            self.socks[ns].setblocking(False)
        self.start()

    def run(self):
        while True:
            for ns, sock in self.socks.items():
                for address in self.to[ns]:
                    with contextlib.suppress(OSError):
                        sock.sendto(b"l2tp", (address, 1701))
            self.sent += 1
            time.sleep(0.04 * SLOW)
            for ns, sock in self.socks.items():
                while True:
                    try:
                        self.heard[ns].append(sock.recvfrom(2048))
                    except BlockingIOError:
                        break
                    except OSError:     # an ICMP error of before
                        pass

    def more(self, number):
        """Waits until so many more were sent."""
        goal = self.sent + number
        wait_for(20 * SLOW, lambda: self.sent >= goal)

    def flows(self):
        goal = {ns: len(heard) + 5 for ns, heard in self.heard.items()}
        return wait_for(10 * SLOW, lambda: all(
            len(self.heard[ns]) >= goal[ns] for ns in ENDS))

    def told(self, data):
        """Who heard this."""
        return [(ns, sender[0]) for ns in ENDS for got, sender in self.heard[ns] if got == data]


def clear():
    return outside.packets("udp port 1701 or (ip[6:2] & 0x3fff != 0)")


def esp():
    return len(outside.packets("udp port 4500 and greater 60"))


def shield_counts():
    shown = json.loads(n("gw", "espudp", "shield", "show", "--json"))
    return {name: shown[name]["packets"] for name in ("clear-in", "clear-out", "virtual-in")}


def sas(ns):
    return forge.netlink(ns).must("sa-get", dump=True, ifname="espudp0")


def expiry(ns):
    for way in "in", "out":
        forge.netlink(ns).must("sa-set", ifname="espudp0", sa={
            "dir": way, "peer": peers[ns], "spi": spis[ns, way], "hard-seconds": 1})
    return wait_for(10 * SLOW, lambda: not sas(ns))


def killed(ns):
    """As the kernel does it when it runs out of memory. The SAs stay."""
    owners[ns].send_signal(signal.SIGKILL)
    owners[ns].wait()
    return sas(ns) and not scene.show(ns).get("socket")


def fail_closed(what, ns, event):
    """Under traffic."""
    where = f"{what} at {'the client' if ns == 'c' else 'the gateway'}"
    before = esp()
    check(f"before {where}: L2TP flows both ways, protected", talk.flows() and esp() > before)
    check(where, event(ns), scene.show(ns))
    talk.more(5)        # what is on its way
    heard, before = {one: len(talk.heard[one]) for one in ENDS}, esp()
    talk.more(30)
    equal(f"after {where}: neither end hears anything",
          {one: len(talk.heard[one]) for one in ENDS}, heard)
    check("the other one goes on with ESP", esp() > before)
    equal("and no clear-text L2TP was on the outside, either way", clear(), [])
    if owners[ns].poll() is not None:
        daemon(ns)
    new_sas()


def raw(ns, packet):
    """Past policy rules for UDP, with any source."""
    with netns(ns):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with contextlib.suppress(PermissionError):
        sock.sendto(packet, (GATEWAY, 0))
    sock.close()


def bad_input(virtual):
    """Clear text from everywhere, while SAs work."""
    rows = (("from a peer that has an SA", "c", CLIENT, NAT, "clear-in"),
            ("spoofed from the NAT's address", "wan", NAT, NAT, "clear-in"),
            ("from one that has no SA", "wan", STRANGER, STRANGER, "clear-in"),
            ("spoofed from a virtual address", "wan", virtual, virtual, "virtual-in"))
    for what, ns, src, seen, _ in rows:
        raw(ns, forge.udp(src, GATEWAY, 1701, 1701, what.encode()))
        check(f"control: clear text {what} would be heard, without a shield", wait_for(
            5 * SLOW, lambda what=what: talk.told(what.encode())) == [("gw", seen)], talk.heard)
    n("gw", "espudp", "shield", "on")
    counts = shield_counts()
    for what, ns, src, _, counter in rows:
        mark, came = f"{what}, again".encode(), len(clear())
        raw(ns, forge.udp(src, GATEWAY, 1701, 1701, mark))
        check(f"clear text {what} comes",
              wait_for(5 * SLOW, lambda came=came: len(clear()) == came + 1), clear())
        counts[counter] += 1
        equal("it is dropped, and counted by name", shield_counts(), counts)
        check("what comes through the SA is heard", talk.flows())
        equal("the clear text is not", talk.told(mark), [])


topology()
outside = scene.Capture("gw", "g0", "udp port 1701 or udp port 4500 or (ip[6:2] & 0x3fff != 0)")
n("gw", "espudp", "set", "espudp0", "pool", "10.254.0.0/24")
for end in ENDS:
    daemon(end)
peer("c", "role", "initiator", "nat-local", "yes")
peer("gw", "role", "responder", "nat-remote", "yes")
batch("c", f"route add {GATEWAY} dev espudp0 src {CLIENT} table 51",
      "route add unreachable default metric 4294967295 table 51",
      f"rule add to {GATEWAY} ipproto udp dport 1701 lookup 51")
new_sas()
address = scene.show("gw")["peer"][0]["virtual"]
talk = Talk(address)
for on in False, True:
    if on:
        for end in ENDS:
            n(end, "espudp", "shield", "on")
        # as xl2tpd does when it answers not the address that it was asked from
        talk.to["gw"].append(NAT)
    shielded = ", with the shield" * on
    for end in ENDS:
        fail_closed(f"hard expiry{shielded}", end, expiry)
        fail_closed(f"SIGKILL of the socket's owner{shielded}", end, killed)
talk.to["gw"].pop()
for end in ENDS:
    n(end, "espudp", "shield", "off")
bad_input(address)
forge.end()
