#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Super-packets of ESP, and TCP that is put together before the stack sees it: the same
comes out as if each packet had come alone.

  a  UDP_SEGMENT makes super-packets     b  espudp0                        c  captures
  a0 ------------------------------- b0     b1 (no offloads: cut again) --- c0
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 180

import os
import random
import re
import socket
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import (A, ACK, B, CWR, ECE, ETH_P_ALL, FIN, IN_A, IN_B, NEXT_HEADER, PSH, RST,
                         SLOW, STAMPS, SYN, URG, Site, Tap, both, deliveries, ports, sa, version)
from forge import UDP_GRO, UDP_SEGMENT, Esp, check, diag, equal, n, read_all, run

seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().getrandbits(32)
rng = random.Random(seed)
# older kernels never give a socket with encap_rcv one whole
WHOLE = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 7)
SEGMENTS = 60           # the least of what kernels allow is 64
MARKER = bytes(4)

site = Site()
site.wire.sock.close()      # what a packet socket has a clone of is cut up first
site.peer_add(1, *both(4), "selector", *both(6), keepalive="off")
burst = {family: forge.sender("a", B[family], src=A[family], sport=4500) for family in (4, 6)}


def cut_as(sock, size):
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    return sock


def point(what, datagrams, delivered, counted=None, family=4):
    """They go as one super-packet, as long each as the first."""
    sock = cut_as(burst[family], len(datagrams[0]))
    got = site.receive(b"".join(datagrams), sock=sock, family=family)
    judge(what, got, delivered, counted)


def judge(what, got, want, counted=None):
    counts = site.counted()
    index = {data: i for i, data in enumerate(want)}
    check(what, got == want and counts == (counted or {}),
          f"delivered {[index.get(data, len(data)) for data in got]} of {len(want)}",
          f"counted {counts}, expected {counted or {}}")


def some(number=20, size=700, last=None):
    """Inner packets."""
    return [ports(rng.randbytes(4) + bytes((last or size) if i == number - 1 else size))
            for i in range(number)]


# ----------------------------------------------------------------- super-packets

def ciphers():
    for words in ("aes-gcm",), ("chacha20-poly1305",), ("null", "sha256"), ("aes-cbc", "sha256"), \
                 ("aes-gcm", None, True), ("aes-cbc", "sha256", True):
        esp = sa(*words)
        for family in 4, 6:
            name = " ".join(word for word in words[:2] if word) + (", ESN" if words[2:] else "")
            inner = some(40, 1300, 500)
            before = deliveries(family)
            point(f"{name}, outside IPv{family}: 40 in one are delivered once, in order, the last "
                  "shorter", [esp.seal(data) for data in inner], inner, family=family)
            whole = deliveries(family) - before - (family == 4)     # a marker
            if WHOLE:
                equal(f"{name}, outside IPv{family}: they came whole", whole, 1)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]


def trouble():
    for words in ("aes-gcm",), ("aes-cbc", "sha256", True):
        esp = sa(*words)
        for name, at, bad, why in (
                ("a bit flipped", 7, lambda sent: flipped(sent[7], 300), "auth"),
                ("one twice", 12, lambda sent: sent[3], "replay-seen"),
                ("a forged one before the right one of its number", 5,
                 lambda sent: flipped(sent[6], 300), "auth"),
                *((f"the last cut to [:{size}]", 19, lambda sent, size=size: sent[19][:size], why)
                  for size, why in ((-1, "align"), (12, "short"), (7, "short"), (3, "short")))):
            inner = some()
            sent = [*map(esp.seal, inner)]
            sent[at] = bad(sent)
            del inner[at]
            point(f"{words[0]}, {name}: just that is dropped", sent, inner, {f"rx-{why}": 1})
        for size, why in (-1, "align"), (20, "short"):
            point(f"{words[0]}, all cut to [:{size}]: each is counted",
                  [esp.seal(data)[:size] for data in some()], [], {f"rx-{why}": 20})


