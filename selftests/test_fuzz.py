#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Fuzzing: datagrams at the port, and netlink requests made from the YAML file.

Datagrams: valid ESP, IKE and keepalives with octets changed, cut, joined,
repeated; ESP whose payload was changed before it was sealed, so that it passes
authentication; all of it also in small IP fragments. Requests: each operation
with attributes that are missing, surplus, nested wrongly, of random length and
value. Nothing may be worse for it but counters: afterwards the tunnel works.

SEED=N repeats a run. FUZZ=N makes N datagrams and half as many requests.

  a  the fuzzer   --- b  espudp0, what works; fuzz0 and fuzz1, what is fuzzed
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 400

import contextlib
import errno
import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import genl
from forge import IPIP, IPV6, Esp, check, inner, ip4, netns, read_all, run, send, sender

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

class Datagrams:
    def __init__(self, esps):
        self.esps = esps
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
        self.counts = {}

    def one(self):
        esp = rng.choice(self.esps)
        kind = rng.choice(("authenticated",) * 4 + ("sealed",) * 3 + ("IKE", "keepalive", "random"))
        packet, header = rng.choice(self.inside)
        seq = rng.choice((None, None, None, rng.getrandbits(32), rng.choice(INTERESTING[:32])))
        if seq is not None:
            seq &= 0xffffffff
        if kind == "authenticated":
            what = rng.randrange(4)
            if what == 0:
                data = esp.seal(mutate(packet), header, seq=seq)
            elif what == 1:
                data = esp.seal(mutate(packet), rng.randrange(256), seq=seq)
            elif what == 2:
                data = esp.seal(b"", plain=mutate(esp.pad(packet, header)), seq=seq)
            else:
                data = esp.seal(packet, header, pad=mutate(bytes(range(1, 9)))[:255], seq=seq)
        elif kind == "sealed":
            data = mutate(esp.seal(packet, header, seq=seq))
        elif kind == "IKE":
            data = mutate(bytes(4) + rng.randbytes(28) + b"\0\0\0\x1c")
        elif kind == "keepalive":
            data = mutate(b"\xff")
        else:
            data = rng.randbytes(rng.randrange(200))
        if rng.random() < 0.15:
            kind += " in fragments"
            self.fragments(data)
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


# ------------------------------------------------------------------- requests

class Requests:
    """Guided by the specification, so that many get far."""

    NAMES = ["fuzz0", "fuzz0", "fuzz1", "lo", "none", ""]
    ALGS = ["rfc4106(gcm(aes))", "cbc(aes)", "ecb(cipher_null)", "rfc7539esp(chacha20,poly1305)",
            "hmac(sha256)", "hmac(sha1)", "", "rfc4106(gcm(aes)", "authenc(hmac(sha1),cbc(aes))",
            "x" * 63, "%s%n"]

    def __init__(self):
        self.link = forge.netlink("b")
        self.spec = self.link.spec
        with netns("b"):
            self.indexes = [socket.if_nametoindex(name) for name in ("fuzz0", "fuzz1", "lo")]
        self.operations = [operation for operation in self.spec.operations.values()
                           if "do" in operation or "dump" in operation]
        self.counts, self.errors, self.messages = {}, {}, set()

    def value(self, member):
        """Content of an attribute, mostly of the right kind."""
        kind, name = member["type"], member["name"]
        if rng.random() < 0.02:
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
            return struct.pack("=I", rng.choice((0, 1, 2, 3, 4, 5, 99, 0xffffffff)))
        if name == "port":
            return struct.pack("=H", rng.choice((4601, 4602, 0, 65535, 4500)))
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
        chosen = [self.spec.sets[set_name][name] for name in wanted if rng.random() < 0.97]
        extra = rng.choice((0, 0, 0, 0, 1, 2)) if depth == 0 else \
            rng.choice((0, 0, 0, 1, 2, 3, len(members)))
        chosen += rng.sample(members, min(extra, len(members)))
        if rng.random() < 0.1:
            rng.shuffle(chosen)
        data = b""
        for member in chosen:
            for _ in range(rng.choice((1, 1, 1, 2, 40 if depth else 1))
                           if member.get("multi-attr") else 1):
                data += self.one(member, depth)
        return data

    # What a request of this kind needs to get anywhere.
    NEEDED = {"sa": ["spi", "dir", "peer", "enc", "enc-key"], "peer": ["id"],
              "selector": ["local-from", "local-to", "remote-from", "remote-to"]}

    def one(self, member, depth):
        number = member["number"]
        if rng.random() < 0.02:
            number = rng.choice((0, number + 1, 63, 0x3fff))
        if member["type"] == "nest" and depth < 6:
            inside = member["nested-attributes"]
            needed = self.NEEDED.get(inside, ()) if rng.random() < 0.8 else ()
            content = self.some(inside, depth + 1, needed)
            if rng.random() < 0.9:
                number |= genl.NESTED
        else:
            content = self.value(member)
        data = genl.attr(number, content[:60000])
        if rng.random() < 0.01:
            data = struct.pack("=H", rng.choice((0, 3, 4, len(data) + 4, 0xffff))) + data[2:]
        return data

    def request(self):
        operation = rng.choice(self.operations)
        wanted = operation.get("do", operation.get("dump", {})).get("request", {}) \
            .get("attributes", [])
        data = self.some("espudp", 0, [name for name in wanted
                                       if name != "ifindex" or rng.random() < 0.2])
        flags = rng.choice((4, 4, 4, 4, genl.NLM_F_DUMP, genl.NLM_F_DUMP | 4, 0x100, 0xf04))
        if rng.random() < 0.03:
            data = mutate(data)
        number = operation["number"]
        if rng.random() < 0.01:
            number = rng.choice((0, 15, 16, 255))
        try:
            error, message, _ = self.link.exchange(number, data, flags | 4,
                                                   rng.choice((1, 1, 1, 0, 255)))
        except TimeoutError:
            error, message = -1, "no answer"
        name = operation["name"]
        self.counts[name] = self.counts.get(name, 0) + 1
        code = errno.errorcode.get(error, str(error)) if error else "accepted"
        self.errors[code] = self.errors.get(code, 0) + 1
        if message:
            self.messages.add(message)
        return error


