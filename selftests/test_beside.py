#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""espudp and the kernel's own ESP-in-UDP on one host, at the same time.

    a  espudp0, xfrm                                  b  espudp0, xfrm
    a0 198.51.100.1, 2001:db8:2::1 ------------------ b0 198.51.100.2, 2001:db8:2::2
       espudp        10.1.0.1  --- IPv4, port 4500 --- 10.2.0.1
       xfrm          10.1.1.1  --- IPv4, port 4501 --- 10.2.1.1
       xfrm          10.1.2.1  --- IPv6, port 4500 --- 10.2.2.1
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 120

import os
import socket
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import scene
from forge import UDP_ENCAP, Esp, check, equal, n, netns
from scene import SLOW, batch

ESPINUDP = 2
OUTER = {4: ("198.51.100.1", "198.51.100.2"), 6: ("2001:db8:2::1", "2001:db8:2::2")}
PATHS = {"espudp": (0, 4, 4500), "xfrm": (1, 4, 4501), "xfrm over IPv6": (2, 6, 4500)}
ENDS = "a", "b"
socks = []


def inner(number):
    return f"10.1.{number}.1", f"10.2.{number}.1"


def xfrm(number, family, port):
    """Tunnel mode, at both ends, with the socket that an IKE daemon would have."""
    ways = list(zip(inner(number), reversed(inner(number)), OUTER[family],
                    reversed(OUTER[family])))
    keys = [os.urandom(20).hex() for _ in ways]
    for at, ns in enumerate(ENDS):
        with netns(ns):
            sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                                 socket.SOCK_DGRAM)
        if family == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((OUTER[family][at], port))
        sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, ESPINUDP)
        socks.append(sock)
        for way, (src, dst, near, far) in enumerate(ways):
            batch(ns, f"xfrm state add src {near} dst {far} proto esp spi {0x1000 + way} "
                  f"reqid {number} mode tunnel replay-window 64 flag af-unspec "
                  f"aead rfc4106(gcm(aes)) 0x{keys[way]} 128 "
                  f"encap espinudp {port} {port} 0.0.0.0",
                  f"xfrm policy add src {src}/32 dst {dst}/32 dir {'out' if way == at else 'in'} "
                  f"tmpl src {near} dst {far} proto esp reqid {number} mode tunnel")


def espudp():
    """The SPIs are those of xfrm, as well they may be."""
    for at, ns in enumerate(ENDS):
        near, far = inner(0)[::1 - 2 * at]
        batch(ns, "link add espudp0 type espudp", "link set espudp0 up")
        n(ns, "espudp", "socket", "open", "espudp0", "ipv4")
        peer = int(n(ns, "espudp", "peer", "add", "espudp0", "remote", OUTER[4][1 - at], "routes",
                     "auto", "selector", "local", near, "remote", far))
        for way in range(2):
            error, message = forge.sa_new(ns, "espudp0", peer, "out" if way == at else "in",
                                          Esp(0x1000 + way, "aes-gcm", seed=b"%d" % way))
            if error:
                raise forge.Failed(f"sa-new: {message}")


def topology():
    for module in "esp4", "esp6", "xfrm_user":
        forge.attempt("modprobe", module)
    forge.load_module()
    forge.topo_direct()
    for number, family, _ in PATHS.values():
        for at, ns in enumerate(ENDS):
            batch(ns, f"addr add {inner(number)[at]}/32 dev lo")
            if number:      # any route will do, that policies have something to look at
                batch(ns, f"route add {inner(number)[1 - at]} via {OUTER[4][1 - at]} "
                      f"src {inner(number)[at]}")


topology()
xfrm(*PATHS["xfrm"])
xfrm(*PATHS["xfrm over IPv6"])
outside = {"a": scene.Capture("a", "a0", "udp"), "b": scene.Capture("b", "b0", "udp")}
traffic = scene.Traffic({what.replace(" ", "-"): (("a", inner(number)[0]), ("b", inner(number)[1]))
                         for what, (number, _, _) in PATHS.items() if number})
equal("xfrm alone: all flows", traffic.still(), [])
espudp()
more = scene.Traffic({"espudp": (("a", inner(0)[0]), ("b", inner(0)[1]))})
equal("espudp beside it, on another port and on another family's socket: all flows", more.still(),
      [])
equal("xfrm's do still, at the same time", traffic.still(packets=20), [])
n("b", "espudp", "socket", "close", "espudp0")
equal("and when espudp has no socket", traffic.still(), [])
check("espudp does not, then", more.still(seconds=2))
n("b", "espudp", "socket", "open", "espudp0", "ipv4")
equal("until it has one again", more.still(), [])
traffic.stop()
equal("nothing of xfrm's was lost", (traffic.lost(), traffic.twice()), ({}, {}))
equal("xfrm had no errors", scene.xfrm_errors(*ENDS), {})
more.stop()
equal("espudp dropped nothing but for want of a socket", {
    ns: {why for why in forge.drops(ns) if why != "tx-no-socket"} for ns in ENDS},
    {"a": set(), "b": set()})
for what, (_, version, udp_port) in PATHS.items():
    check(f"{what}: ESP was on IPv{version}, port {udp_port}", forge.wait_for(
        5 * SLOW, lambda v=version, p=udp_port: len(outside["a"].packets(
            f"ip{'6' * (v == 6)} and udp src port {p}")) > 20))
# what xfrm has decrypted is seen there, too, by the one it is for
equal("nothing left in clear text", [
    line for ns, src in zip(ENDS, ("10.1.0.0/16", "10.2.0.0/16"))
    for line in outside[ns].packets(f"src net {src}")][:5], [])
forge.end()