def strangers():
    one, other = sa("aes-gcm"), sa("aes-gcm", seed=b"other")
    nobody = Esp(0xabcdef, "aes-gcm")
    for at in (9,), (0,), (19,), range(0, 20, 2):
        inner = some()
        point(f"of another live SPI, {list(at)}: all are delivered, in order",
              [(other if i in at else one).seal(data) for i, data in enumerate(inner)], inner)
        inner = some()
        point(f"of an unknown SPI, {list(at)}: just those are dropped",
              [(nobody if i in at else one).seal(data) for i, data in enumerate(inner)],
              [data for i, data in enumerate(inner) if i not in at],
              {"rx-spi-unknown": len(list(at))})
    point("all of an unknown SPI: each is counted", [nobody.seal(data) for data in some()], [],
          {"rx-spi-unknown": 20})
    point("all of a reserved SPI: likewise", [Esp(5).seal(data) for data in some()], [],
          {"rx-spi-reserved": 20})

    early = Esp(forge.netlink("b").must("spi-reserve", ifname="espudp0",
                                        reserve={"peer": 1, "timeout": 60})[0]["reserve"]["spi"])
    inner = some()
    point("of an SPI that has no keys yet: they wait", [*map(early.seal, inner)], [])
    site.tap.packets()
    sa(spi=early.spi)
    judge("and are delivered when it has",
          site.tap.packets(2, lambda packets: len(packets) == len(inner)), inner)
    never = Esp(forge.netlink("b").must("spi-reserve", ifname="espudp0",
                                        reserve={"peer": 1, "timeout": 60})[0]["reserve"]["spi"])
    point("of one that never gets any: they wait", [*map(never.seal, some())], [])
    lost = {}
    forge.wait_for(8, lambda: lost.update(site.counted()) or lost)
    equal("each is counted when they have for too long", lost, {"rx-spi-larval": 20})


def ike():
    esp = sa("aes-gcm")
    inner = some()
    sent = [esp.seal(data) for data in inner]
    sent[4] = MARKER + sent[4][4:]
    del inner[4]
    point("IKE in the middle that nobody owns is dropped, no ESP", sent, inner,
          {"rx-ike-unowned": 1})
    site.tool("socket", "close", "espudp0")
    for marker, gro in ("strip", 0), ("keep", 1):
        owner = site.adopt(marker)
        owner.setsockopt(socket.IPPROTO_UDP, UDP_GRO, gro)
        what = f"marker {marker}, UDP_GRO {gro}"
        for at in (9,), (0,), (19,), (3, 4, 5, 12):
            inner = some(last=300)
            sent = [esp.seal(data) for data in inner]
            for i in at:
                sent[i] = MARKER + rng.randbytes(len(sent[i]) - 4)
            point(f"{what}: IKE at {list(at)}: the ESP around it is delivered", sent,
                  [data for i, data in enumerate(inner) if i not in at], {"rx-ike": len(at)})
            got = read_all(owner, 2, len(at))
            check(f"{what}: and the owner gets it alone and whole",
                  got == [sent[i][4 * (marker == "strip"):] for i in at],
                  [len(data) for data in got])
        inner = some()
        point(f"{what}: a keepalive at the end is counted", [*map(esp.seal, inner), b"\xff"],
              inner, {"rx-keepalive": 1})
        point(f"{what}: so are keepalives in one", [b"\xff"] * 20, [], {"rx-keepalive": 20})
        equal(f"{what}: the owner sees none of these", read_all(owner), [])
        site.tool("socket", "close", "espudp0")
        forge.send(cut_as(burst[4], 700), bytes(20 * 700))
        equal(f"{what}: without the device it gets what it had asked for",
              [*map(len, read_all(owner, 2, 1 if gro else 20))],
              [20 * 700] if gro else [700] * 20)
        owner.close()
    site.tool("socket", "open", "espudp0")
    site.counted()


def captured():
    for words in ("aes-gcm",), ("aes-cbc", "sha256", True):
        esp = sa(*words)
        eyes = Tap("b", "b0")
        inner = some()
        sent = [esp.seal(data) for data in inner]
        point(f"{words[0]}: while b0 is captured, all are delivered", sent, inner)
        check(f"{words[0]}: and the capture holds the ciphertext",
              [data[28:] for data in eyes.packets() if len(data) > 1500] == [b"".join(sent)])
        eyes.sock.close()


# -------------------------------------------------------------- TCP put together

OTHERS = bytes.fromhex("0101080a0001000300030004")