def tunnel_works(esp, sock, out):
    read_all(out)
    send(sock, esp.seal(inner(b"still works")))
    return read_all(out, 5, 1) == [b"still works"]


def main():
    forge.diag(f"SEED={seed}")
    forge.load_module()
    forge.topo_direct()
    esp = Esp(0x1000)
    forge.gateway(esp, "replay-window", 0, roaming="address")
    others = [Esp(0x1001), Esp(0x1002, "aes-gcm")]
    forge.sa_add("b", "espudp0", 1, "in", others[0])
    forge.sa_add("b", "espudp0", 1, "in", others[1], "replay-window", 0)
    witness = Esp(0x1003)
    forge.sa_add("b", "espudp0", 1, "in", witness, "replay-window", 0)
    out = forge.receiver("b", forge.INNER_B, 9999)
    check("the tunnel works", tunnel_works(witness, sender("a", "198.51.100.2"), out))
    for dev in "fuzz0", "fuzz1":
        run("ip", "-n", "b", "link", "add", dev, "type", "espudp")
        run("ip", "-n", "b", "link", "set", dev, "up")

    datagrams = Datagrams([esp] + others)
    alive, start = True, time.monotonic()
    while sum(datagrams.counts.values()) < COUNT and alive:
        for _ in range(500):
            datagrams.one()
        alive = tunnel_works(witness, datagrams.socks[0], out)
    total = sum(datagrams.counts.values())
    check(f"{total} fuzzed datagrams: the tunnel works all the time", total and alive,
          forge.drops("b"))
    forge.diag(f"{time.monotonic() - start:.0f} s", datagrams.counts, forge.drops("b"))
    delivered = forge.stats("b")["rx-packets"]
    check("some got all the way through, and some to each check on it",
          delivered > total // 100 and all(forge.drops("b").get(reason) for reason in (
              "rx-auth", "rx-pad", "rx-next-header", "rx-inner", "rx-selector", "rx-csum",
              "rx-short", "rx-align", "rx-ike-unowned", "rx-spi-unknown")),
          f"{delivered} delivered", forge.drops("b"))

    requests = Requests()
    silent, start = False, time.monotonic()
    while sum(requests.counts.values()) < COUNT // 2 and not silent:
        silent = requests.request() == -1
        datagrams.one()
    total = sum(requests.counts.values())
    check(f"{total} fuzzed requests: each has its answer", total and not silent)
    forge.diag(f"{time.monotonic() - start:.0f} s", requests.counts, requests.errors,
               f"{len(requests.messages)} different messages")
    check("each kind of request was accepted or refused in several ways",
          len(requests.errors) >= 5 and requests.errors.get("accepted", 0) > 20, requests.errors)
    check("no request had an internal error for an answer",
          not {"EFAULT", "EIO", "EBADF", "ENOSYS", "-1"} & set(requests.errors) -
          {"EBADF"}, requests.errors)
    check("the tunnel still works", tunnel_works(witness, datagrams.socks[0], out),
          forge.drops("b"))
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
