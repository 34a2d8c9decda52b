#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Fuzzing: datagrams at the port, and netlink requests made from the YAML file.

Datagrams: valid ESP, IKE and keepalives with octets changed, cut, joined,
repeated; ESP whose payload was changed before it was sealed, so that it passes
authentication; all of it also in small IP fragments, and several as a
super-packet; tunnel and transport mode, all kinds of ciphers. Inner packets given
to the device, with checksums to be made and segments to be cut that lie. Requests:
each operation with attributes that are missing, surplus, nested wrongly, of random
length and value. Nothing may be worse for it but counters: meanwhile and
afterwards the tunnel works, and the socket's owner reads its letters.

SEED=N repeats a run. FUZZ=N makes N datagrams and half as many requests.

  a  the fuzzer   --- b  espudp0, what works; fuzz0 and fuzz1, what is fuzzed
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 400

import contextlib
import errno
import functools
import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import genl
from forge import IPIP, IPV6, Esp, check, inner, ip4, ip6, n, netns, read_all, run, send, sender

seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().getrandbits(32)
rng = random.Random(seed)
COUNT = int(os.environ.get("FUZZ", 0)) or \
    (100000 if forge.FULL else 3000 if forge.DEBUG_KERNEL else 6000)
INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255, 256, 1023, 1024,
               4095, 4096, 8191, 8192, 8193, 32767, 32768, 65535, 65536, 0x7fffffff, 0x80000000,
               0xffffffff, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def mutate(data):
    """One to four changes, as fuzzers make them."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        where = rng.randrange(len(data) + 1)
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[where % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[where % len(data)] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
        elif kind == 2:
            del data[where:]
        elif kind == 3:
            del data[:where]
        elif kind == 4:
            data[where:where] = rng.randbytes(rng.choice((1, 2, 4, 8, 16, 64)))
        elif kind == 5:
            size = rng.choice((1, 2, 4))
            value = rng.choice(INTERESTING) & (1 << 8 * size) - 1
            data[where:where + size] = value.to_bytes(size, rng.choice(("big", "little")))
        elif kind == 6:
            data[where:where] = data[:rng.randrange(1, 65)]
        else:
            data += bytes(rng.randrange(64))
    return bytes(data[:65000])


# ----------------------------------------------------------------- datagrams

GATEWAY, CLIENT = "198.51.100.2", "198.51.100.1"
PORTS_A, PORTS6_A = "10.1.3.1", "fd00:3::1"     # of the peer whose selectors have ports


def piece():
    """An inner fragment, as good as none of which makes a datagram."""
    body = rng.randbytes(rng.choice((8, 16, 24, 31, 64)))
    at, more, ident = rng.randrange(6), rng.random() < 0.6, rng.randrange(3)
    if rng.random() < 0.3:
        return ip6(PORTS6_A, forge.INNER6_B, 44,
                   struct.pack("!BBHI", 17, 0, at << 3 | more, ident) + body), IPV6
    return ip4(PORTS_A, forge.INNER_B, 17, body, ident=ident, frag=more << 13 | at), IPIP


def join(sock, data, size):
    """A super-packet."""
    sock.sendmsg([data], [(socket.IPPROTO_UDP, forge.UDP_SEGMENT, struct.pack("=H", size))])


class Datagrams:
    """For three peers: SAs of tunnel mode, transport mode, and of one whose selectors
    need all of a datagram."""

    def __init__(self, tunnel, transport, ports):
        self.esps = tunnel + transport + ports
        self.socks = [sender("a", "198.51.100.2"), sender("a", "2001:db8:2::2")]
        with netns("a"):
            self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        tcp = forge.tcp(forge.INNER_A, forge.INNER_B, 1, 2, b"data")
        tcp6 = forge.tcp(forge.INNER6_A, forge.INNER6_B, 1, 2, b"data")
        options = ip4(forge.INNER_A, forge.INNER_B, 17, inner(b"o")[20:],
                      options=b"\x07\x07\x04" + bytes(5))
        extension = forge.ip6(forge.INNER6_A, forge.INNER6_B, 0,
                              b"\x3c\0\1\4\0\0\0\0" + b"\x2c\0\1\4\0\0\0\0" +
                              b"\x11\0\0\1\0\0\0\7" + inner(b"e", v6=True)[40:])
        first = ip4(forge.INNER_A, forge.INNER_B, 17, inner(b"f" * 40)[20:52], frag=0x2000, ident=5)
        later = ip4(forge.INNER_A, forge.INNER_B, 17, b"f" * 16, frag=4, ident=5)
        icmp = ip4(forge.INNER_A, forge.INNER_B, 1, b"\3\4\0\0\0\0\5\0" + inner(b"i")[:28])
        self.inside = [(inner(b"x" * 50), IPIP), (inner(b"y" * 50, v6=True), IPV6), (tcp, IPIP),
                       (tcp6, IPV6), (options, IPIP), (extension, IPV6), (first, IPIP),
                       (later, IPIP), (icmp, IPIP), (b"", 59)]
        bare = [(forge.udp(CLIENT, GATEWAY, 1, 9999, b"t" * 50)[20:], 17),
                (forge.tcp(CLIENT, GATEWAY, 1, 2, b"data")[20:], 6), (icmp[20:], 1),
                (b"\x08\0\xf7\xff" + bytes(4), 1), (b"u" * 30, 136), (b"x" * 9, 253), (b"", 59)]
        self.inside_of = {esp.spi: inside for esps, inside in
                          ((tunnel, self.inside), (transport, bare)) for esp in esps}
        self.counts, self.joined = {}, 0

    def make(self, esp):
        kind = rng.choice(("authenticated",) * 4 + ("sealed",) * 3 + ("IKE", "keepalive", "random"))
        packet, header = rng.choice(self.inside_of[esp.spi]) if esp.spi in self.inside_of else \
            piece()
        seq = rng.choice((None, None, None, rng.getrandbits(32), rng.choice(INTERESTING[:32])))
        if seq is not None:     # a jump with ESN would leave all others behind
            seq = max(esp.seq + rng.randrange(-64, 64), 0) if esp.esn else seq & 0xffffffff
        if kind == "authenticated":
            what = rng.randrange(4)
            if what == 0:
                data = esp.seal(mutate(packet), header, seq=seq)
            elif what == 1:
                data = esp.seal(mutate(packet), rng.randrange(256), seq=seq)
            else:
                plain = mutate(esp.pad(packet, header)) if what == 2 else \
                    esp.pad(packet, header, mutate(bytes(range(1, 9)))[:255])
                blocks = max(len(plain) // esp.block, 1)    # the cipher takes no other
                plain = plain[:blocks * esp.block].ljust(blocks * esp.block, b"\0") \
                    if esp.block > 1 else plain
                data = esp.seal(b"", plain=plain, seq=seq)
        elif kind == "sealed":
            data = mutate(esp.seal(packet, header, seq=seq))
        elif kind == "IKE":
            data = mutate(bytes(4) + rng.randbytes(28) + b"\0\0\0\x1c")
        elif kind == "keepalive":
            data = mutate(b"\xff")
        else:
            data = rng.randbytes(rng.randrange(200))
        return kind, data

    def one(self):
        esp = rng.choice(self.esps)
        kind, data = self.make(esp)
        how = rng.random()
        if how < 0.15:
            kind += " in fragments"
            self.fragments(data)
        elif how < 0.25 and data:
            kind += " and others as one"
            size = len(data)
            for _ in range(rng.choice((1, 2, 5, 10))):
                data += self.make(esp if rng.random() < 0.8 else rng.choice(self.esps))[1]
            with contextlib.suppress(OSError):
                join(rng.choice(self.socks), data, rng.choice((size, size, 100, 500, 1200)))
                self.joined += 1
        else:
            with contextlib.suppress(OSError):
                send(rng.choice(self.socks), data)
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def fragments(self, data):
        datagram = struct.pack("!HHHH", 5555, 4500, (8 + len(data)) & 0xffff, 0) + data
        ident, step = rng.getrandbits(16), rng.choice((8, 16, 32, 256))
        parts = list(range(0, min(len(datagram), 64 * step), step))
        if rng.random() < 0.3:
            rng.shuffle(parts)
        if rng.random() < 0.1:
            parts = parts[:-1]
        for at in parts:
            part = datagram[at:at + step]
            if rng.random() < 0.01:
                part = mutate(part)[:1400]
            more = 0x2000 if at + step < len(datagram) else 0
            with contextlib.suppress(OSError):
                self.raw.sendto(ip4("198.51.100.1", "198.51.100.2", 17, part, ident=ident,
                                    frag=more | at // 8), ("198.51.100.2", 0))


# -------------------------------------------------------------- inner packets

class Inner:
    """What the device is given, as by a machine with virtio."""

    def __init__(self):
        self.socks = []
        for proto in 0x0800, 0x86dd:
            with netns("b"):
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                sock.setsockopt(263, 15, 1)     # SOL_PACKET, PACKET_VNET_HDR
                sock.bind(("espudp0", proto))
            self.socks.append(sock)
        self.good = []
        for src, dst in (forge.INNER_B, forge.INNER_A), (GATEWAY, "100.100.0.1"), \
                        (forge.INNER_B, PORTS_A), (forge.INNER6_B, forge.INNER6_A):
            proto = functools.partial(ip6 if ":" in src else ip4, src, dst)
            self.good += [(proto, 17, forge.udp(src, dst, 9999, 1, b"d" * 50)),
                          (proto, 6, forge.tcp(src, dst, 9999, 1, b"d" * 3000)),
                          (proto, 1, forge.udp(src, dst, 8, 0, b"d" * 50))]
        self.count = 0

    def send(self, packet, needs=0, gso=0, hlen=0, size=0, start=0, offset=0):
        header = struct.pack("=BBHHHH", needs, gso, hlen, size, start, offset)
        self.socks[packet[:1] >= b"\x60"].send(header + packet)
        self.count += 1

    def one(self):
        make, proto, packet = rng.choice(self.good)
        header = 40 if packet[:1] >= b"\x60" else 20
        kind = rng.randrange(4)
        if kind == 0:
            packet = mutate(packet)
        elif kind == 1:
            packet = make(proto, packet[header:], length=rng.randrange(len(packet) + 1))
        elif kind == 2:
            packet = make(proto, mutate(packet[header:]))
        transport = {17: 6, 6: 16}.get(proto, 2)
        with contextlib.suppress(OSError):
            self.send(packet, rng.choice((0, 1, 1, 1, 2, 3)),
                      rng.choice((0, 0, 0, {17: 5, 6: 4 if header == 40 else 1}.get(proto, 3),
                                  0x81, rng.randrange(256))),
                      rng.choice((0, header + 8, header + 20, rng.randrange(200))),
                      rng.choice((0, 1, 8, 500, 1200, rng.getrandbits(16))),
                      rng.choice((header, header, header, rng.randrange(200))),
                      rng.choice((transport, transport, transport, rng.randrange(200))))


# ------------------------------------------------------------------- requests

class Requests:
    """Guided by the specification, so that many get far."""

    NAMES = ["fuzz0", "fuzz0", "fuzz1", "lo", "none", ""]
    ALGS = ["rfc4106(gcm(aes))", "cbc(aes)", "ecb(cipher_null)", "rfc7539esp(chacha20,poly1305)",
            "hmac(sha256)", "hmac(sha1)", "", "rfc4106(gcm(aes)", "authenc(hmac(sha1),cbc(aes))",
            "x" * 63, "%s%n"]
    POOLS = [forge.addr_bytes(addr) for addr in ("10.64.0.0", "10.65.0.0", "fd64::", "10.64.1.0",
                                                 "0.0.0.0", "224.0.0.0", "198.51.100.0")]

    def __init__(self):
        self.link = forge.netlink("b")
        self.spec = self.link.spec
        with netns("b"):
            self.indexes = [socket.if_nametoindex(name) for name in ("fuzz0", "fuzz1", "lo")]
        self.operations = [operation for operation in self.spec.operations.values()
                           if "do" in operation or "dump" in operation]
        with netns("b"):
            self.own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.own.bind(("0.0.0.0", 4603))
        self.operation, self.what, self.sober = None, None, False
        self.messages = set()
        self.answers = {name: {} for name in
                        [operation["name"] for operation in self.operations] +
                        ["peer-new, transport", "dev-set, pool", "socket-attach, fd"]}

    # What may be accepted, by an attribute's name.
    SOBER = {"ifname": [b"fuzz0\0"], "enc": [ALGS[0].encode() + b"\0"], "enc-key": [bytes(20)],
             "port": [struct.pack("=H", 4601)], "prefix-len": [b"\x18"], "address": POOLS[:2],
             **{name: [struct.pack("=I", number) for number in numbers] for name, numbers in (
                 ("id", (1, 1, 2)), ("peer", (1, 1, 2)), ("spi", (256, 257)),
                 ("spi-min", (256, 258)),
                 ("spi-max", (300,)), ("timeout", (1, 30)))},
             "dir": [b"\0", b"\1"], "flush": [b"\0", b"\1"],
             **{name: [b"\x0a\x09" + rest for rest in rests] for name, rests in (
                 ("remote", (b"\0\1", b"\0\2")), ("local-from", (b"\0\0",)),
                 ("local-to", (b"\0\xff",)), ("remote-from", (b"\1\0", b"\2\0")),
                 ("remote-to", (b"\2\xff",)))}}

    def value(self, member):
        """Content of an attribute, mostly of the right kind."""
        kind, name = member["type"], member["name"]
        if self.sober and name in self.SOBER:
            if name == "address":
                self.what = "pool"
            return rng.choice(self.SOBER[name])
        if not self.sober and rng.random() < 0.02:
            return rng.randbytes(rng.choice((0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 64, 300)))
        if name in ("ifindex", "bound-ifindex"):
            return struct.pack("=I", rng.choice(self.indexes + [0, 0xffffffff, 0x7fffffff]))
        if name == "ifname":
            return rng.choice(self.NAMES).encode() + b"\0"
        if name in ("enc", "auth"):
            return rng.choice(self.ALGS[:1] * 9 + self.ALGS).encode() + b"\0"
        if name == "enc-key":
            return bytes(rng.choice((0, 1, 16, 20, 20, 20, 20, 24, 32, 36, 64, 256)))
        if name == "auth-key":
            return bytes(rng.choice((0, 16, 20, 32, 48, 64, 65)))
        if name in ("id", "peer") and kind == "u32":
            return struct.pack("=I", rng.choice((1, 1, 2, 3, 0, 0xffffffff)))
        if name.startswith("spi"):
            return struct.pack("=I", rng.choice((256, 257, 258, 259, 300, 255, 0, 0xffffffff)))
        if name == "fd":
            self.what = "fd"
            own = self.own.fileno()
            return struct.pack("=I", own if self.sober else
                               rng.choice((0, 1, 2, 99, 0xffffffff, own, own, own)))
        if name == "port":
            return struct.pack("=H", rng.choice((4601, 4602, 0, 65535, 4500)))
        if name == "mode" and rng.random() < 0.9:
            mode = rng.randrange(2)
            self.what = "transport" if mode else self.what
            return bytes((mode,))
        if (name, kind) == ("address", "binary"):
            self.what = "pool"
            return rng.choice(self.POOLS)
        if name == "prefix-len":
            return bytes((rng.choice((24, 24, 24, 28, 16, 30, 112, 31, 7, 129, 0)),))
        if name == "virtual":
            return rng.choice(self.POOLS)[:-1] + bytes((rng.choice((0, 1, 2, 255)),))
        if name == "take-over":
            return struct.pack("=I", rng.choice((1, 2, 3)))
        if name in ("local", "remote", "local-from", "local-to", "remote-from", "remote-to"):
            first = rng.choice((b"\x0a\x09\0", b"\x0a\x09\1", b"\0\0\0", b"\xe0\0\0",
                                b"\xff\xff\xff", bytes.fromhex("fd09") + bytes(13),
                                bytes.fromhex("ff02") + bytes(13), bytes(15)))
            return first + bytes((rng.choice((0, 1, 2, 9, 255)),))
        if kind in genl.SIZES:
            size = struct.calcsize("=" + genl.SIZES[kind])
            value = rng.choice((0, 1, 2, 3, rng.choice(INTERESTING), rng.getrandbits(64)))
            return (value & (1 << 8 * size) - 1).to_bytes(size, sys.byteorder)
        if kind == "flag":
            return b""
        if kind == "string":
            return rng.choice((b"", b"name", rng.randbytes(20), b"n" * 63, b"n" * 64,
                               b"\xff\xfe\0", b"a\0b")) + rng.choice((b"\0", b""))
        return rng.randbytes(rng.choice((0, 4, 16, 40)))

    def some(self, set_name, depth=0, wanted=()):
        members = [member for member in self.spec.sets[set_name].values()
                   if member["type"] not in ("unused", "pad")]
        chosen = [self.spec.sets[set_name][name] for name in wanted
                  if self.sober or rng.random() < 0.97]
        extra = rng.choice((0, 0, 0, 0, 1, 2)) if depth == 0 else \
            rng.choice((0, 0, 0, 1, 2, 3, len(members)))
        if not self.sober:
            chosen += rng.sample(members, min(extra, len(members)))
        if rng.random() < 0.1:
            rng.shuffle(chosen)
        data = b""
        for member in chosen:
            for _ in range(rng.choice((1, 1, 1, 2, 40 if depth else 1))
                           if member.get("multi-attr") and not self.sober else 1):
                data += self.one(member, depth)
        return data

    # What a request of this kind needs to get anywhere, and half of them have.
    NEEDED = {"sa": ["spi", "dir", "peer", "enc", "enc-key"], "peer": ["id"],
              "selector": ["local-from", "local-to", "remote-from", "remote-to"],
              "reserve": ["spi-min", "spi-max", "timeout"], "pool": ["address", "prefix-len"]}
    ONLY = {("sa-set", "sa"): ["spi", "dir", "peer", "hard-packets"],
            ("sa-del", "sa"): ["spi", "dir", "peer"], ("sa-get", "sa"): ["spi", "dir", "peer"],
            ("flush", "peer"): ["id"]}
    HALF = {("dev-set", "dev"): ["pool"], ("socket-attach", "socket"): ["fd"],
            ("peer-new", "peer"): ["mode", "remote"], ("peer-set", "peer"): ["selector"]}

    def needed(self, inside):
        if not self.sober and rng.random() < 0.2:
            return []
        key = self.operation["name"], inside
        return self.ONLY.get(key, self.NEEDED.get(inside, [])) + \
            (self.HALF.get(key, []) if rng.random() < 0.5 else [])

    def one(self, member, depth):
        number = member["number"]
        if not self.sober and rng.random() < 0.02:
            number = rng.choice((0, number + 1, 63, 0x3fff))
        if member["type"] == "nest" and depth < 6:
            inside = member["nested-attributes"]
            content = self.some(inside, depth + 1, self.needed(inside))
            if self.sober or rng.random() < 0.9:
                number |= genl.NESTED
        else:
            content = self.value(member)
        data = genl.attr(number, content[:60000])
        if not self.sober and rng.random() < 0.01:
            data = struct.pack("=H", rng.choice((0, 3, 4, len(data) + 4, 0xffff))) + data[2:]
        return data

    def request(self):
        operation = self.operation = rng.choice(self.operations)
        self.what = None
        self.sober = rng.random() < (0.6 if operation["name"].startswith("sa-") else 0.3)
        wanted = operation.get("do", operation.get("dump", {})).get("request", {}) \
            .get("attributes", [])
        data = self.some("espudp", 0, [name for name in wanted if name != "ifindex" or
                                       not self.sober and rng.random() < 0.2])
        number, flags, version = operation["number"], 4, 1
        if not self.sober:
            flags |= rng.choice((0, 0, 0, 0, genl.NLM_F_DUMP, 0x100, 0xf00))
            version = rng.choice((1, 1, 1, 0, 255))
            if rng.random() < 0.03:
                data = mutate(data)
            if rng.random() < 0.01:
                number = rng.choice((0, 15, 16, 255))
        try:
            error, message, _ = self.link.exchange(number, data, flags, version)
        except TimeoutError:
            error, message = -1, "no answer"
        name = operation["name"]
        code = errno.errorcode.get(error, str(error)) if error else "accepted"
        for key in name, f"{name}, {self.what}":
            if key in self.answers:
                self.answers[key][code] = self.answers[key].get(code, 0) + 1
        if message:
            self.messages.add(message)
        return error

    def total(self):
        return sum(sum(answers.values()) for name, answers in self.answers.items()
                   if "," not in name)

    def lacking(self):
        """What was never accepted, or not refused in two ways."""
        return {name: answers for name, answers in self.answers.items()
                if not answers.get("accepted") or len(answers) < 3}


class Sound:
    """What has to work all the time."""

    def __init__(self, witness, owner, datagrams, inner_packets):
        self.witness, self.owner, self.inner = witness, owner, inner_packets
        self.sock, self.out = datagrams.socks[0], forge.receiver("b", forge.INNER_B, 9999)
        self.number = 0

    def wrong(self):
        """What does not."""
        self.number += 1
        found = []
        forge.settle("b")
        read_all(self.out)
        send(self.sock, self.witness.seal(inner(b"still works")))
        if read_all(self.out, 5, 1) != [b"still works"]:
            found.append("no packet comes through")
        parts = [self.witness.seal(inner(b"as one %d" % i)) for i in range(5)]
        with contextlib.suppress(OSError):      # what others met
            self.sock.send(b"\xff")
        join(self.sock, b"".join(parts), len(parts[0]))
        if read_all(self.out, 5, 5) != [b"as one %d" % i for i in range(5)]:
            found.append("no super-packet comes through")
        read_all(self.owner)
        letter = bytes(4) + b"letter %04d" % self.number + bytes(20)
        send(self.sock, letter)
        if read_all(self.owner, 5, 1) != [letter]:
            found.append("the owner does not read its letters")
        before = forge.drops("b").get("tx-malformed", 0)
        # its checksum lies behind its end, by two octets
        self.inner.send(ip4(forge.INNER_B, forge.INNER_A, 253, bytes(20), length=26), 1, start=20,
                        offset=6)
        if not forge.wait_for(5, lambda: forge.drops("b").get("tx-malformed", 0) == before + 1):
            found.append("a packet whose checksum is behind its end is sent")
        return found


def gateway():
    """Three peers. What is fuzzed, and what is not."""
    first = Esp(0x1000)
    forge.gateway(first, "replay-window", 0, roaming="address")
    link = forge.netlink("b")
    link.must("socket-detach", ifname="espudp0")
    with netns("b"):
        owner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    owner.bind(("0.0.0.0", 4500))
    link.must("socket-attach", ifname="espudp0", socket={"fd": owner.fileno(), "marker": "keep"})
    link.must("socket-attach", ifname="espudp0", socket={"ipv6": True})
    n("b", "ethtool", "-K", "b0", "gro", "on")

    link.must("dev-set", ifname="espudp0", dev={"pool": {
        "address": forge.addr_bytes("100.100.0.0"), "prefix-len": 24}})
    ends = {"local-from": GATEWAY, "local-to": GATEWAY, "remote-from": CLIENT, "remote-to": CLIENT}
    link.must("peer-new", ifname="espudp0", peer={
        "id": 2, "mode": "transport", "remote": forge.addr_bytes(CLIENT), "remote-port": 40000,
        "virtual": forge.addr_bytes("100.100.0.1"),
        "selector": {key: forge.addr_bytes(addr) for key, addr in ends.items()}})
    link.must("peer-new", ifname="espudp0", peer={
        "id": 3, "remote": forge.addr_bytes(CLIENT), "remote-port": 40001, "selector": [
            {"local-from": forge.addr_bytes(local), "local-to": forge.addr_bytes(local),
             "remote-from": forge.addr_bytes(remote), "remote-to": forge.addr_bytes(remote),
             "protocol": 17, "remote-port-from": 1, "remote-port-to": 30000}
            for local, remote in ((forge.INNER_B, PORTS_A), (forge.INNER6_B, PORTS6_A))]})
    run("ip", "-n", "b", "route", "add", "100.100.0.0/24", "dev", "espudp0", "src", GATEWAY)

    tunnel = [first, Esp(0x1001), Esp(0x1002, "aes-gcm"), Esp(0x1004, "chacha20-poly1305"),
              Esp(0x1005, "aes-cbc", "sha256", esn=True)]
    transport, ports = [Esp(0x1010), Esp(0x1011, "aes-gcm")], [Esp(0x1020)]
    witness = Esp(0x1003)
    for peer, esps in (1, tunnel[1:] + [witness]), (2, transport), (3, ports):
        for esp in esps:
            # one with the window that is usual
            window = {} if esp.esn or esp.spi == 0x1001 else {"replay_window": 0}
            must(forge.sa_new("b", "espudp0", peer, "in", esp, **window))
    for peer, esp in (1, Esp(0x2001, "aes-gcm")), (2, Esp(0x2002, "aes-cbc", "sha256")), \
                     (3, Esp(0x2003)):
        must(forge.sa_new("b", "espudp0", peer, "out", esp))
    return (tunnel, transport, ports), witness, owner


def must(answer):
    if answer[0]:
        raise forge.Failed(f"{errno.errorcode[answer[0]]} {answer[1]}")


def packets(datagrams, inner_packets, sound):
    found, start = sound.wrong(), time.monotonic()
    check("all works", not found, *found, forge.drops("b"))
    total = 0
    while total < COUNT and not found:
        if total >= COUNT // 2:     # b's device is to put them together, not a's to leave them so
            n("a", "ethtool", "-K", "a0", "tx-udp-segmentation", "off")
        for _ in range(500):
            datagrams.one()
            inner_packets.one()
        total = sum(datagrams.counts.values())
        found = sound.wrong()
    check(f"{total} fuzzed datagrams, {inner_packets.count} inner packets: all works all the time",
          total and not found, *found, forge.drops("b"))
    stats = forge.stats("b")
    forge.diag(f"{time.monotonic() - start:.0f} s", datagrams.counts,
               f"{datagrams.joined} super-packets", stats)
    check("some got all the way through, and some to each check on it",
          stats["rx-packets"] > total // 100 and stats["tx-packets"] > total // 100 and
          stats["rx-ike"] > total // 100 and datagrams.joined > total // 50 and
          all(stats["drop"].get(reason) for reason in (
              "rx-auth", "rx-pad", "rx-next-header", "rx-inner", "rx-selector", "rx-csum",
              "rx-short", "rx-align", "rx-ike-unowned", "rx-spi-unknown", "rx-replay-seen",
              "rx-defrag", "tx-malformed")), stats)


def main():
    forge.diag(f"SEED={seed}")
    forge.load_module()
    forge.topo_direct()
    fuzzed, witness, owner = gateway()
    datagrams, inner_packets = Datagrams(*fuzzed), Inner()
    sound = Sound(witness, owner, datagrams, inner_packets)
    packets(datagrams, inner_packets, sound)
    for dev in "fuzz0", "fuzz1":
        run("ip", "-n", "b", "link", "add", dev, "type", "espudp")
        run("ip", "-n", "b", "link", "set", dev, "up")

    requests = Requests()
    silent, start = False, time.monotonic()
    # chance may want some more
    while not silent and (requests.total() < COUNT // 2 or
                          requests.lacking() and requests.total() < 2 * COUNT):
        silent = requests.request() == -1
        datagrams.one()
    check(f"{requests.total()} fuzzed requests: each has its answer",
          requests.total() and not silent)
    forge.diag(f"{time.monotonic() - start:.0f} s", requests.answers,
               f"{len(requests.messages)} different messages")
    check("each kind of request was accepted, and refused in several ways",
          not requests.lacking(), requests.lacking())
    errors = set().union(*requests.answers.values())
    check("no request had an internal error for an answer",
          not {"EFAULT", "EIO", "ENOSYS", "-1"} & errors, errors)
    found = sound.wrong()
    check("all still works", not found, *found, forge.drops("b"))
    shown = forge.n_attempt("b", "espudp", "show", "--json")
    check("the tool can show all that is there", shown.returncode == 0, shown.stderr)
    for dev in "fuzz0", "fuzz1", "espudp0":
        run("ip", "-n", "b", "link", "del", dev)
    forge.genl_socks.clear()
    del requests
    run("rmmod", "espudp")
    bad = [line for line in run("dmesg").splitlines()
           if any(word in line for word in ("WARNING:", "BUG:", "Oops", "KASAN", "UBSAN",
                                           "refcount", "become free"))]
    check("the module unloads, and the log is quiet", not bad, *bad[:10])
    forge.end()


main()