def segment(data=b"", seq=0, family=4, flags=ACK, ack=77, window=500, options=STAMPS, sport=5001,
            ident=0, df=True, tos=0, ttl=64, flow=0, broken=0, ip_broken=0, ip_options=b""):
    src, dst = IN_A[family], IN_B[family]
    header = struct.pack("!HHIIBBHHH", sport, 80, seq & 0xffffffff, ack,
                         (20 + len(options)) // 4 << 4, flags, window, 0, 0) + options
    value = forge.csum(forge.pseudo(src, dst, 6, len(header) + len(data)) + header + data)
    text = header[:16] + struct.pack("!H", value ^ broken) + header[18:] + data
    if family == 6:
        packet = bytearray(forge.ip6(src, dst, 6, text, tclass=tos))
        packet[3], packet[7] = flow, ttl
        return bytes(packet)
    packet = forge.ip4(src, dst, 6, text, ident, 0x4000 * df, tos, ttl, options=ip_options)
    return packet[:10] + bytes([packet[10] ^ ip_broken]) + packet[11:]


def stream(number=30, size=1000, ids=lambda i: 0xfff0 + i, at=None, **every):
    """Segments of one connection; at[i] says what is different of one of them."""
    packets, seq = [], (1 << 32) - 5000
    for i in range(number):
        words = {"ident": ids(i) & 0xffff, **every, **(at or {}).get(i, {})}
        seq += words.pop("gap", 0)
        data = rng.randbytes(words.pop("size", size))
        packets.append(segment(data, seq, **words))
        seq += len(data)
    return packets


def groups(datagrams):
    """Cut where a super-packet must end: all of a size, but for a last one."""
    found = []
    for data in datagrams:
        last = found[-1] if found else None
        if not last or len(last[-1]) != len(last[0]) or len(data) > len(last[0]) or \
                len(last) == SEGMENTS or sum(map(len, last)) + len(data) > 65000:
            last = []
            found.append(last)
        last.append(data)
    return found


def routed(packet, ce=False):
    """What c sees of it."""
    packet = bytearray(packet)
    if version(packet) == 6:
        packet[7] -= 1
        packet[1] |= 0x30 if ce else 0
        return bytes(packet)
    packet[8] -= 1
    packet[1] |= 3 if ce else 0
    size = packet[0] % 16 * 4
    packet[10:12] = b"\0\0"
    packet[10:12] = struct.pack("!H", forge.csum(bytes(packet[:size])))
    return bytes(packet)


def proto(packet):
    return packet[9] if version(packet) == 4 else packet[6]


def by_flow(packets):
    """The order of different flows is nobody's business. IP options make one of their own."""
    return sorted(packets, key=lambda packet: (version(packet), proto(packet), packet[20:24] if
                                               version(packet) == 4 else packet[40:44]))


class Route:
    """b forwards to c; a connection's path is cut into frames again at b1."""

    def __init__(self):
        forge.ns_add("c")
        n("c", "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "-n", "b", "link", "add", "b1", "type", "veth", "peer", "name", "c0",
            "netns", "c")
        n("b", "ethtool", "-K", "b1", "tso", "off", "gso", "off", "tx", "off")
        n("b", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
          "net.ipv6.conf.espudp0.disable_ipv6=0", "net.ipv6.conf.b1.disable_ipv6=0")
        run("ip", "-n", "c", "link", "set", "c0", "up")
        run("ip", "-n", "b", "link", "set", "b1", "up")
        for family, width in (4, 16), (6, 32):
            run("ip", "-n", "b", f"-{family}", "route", "add", f"{IN_B[family]}/{width}"
                .replace("0.1/", "0.0/").replace("::1/", "::/"), "dev", "b1")
            run("ip", "-n", "b", "neigh", "add", IN_B[family], "lladdr", "02:00:00:00:00:09",
                "dev", "b1")
        # so that all that is sent at once is received at once
        n("b", "sh", "-c", "echo 1 >/sys/class/net/espudp0/threaded")
        self.seen = Tap("c", "c0")
        self.esp = sa("null")
        self.sock = burst[4]

    def send(self, datagrams):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        for group in datagrams:
            cut_as(self.sock, len(group[0]) if len(group) > 1 else 0)
            forge.send(self.sock, b"".join(group))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def one_way(self, what, packets, together, tfc=(), ce=False, lost=(), counted=None, most=None,
                least=1):
        """A point: what c sees is what was sent."""
        sealed = [self.esp.seal(data + bytes(100 * (i in tfc)), NEXT_HEADER[version(data)])
                  for i, data in enumerate(packets)]
        want = [routed(data, ce) for i, data in enumerate(packets) if i not in lost]
        # without clones in a packet socket when they come singly
        site.tap.sock.bind(("espudp0", ETH_P_ALL if together else 0x88b5))
        site.tap.packets()
        self.seen.packets()
        site.counted()
        self.send(groups(sealed) if together else [[data] for data in sealed])

        def enough(now):
            return sum(proto(one) in (6, 17) for one in now) >= len(want)
        got = self.seen.packets(3, enough)
        time.sleep(0.02 * SLOW)
        got = [one for one in got + self.seen.packets() if proto(one) in (6, 17)]
        counts = {key: value for key, value in site.counted().items() if key.startswith("rx-")}
        whole = [one for one in site.tap.packets() if proto(one) == 6]
        how = "in super-packets" if together else "singly"
        check(f"{what}, {how}: what is routed on is what came, octet for octet, in order",
              by_flow(got) == by_flow(want) and counts == (counted or {}),
              f"{len(got)} of {len(want)}, counted {counts}, expected {counted}",
              *self.differ(got, want))
        if together and most:
            check(f"{what}: they were put together, into {least} to {most}",
                  least <= len(whole) <= most, [len(one) for one in whole])

    @staticmethod
    def differ(got, want):
        """What came that was not to come, and the other way round."""
        return [f"{how} {data[:60].hex()}" for how, some_, others in
                (("came", got, want), ("sent", want, got))
                for data in [data for data in some_ if data not in others][:3]]

    def both_ways(self, what, packets, **words):
        for together in True, False:
            self.one_way(what, packets, together, **words)


def tcp(route):
    udp = ports(b"between")
    other = segment(bytes(1000), 1, sport=5002)
    go = route.both_ways
    go("60, ids counting up", stream(60), most=4)
    go("ids counting up, no DF", stream(df=False), most=4)
    go("60, one id with DF", stream(60, ids=lambda i: 7), most=4)
    go("one id without DF", stream(ids=lambda i: 7, df=False))
    go("random ids", stream(ids=lambda i: rng.getrandbits(16)))
    go("ids counting down", stream(ids=lambda i: 1000 - i))
    go("ids that stop counting", stream(ids=lambda i: min(1000 + i, 1020)))
    go("ids that begin to count", stream(ids=lambda i: max(1000 + i, 1010)))
    go("60, IPv6", stream(60, family=6), most=4)
    go("no options", stream(options=b""), most=4)
    go("more than 64 KiB", stream(64, 1380), most=6, least=2)
    go("120 small ones", stream(120, 90), most=6, least=2)
    for family in 4, 6:
        go(f"IPv{family}: another flow in the middle", (
            [*(one := stream(family=family))[:12], other, *one[12:]]))
        go(f"IPv{family}: UDP in the middle", (
            [*(one := stream(family=family))[:12], udp, udp, *one[12:]]))
        for name, words in (
                ("a short one", {"size": 300}), ("a long one", {"size": 1200}),
                ("one without data", {"size": 0}), ("PSH", {"flags": ACK | PSH}),
                ("another window", {"window": 501}), ("another ack", {"ack": 78}),
                ("other option values", {"options": OTHERS}),
                ("longer options", {"options": STAMPS + STAMPS}), ("CWR", {"flags": ACK | CWR}),
                ("ECE", {"flags": ACK | ECE}), ("URG", {"flags": ACK | URG}),
                ("a gap", {"gap": 1000}), ("a step back", {"gap": -1000}),
                ("ECN", {"tos": 2}), ("DSCP", {"tos": 0x20}), ("TTL", {"ttl": 63}),
                *([("no DF", {"df": False}), ("IP options", {"ip_options": b"\1\1\1\0"})]
                  if family == 4 else [("flow label", {"flow": 9})])):
            go(f"IPv{family}, in the middle: {name}",
               stream(family=family, at={12: words}), most=12)
        go(f"IPv{family}: FIN at the end", stream(family=family, at={29: {"flags": ACK | FIN}}),
           most=4)
        go(f"IPv{family}, in the middle: a wrong TCP checksum",
           stream(family=family, at={12: {"broken": 0x100}}), lost=[12], counted={"rx-csum": 1})
        go(f"IPv{family}: traffic flow confidentiality", stream(family=family),
           tfc=(0, 1, 10, 11, 29))
        for sort, lost in (2, []), (3, []), (0, range(30)):
            route.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 3)
            go(f"IPv{family}: CE outside, ECN {sort} inside", stream(family=family, tos=sort),
               ce=True, lost=lost, counted={"rx-ecn": 30} if lost else None)
            go(f"IPv{family}: CE outside, ECN {sort} inside but CE in some",
               stream(family=family, tos=sort, at={i: {"tos": 3} for i in (0, 12, 13)}), ce=True,
               lost=[i for i in lost if i not in (0, 12, 13)],
               counted={"rx-ecn": 27} if lost else None)
            route.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0)
    go("in the middle: a wrong IPv4 header checksum", stream(at={12: {"ip_broken": 1}}), lost=[12])


