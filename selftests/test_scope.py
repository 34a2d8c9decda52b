#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""NAT scope: a client, a server, NATs before either or both; espudp at both ends.

    c  client              nat1  masquerades     nat2  1:1                s  server
    c0 192.168.1.2 --- 192.168.1.1  203.0.113.1 --- 203.0.113.2  10.0.0.1 --- s0 10.0.0.2
                                                    203.0.113.20 is s

A NAT that is not there is a router. The client reaches the server by a policy rule.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 120

import socket
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import scene
from forge import Esp, check, equal, n, n_attempt, netns
from scene import SLOW, batch, veth

CLIENT, SERVER = "192.168.1.2", "10.0.0.2"
MASQUERADE, ONE_TO_ONE = "203.0.113.1", "203.0.113.20"
ROLE = {"c": "initiator", "s": "responder"}
RULES = ("nat-scope no-responder (0): the responder is behind a NAT",
         "nat-scope responder (1): both ends are behind NATs")
NATS = {"nat1": """chain post {
                type nat hook postrouting priority srcnat
                oifname n1 masquerade
            }""",
        "nat2": f"""chain pre {{
                type nat hook prerouting priority dstnat
                ip daddr {ONE_TO_ONE} dnat to {SERVER}
            }}
            chain post {{
                type nat hook postrouting priority srcnat
                ip saddr {SERVER} snat to {ONE_TO_ONE}
            }}"""}
count = 0


def topology():
    forge.load_module()
    forge.ns_add("c", "nat1", "nat2", "s")
    veth("c", "c0", "nat1", "n0")
    veth("nat1", "n1", "nat2", "w0")
    veth("nat2", "w1", "s", "s0")
    batch("c", f"addr add {CLIENT}/24 dev c0", "route add default via 192.168.1.1")
    batch("nat1", "addr add 192.168.1.1/24 dev n0", f"addr add {MASQUERADE}/24 dev n1",
          "route add default via 203.0.113.2")
    batch("nat2", "addr add 203.0.113.2/24 dev w0", f"addr add {ONE_TO_ONE}/24 dev w0",
          "addr add 10.0.0.1/24 dev w1", f"route add default via {MASQUERADE}")
    batch("s", f"addr add {SERVER}/24 dev s0", "route add default via 10.0.0.1")
    scene.forward("nat1", "nat2")
    for ns in ROLE:
        batch(ns, "link add espudp0 type espudp", "link set espudp0 up")
        n(ns, "espudp", "socket", "open", "espudp0")
    n("s", "espudp", "set", "espudp0", "pool", "10.254.0.0/24")


def nats(*there):
    """These; all mappings are forgotten."""
    for ns, chains in NATS.items():
        n(ns, "nft", "-f", "-", stdin=f"""table ip nat
            delete table ip nat
            table ip nat {{
            {chains if ns in there else ''}
            }}
            """)
        n(ns, "conntrack", "-F")


def peer(ns, ends, behind):
    """What the tool says of a new peer. ends: (own address, the other's)"""
    near, far = ("yes" if one in behind else "no" for one in
                 (("nat1", "nat2") if ns == "c" else ("nat2", "nat1")))
    return n_attempt(ns, "espudp", "peer", "add", "espudp0", "mode", "transport", "role",
                     ROLE[ns], "nat-local", near, "nat-remote", far, "local", ends[0], "remote",
                     ends[1], "selector", "local", ends[0], "remote", ends[1], "proto", "udp")


def echo(what, ends, virtual):
    """Datagrams of many sizes to the server and back; nothing of them is seen between."""
    outside = scene.Capture("nat2", "w0", "udp")
    socks = {}
    for ns in ROLE:
        with netns(ns):
            socks[ns] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        socks[ns].bind((ends[ns][0], 1701))
        socks[ns].settimeout(5 * SLOW)
    came, sizes = [], (1, 100, 1400, 3000)
    try:
        for size in sizes:
            socks["c"].sendto(bytes(size), (ends["c"][1], 1701))
            data, sender = socks["s"].recvfrom(4096)
            socks["s"].sendto(data + b"!", sender)
            data, back = socks["c"].recvfrom(4096)
            came.append((len(data) - 1, sender[0], back[0]))
    except TimeoutError:
        forge.diag(forge.drops("c"), forge.drops("s"))
    equal(f"{what}: datagrams are echoed, the server sees the virtual address, the client the "
          "one that it sends to", came, [(size, virtual, ends["c"][1]) for size in sizes])
    check(f"{what}: as ESP-in-UDP, through these NATs", forge.wait_for(5 * SLOW, lambda: len(
        outside.packets(f"src {ends['s'][1]} and dst {ends['c'][1]} and udp port 4500")) >= 4),
        outside.packets())
    equal(f"{what}: and nothing else", outside.packets("udp and not port 4500 and "
                                                       "ip[6:2] & 0x1fff == 0"), [])
    for sock in socks.values():
        sock.close()
    outside.stop()


def scope(what, behind, least):
    global count
    nats(*behind)
    ends = {"c": (CLIENT, ONE_TO_ONE if "nat2" in behind else SERVER),
            "s": (SERVER, MASQUERADE if "nat1" in behind else CLIENT)}
    for ns, which in ("c", "client"), ("s", "server"):
        for number in range(least):
            n(ns, "espudp", "set", "espudp0", "nat-scope", number)
            refused = peer(ns, ends[ns], behind)
            check(f"{what}: nat-scope {number} refuses the {which}'s peer, and says which rule",
                  refused.returncode and RULES[number] in refused.stderr, refused.stderr)
        n(ns, "espudp", "set", "espudp0", "nat-scope", least)
    made = {ns: peer(ns, ends[ns], behind) for ns in ROLE}
    if not check(f"{what}: nat-scope {least} takes both", not any(
            one.returncode for one in made.values()), *(one.stderr for one in made.values())):
        return
    made = {ns: int(one.stdout) for ns, one in made.items()}
    count += 2
    for ns in ROLE:
        for way, spi in zip(("out", "in") if ns == "c" else ("in", "out"), (count, count + 1)):
            error, message = forge.sa_new(ns, "espudp0", made[ns], way, Esp(0x1000 + spi))
            if error:
                raise forge.Failed(f"sa-new: {message}")
    batch("c", f"route replace {ends['c'][1]} dev espudp0 src {CLIENT} table 51",
          f"rule add to {ends['c'][1]} ipproto udp dport 1701 lookup 51")
    echo(f"{what}, nat-scope {least}", ends, scene.show("s")["peer"][0]["virtual"])
    batch("c", f"rule del to {ends['c'][1]} ipproto udp dport 1701 lookup 51")
    for ns, number in made.items():
        n(ns, "espudp", "peer", "del", "espudp0", number)


topology()
scope("client behind a NAT", ["nat1"], 0)
scope("server behind a 1:1 NAT", ["nat2"], 1)
scope("both behind NATs", ["nat1", "nat2"], 2)
forge.end()
