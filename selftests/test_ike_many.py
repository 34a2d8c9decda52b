#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Many clients behind one NAT address, through real IKE.

  test_ike_many.py [clients]

IKEv1 with a pre-shared key, transport mode, UDP port 1701 at both ends; an echo
takes the place of L2TP. Each client is a charon on the kernel's xfrm, with few
threads and plugins. All ask at once. 8 clients, 50 with FULL=1. Two of them choose
the same SPI, as each may.
"""
#
# KERNELS: 6.12
# TIMEOUT: 200

import collections
import select
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import l2tp
import l2tp_ike
import scene
from forge import attempt, check, diag, equal, n, wait_for
from l2tp import GATEWAY, SLOW
from scene import took

CLIENTS = 50 if forge.FULL else 8
ROUNDS = 20
SPI, SHARE_IT = 0x2000, ("c11", "c12")


class Client(l2tp_ike.Client):
    def configure(self, **_):
        # 4 of the threads wait for something all the time
        settings = {"threads": 5}
        if self.name in SHARE_IT:
            settings |= {"spi_min": SPI, "spi_max": SPI}
        self.charon = ike.Charon(self.name, load=ike.SMALL, settings=settings)

    def tell(self):
        self.charon.tell(l2tp_ike.conn(
            self.addr, GATEWAY, ["aes256-sha1-modp2048"],
            {"remote_ts": ["dynamic[udp/1701]"], "esp_proposals": ["aes256-sha1"]}),
            l2tp_ike.PSK)


class Site(l2tp_ike.Site):
    client = Client


class Echo:
    """All clients' sockets, and the gateway's."""

    def __init__(self, clients):
        self.gw = l2tp.bound("gw", GATEWAY, 1701)
        self.socks = {}
        for client in clients:
            sock = l2tp.bound(client.name, client.addr, 1701)
            sock.connect((GATEWAY, 1701))
            self.socks[sock] = client.name
        self.names = {}         # as the gateway has them, by address
        self.got = collections.Counter()
        self.astray = []

    def serve(self, seconds, enough):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not enough():
            for sock in select.select([self.gw, *self.socks], [], [], 0.1)[0]:
                if sock is self.gw:
                    data, who = sock.recvfrom(2048)
                    name = data.decode().split()[1]
                    if self.names.setdefault(who, name) != name:
                        self.astray.append(f"{data} from {who}, who was {self.names[who]}")
                    if data.startswith(b"ask"):
                        sock.sendto(data.replace(b"ask", b"answer"), who)
                else:
                    data = sock.recv(2048)
                    self.got[self.socks[sock], data.split()[0].decode()] += 1
                    if data.decode().split()[1] != self.socks[sock]:
                        self.astray.append(f"{data} at {self.socks[sock]}")

    def rounds(self, what, number):
        """All at once, again and again. Whoever has not got as many as were sent."""
        goal = self.got.copy()
        for i in range(number):
            if what == "answer":
                for sock, name in self.socks.items():
                    sock.send(f"ask {name} {i}".encode())
            else:
                for who, name in self.names.items():
                    self.gw.sendto(f"{what} {name} {i}".encode(), who)
            for name in self.socks.values():
                goal[name, what] += 1
            self.serve(10 * SLOW, lambda: not goal - self.got)
        return sorted((goal - self.got).items())


def figures(gw):
    """query_sa: what swanctl shows is what the module counted, and recent."""
    sas = {sa["spi"]: sa for peer in scene.show("gw")["peer"] for sa in peer["sa"]
           if sa["dir"] == "in"}
    told = {child["spi-in"]: child for child in gw.children()}
    equal("charon tells the packets and octets that came in",
          {spi: (child["packets-in"], child["bytes-in"]) for spi, child in told.items()},
          {spi: (sa["packets"], sa["bytes"]) for spi, sa in sas.items()})
    equal("of each those that were sent", {child["packets-in"] for child in told.values()},
          {ROUNDS})
    equal("and out, to each the answers and what came first",
          {child["packets-out"] for child in told.values()}, {2 * ROUNDS})
    check("and when it last came in, seconds ago", all(
        child["use-in"] < 60 * SLOW for child in told.values()), told)


def run(number):
    # charon takes several at once from one address for an attack
    site = Site(number, nats=(1,), gateway={
        "settings": {"block_threshold": 0},
        "plugin": {"pool": l2tp_ike.POOL, "pool6": l2tp_ike.POOL6}})
    gw = site.charon
    site.capture()
    site.start_charons()
    for client in site.clients:
        client.tell()
    took(f"{number} charons")
    equal("the gateway's device has the pools of both families", sorted(
        f"{pool['address']}/{pool['prefix-len']}" for pool in scene.show("gw")["pool"]),
          [l2tp_ike.POOL, l2tp_ike.POOL6], gw.log()[-3000:])
    if not check(f"{number} clients behind one address ask at once, all get IPsec",
                 site.initiate(seconds=120), gw.log()[-3000:]):
        return site.end()
    took("IPsec")
    peers = scene.show("gw")["peer"]
    equal("espudp has a peer for each, by identity and port of the NAT",
          sorted((peer["name"], peer["remote"], peer["remote-port"]) for peer in peers),
          sorted((client.addr, l2tp.nat_address(1), port)
                 for client, port in site.ports().items()))
    equal("all under one reqid", len({child["reqid"] for child in gw.children()}), 1)
    equal("the two that chose the same SPI each have it", sorted(
        peer["name"] for peer in peers if peer["spi-out"] == SPI),
          sorted(client.addr for client in site.clients if client.name in SHARE_IT))

    echo = Echo(site.clients)
    equal(f"each asks {ROUNDS} times, all at once: each gets its answers",
          echo.rounds("answer", ROUNDS), [])
    equal("to port 1701 of the virtual address that it has", {who: name for who, name in
                                                             echo.names.items()},
          {(peer["virtual"], 1701): next(c.name for c in site.clients if c.addr == peer["name"])
           for peer in peers})
    equal(f"the gateway sends first, {ROUNDS} times: each gets what is for it",
          echo.rounds("hello", ROUNDS), [])
    equal("nothing came to somebody else", echo.astray, [])
    equal("espudp dropped nothing", forge.drops("gw"), {})
    took("traffic")
    figures(gw)
    diag(n("gw", "espudp", "stats", "espudp0"))
    gw.terminate(ike="l2tp", timeout=60)
    equal("the gateway deletes all: nothing is left there", wait_for(
        20 * SLOW, lambda: not site.left() and not gw.sas()) or (site.left(), gw.sas()), True)
    equal("no clear-text L2TP was on the outside", site.clear(), [])
    return site.end()


ike.need()
l2tp.need("conntrack", "nft", "tcpdump")
for module in "esp4", "xfrm_user":
    attempt("modprobe", module)
forge.load_module()
run(int(sys.argv[1]) if len(sys.argv) > 1 else CLIENTS)
forge.end()