def mixtures(route):
    """Whatever comes to mind."""
    pool = [{"size": 300}, {"size": 0}, {"size": 1001}, {"flags": ACK | PSH}, {"flags": ACK | FIN},
            {"flags": SYN}, {"flags": RST | ACK}, {"window": 501}, {"ack": 78}, {"ttl": 63},
            {"options": OTHERS}, {"options": b""}, {"gap": 1}, {"gap": -1000}, {"tos": 1},
            {"ident": 5}, {"ident": 0xfff0}, {"df": False}, {"sport": 5002}]
    for number in range(20 if forge.FULL else 6):
        at = {}
        for i in range(40):
            if rng.random() < 0.3:
                at[i] = {**rng.choice(pool), **rng.choice(pool)}
        route.both_ways(f"mixture {number}", stream(40, family=rng.choice((4, 4, 6)), at=at))


def gro_off(route):
    n("b", "ethtool", "-K", "espudp0", "gro", "off")
    route.one_way("with gro off", stream(60), True, most=60, least=60)
    n("b", "ethtool", "-K", "espudp0", "gro", "on")
    route.one_way("with gro on again", stream(60), True, most=4)


# ------------------------------------------------------------ which ChaCha20-Poly1305

def chacha():
    knob = Path("/sys/module/espudp/parameters/chacha_library")
    if not knob.exists():
        forge.skip("chacha_library", "this kernel's library is another")
        return
    site.tap.sock.bind(("espudp0", ETH_P_ALL))
    for value, library in ("0", False), ("1", True):
        knob.write_text(value)
        for esn in False, True:
            esp = sa("chacha20-poly1305", esn=esn)
            driver = next(one["driver"] for one in site.show(1)["sa"] if one["spi"] == esp.spi)
            what = f"chacha_library={value}, ESN {esn}"
            check(f"{what}: {driver}", (driver == "lib/crypto") == library)
            inner = some(last=301)
            point(f"{what}: it understands the same packets", [*map(esp.seal, inner)], inner)
            point(f"{what}: and refuses others", [flipped(esp.seal(ports(b"bad")), 20)], [],
                  {"rx-auth": 1})


