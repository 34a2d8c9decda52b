#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Super-packets that the stack gives to the device: what leaves is, octet for octet, what
a sender without TSO and USO had sent. Wherever the ESP packets are cut apart: before b0,
or behind it if that takes them whole.

  b  espudp0  b0 (checksums, USO, or none) --- a0  a  a1 (no offloads) --- d0  d, the peer
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug

import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import (A, ACK, B, CWR, ECE, FIN, IN_A, IN_B, NEXT_HEADER, PSH, SLOW, Opened,
                         Outer, Site, Tap, both, inject_tcp, is_esp, tcp_cut, tcp_segment, udp_cut,
                         version)
from forge import UDP_SEGMENT, Esp, check, diag, equal, n, netns, run

seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().getrandbits(32)
rng = random.Random(seed)
D = {4: "203.0.113.9", 6: "2001:db8:9::9"}
DEVICES = {"without checksums": ("tx", "off", "tx-udp-segmentation", "off"),
           "with checksums, without USO": ("tx", "on", "tx-udp-segmentation", "off"),
           "with USO": ("tx", "on", "tx-udp-segmentation", "on")}


def topology():
    forge.ns_add("d")
    run("ip", "-n", "a", "link", "add", "a1", "type", "veth", "peer", "name", "d0", "netns", "d")
    n("a", "ethtool", "-K", "a1", "tso", "off", "gso", "off", "tx", "off")
    n("a", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    n("b", "sysctl", "-qw", "net.ipv6.conf.espudp0.disable_ipv6=0", "net.ipv6.auto_flowlabels=0")
    run("ip", "-n", "d", "link", "set", "d0", "up")
    run("ip", "-n", "a", "link", "set", "a1", "up")
    for family, width, inner in (4, 32, "10.1.0.0/16"), (6, 128, "fd00:1::/32"):
        run("ip", "-n", "a", "route", "add", f"{D[family]}/{width}", "dev", "a1")
        run("ip", "-n", "a", "neigh", "add", D[family], "lladdr", "02:00:00:00:00:09", "dev", "a1")
        run("ip", "-n", "b", "route", "add", f"{D[family]}/{width}", "via", A[family])
        run("ip", "-n", "b", "addr", "add", f"{IN_B[family]}/{width}", "dev", "espudp0",
            *["nodad"] * (family == 6))
        run("ip", "-n", "b", "route", "add", inner, "dev", "espudp0")


def to_peer(family):
    remote = f"{D[4]}:4500" if family == 4 else f"[{D[6]}]:4500"
    return ("espudp0", 1, "local", B[family], "remote", remote, "routes", "none")


class Udp:
    def __init__(self, family, size, number, last):
        self.name = f"UDP over IPv{family}, {number} of {size}{', and a short one' * bool(last)}"
        self.family, self.size, self.length = family, size, number * size + last
        with netns("b"):
            self.sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                                      socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        if family == 4:
            self.sock.setsockopt(socket.IPPROTO_IP, 10, 2)      # IP_MTU_DISCOVER: DF
        self.sock.bind((IN_B[family], 2222 + size))
        self.sock.connect((IN_A[family], 1111))

    def send(self):
        """What must leave, given the first packet: the identification is the stack's."""
        data = rng.randbytes(self.length)
        self.sock.send(data)
        return lambda first: udp_cut(IN_B[self.family], IN_A[self.family], 2222 + self.size, 1111,
                                     data, self.size, struct.unpack("!H", first[4:6])[0])


class Tcp:
    def __init__(self, family, size, number, last, what, flags=ACK):
        self.name = f"TCP over IPv{family}, {number} of {size}{', and a short one' * bool(last)}" \
                    f", {what}"
        self.family, self.size, self.length, self.flags = family, size, number * size + last, flags

    def send(self):
        # the numbers of both wrap
        words = {"data": rng.randbytes(self.length), "seq": (1 << 32) - 5000, "flags": self.flags,
                 "ident": 0xfff8}
        inject_tcp("b", "espudp0", tcp_segment(IN_B[self.family], IN_A[self.family], **words,
                                               partial=True), self.size, self.flags & CWR)
        return lambda first: tcp_cut(IN_B[self.family], IN_A[self.family], size=self.size, **words)


def arrived(number):
    """The peer's ESP packets."""
    got = []
    deadline = time.monotonic() + 5 * SLOW
    while len(got) < number and time.monotonic() < deadline:
        got += [Outer(one) for one in seen.packets(
            0.5, lambda now, more=number - len(got): len(now) >= more) if is_esp(one)]
    return got


def point(where, sender):
    """Returns the outer packets."""
    site.tap.packets(outgoing=True)
    want = sender.send()
    count = -(-sender.length // sender.size)
    outer = arrived(count)
    opened = [Opened(esp, one.payload) for one in outer]
    inner = [one.payload for one in opened]
    wanted = want(inner[0]) if inner else []
    given = [len(one) for one in site.tap.packets(outgoing=True) if version(one) == sender.family]
    whole = [one for one in given if one > sender.length]
    sequence = [*range(esp.seq + 1, esp.seq + 1 + count)]
    esp.seq += count
    check(f"{where}: {sender.name}", inner == wanted and len(inner) == count and len(whole) == 1 and
          [one.seq for one in opened] == sequence and
          all(one.authentic and one.next_header == NEXT_HEADER[sender.family] for one in opened),
          f"given as {given}, {len(inner)} of {count}, numbers {[one.seq for one in opened]}",
          *[f"{i}: came {a[:72].hex()}, to come {b[:72].hex()}" for i, (a, b) in
            enumerate(zip(inner, wanted)) if a != b][:3])
    return outer


def outgoing(senders):
    for family in 4, 6:
        site.tool("peer", "set", *to_peer(family))
        for device, words in DEVICES.items():
            n("b", "ethtool", "-K", "b0", *words)
            # over IPv6 there always is one
            for setting in ("full", "zero", "auto") if family == 4 else ("zero",):
                site.tool("set", "espudp0", "outer-csum", setting)
                where = f"outside IPv{family}, checksum {setting}, a device {device}"
                full = family == 6 or setting == "full" or (setting, device) == ("auto", "with USO")
                site.wire.packets()
                outer = [one for sender in senders for one in point(where, sender)]
                check(f"{where}: outer checksums are {'right' if full else 'zero'}",
                      outer and all(one.csum and one.csum_right() if full else one.csum == 0
                                    for one in outer), [hex(one.csum) for one in outer][:5])
                largest = max(map(len, site.wire.packets()), default=0)
                uso = full and device == "with USO"
                check(f"{where}: ESP packets leave {'as one' if uso else 'singly'}",
                      (largest > 1500) == uso, largest)


diag(f"SEED={seed}")
site = Site()
topology()
seen = Tap("d", "d0")
esp = Esp(0x3000)
site.tool("peer", "add", "espudp0", "id", *to_peer(4)[1:], "roaming", "off", "keepalive", "off",
          "selector", *both(4), "selector", *both(6))
site.sa_add(1, "out", esp)
outgoing([*(Udp(family, 1000, 20, 300) for family in (4, 6)),
          *(Tcp(family, 1200, 20, 300, "CWR, ECE, PSH, FIN", ACK | CWR | ECE | PSH | FIN)
            for family in (4, 6)),
          Udp(4, 1300, 44, 0), Tcp(4, 900, 70, 0, "no flags")])
equal("nothing came behind that", sum(map(is_esp, seen.packets(0.2))), 0)
forge.end()