def users(name, sync):
    """How often synchronous, or asynchronous, implementations of it are in use."""
    return sum(int(re.search(r"^refcnt\s*: (\d+)", block, re.M)[1])
               for block in Path("/proc/crypto").read_text().split("\n\n")
               if re.search(rf"^name\s*: {re.escape(name)}$", block, re.M) and
               bool(re.search(r"^async\s*: no$", block, re.M)) == sync)


def without_vectors():
    """The transform that needs no vector registers is made when it is needed."""
    knob = Path("/sys/module/espudp/parameters/no_simd")
    for words, name in ((("aes-gcm",), "rfc4106(gcm(aes))"),
                        (("aes-cbc", "sha256"), "authenc(hmac(sha256),cbc(aes))"),
                        (("aes-cbc", "sha256", True), "authencesn(hmac(sha256),cbc(aes))")):
        esp = sa(*words)
        inner = some(last=301)
        point(f"{words}: with vector registers", [*map(esp.seal, inner)], inner)
        before = users(name, True)
        may_wait = users(name, False)
        knob.write_text("1")
        inner = some(last=301)
        point(f"{words}: the first that come without", [*map(esp.seal, inner)], inner)
        if may_wait:
            check(f"{words}: a synchronous transform is made", forge.wait_for(
                10, lambda was=before, of=name: users(of, True) > was), before, users(name, True))
        inner = some(last=301)
        point(f"{words}: and understands the same", [*map(esp.seal, inner)], inner)
        point(f"{words}: and refuses others", [flipped(esp.seal(ports(b"bad")), 20)], [],
              {"rx-auth": 1})
        knob.write_text("0")


diag(f"SEED={seed}")
ciphers()
trouble()
strangers()
ike()
captured()
chacha()
without_vectors()
path = Route()
tcp(path)
mixtures(path)
gro_off(path)
forge.end()
