#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Short, lying, large and odd: every datagram is counted by the right reason,
and what is valid is delivered octet for octet, whatever it was carried in.

  a  sender of forged datagrams              b  espudp0, the receiver
  a0 198.51.100.1/24, 2001:db8:2::1/64 --- b0 198.51.100.2/24, 2001:db8:2::2/64
     inner 10.1.0.1, fd00:1::1                  inner 10.2.0.1, fd00:2::1
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 120
# DEBUG-TIER: short

import random
import socket
import struct
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import (DUMMY, IPIP, IPV6, Esp, UDP_SEGMENT, check, equal, inner, ip4, ip6, moved, n,
                   netns, read_all, received, run, send, sender, settle, udp)

rng = random.Random(4303)
LONGEST = 80
DST = {4: "198.51.100.2", 6: "2001:db8:2::2"}


def counted(description, expected, action):
    """What action() sends is counted exactly so, and nothing else is."""
    before = settle("b")
    action()
    expected = {reason: count for reason, count in expected.items() if count}
    total = sum(expected.values())

    def now():
        got = received(before, forge.stats("b"))
        return got if sum(got.values()) >= total else None
    forge.wait_for(5, now)
    equal(description, received(before, settle("b")), expected)


def tally(pairs):
    result = {}
    for reason in pairs:
        result[reason] = result.get(reason, 0) + 1
    return result


# --------------------------------------------------- every length, every SPI

def reason_for(data, sas):
    """RFC 3948 section 2 and RFC 4303 section 3.4, without keys."""
    size = len(data)
    if size == 1 and data == b"\xff":
        return "rx-keepalive"
    if size < 4:
        return "rx-short"
    spi, = struct.unpack("!I", data[:4])
    if spi == 0:
        return "rx-ike-unowned"
    if spi < 256:
        return "rx-spi-reserved"
    if spi not in sas:
        return "rx-spi-unknown"
    esp = sas[spi]
    if size < esp.min_len():
        return "rx-short"
    if (size - 8 - esp.iv_len - esp.icv) % max(esp.block, 4):
        return "rx-align"
    return "rx-auth"


def short_lengths(sas, family):
    sock = sender("a", DST[family])
    fills = {"zeros": bytes(LONGEST), "ones": b"\xff" * LONGEST,
             "random octets": rng.randbytes(LONGEST)}
    kinds = {"SPI 0": [0], "SPI 1 to 255": [1, 2, 127, 254, 255],
             "an unknown SPI": [256, 0x01000000, 0xffffffff]}
    kinds.update({f"the SPI of a live SA ({esp.enc})": [spi] for spi, esp in sas.items()})
    for fill, body in fills.items():
        datagrams = [body[:size] for size in range(4)]
        counted(f"IPv{family}: {fill} of 0 to 3 octets are counted by reason",
                tally(reason_for(data, sas) for data in datagrams),
                lambda: [send(sock, data) for data in datagrams])
    for kind, spis in kinds.items():
        for fill, body in fills.items():
            # sequence number 1 passes the replay check, 0 never does
            datagrams = [(struct.pack("!II", spi, 1) + body)[:size]
                         for spi in spis for size in range(4, LONGEST + 1)]
            counted(f"IPv{family}: {kind} with {fill}, each length from 4 to {LONGEST}",
                    tally(reason_for(data, sas) for data in datagrams),
                    lambda: [send(sock, data) for data in datagrams])
    datagrams = [struct.pack("!II", spi, 1) + bytes(32) for spi in range(1, 256)]
    counted(f"IPv{family}: each of the SPIs 1 to 255 is refused as reserved",
            {"rx-spi-reserved": 255}, lambda: [send(sock, data) for data in datagrams])


# -------------------------------------------- authenticated, and still lying

def lies(esp, sock):
    good = inner(b"x" * 20)
    good6 = inner(b"x" * 20, v6=True)
    room = b"y" * 30
    cases = [
        ("pad length one beyond the payload", "rx-pad", esp.seal(b"", plain=bytes(2) + b"\x03\x04")),
        ("pad length 255 on a short payload", "rx-pad",
         esp.seal(b"", plain=good + bytes(-(len(good) + 2) % 4) + bytes((255, IPIP)))),
        ("padding that is not 1, 2, 3", "rx-pad", esp.seal(good, pad=b"\1\2\4\4\5\6")),
        ("the last padding octet wrong", "rx-pad",
         esp.seal(good, pad=bytes(range(1, 4 + -(len(good) + 2) % 4)) + b"\0")),
        ("nothing but padding, next header IPv4", "rx-inner", esp.seal(b"")),
        ("nothing but padding, next header IPv6", "rx-inner", esp.seal(b"", IPV6)),
        ("a dummy packet", "rx-dummy", esp.seal(b"", DUMMY)),
        ("a dummy packet with something in it", "rx-dummy", esp.seal(room, DUMMY)),
        ("next header ESP", "rx-next-header", esp.seal(good, 50)),
        ("next header UDP", "rx-next-header", esp.seal(good[20:], 17)),
        ("next header 0", "rx-next-header", esp.seal(good, 0)),
        ("next header 255", "rx-next-header", esp.seal(good, 255)),
        ("an IPv6 packet that calls itself IPv4", "rx-inner", esp.seal(good6, IPIP)),
        ("an IPv4 packet that calls itself IPv6", "rx-inner", esp.seal(good, IPV6)),
        ("version 0", "rx-inner", esp.seal(b"\x05" + good[1:])),
        ("version 15", "rx-inner", esp.seal(b"\xf5" + good[1:])),
        ("IPv4 header length 4", "rx-inner", esp.seal(b"\x44" + good[1:])),
        ("IPv4 header length 0", "rx-inner", esp.seal(b"\x40" + good[1:])),
        ("IPv4 header longer than the packet", "rx-inner",
         esp.seal(b"\x4f" + good[1:])),
        ("IPv4 total length beyond the payload", "rx-inner",
         esp.seal(ip4("10.1.0.1", "10.2.0.1", 17, good[20:], length=len(good) + 1))),
        ("IPv4 total length 65535", "rx-inner",
         esp.seal(ip4("10.1.0.1", "10.2.0.1", 17, good[20:], length=65535))),
        ("IPv4 total length below its header", "rx-inner",
         esp.seal(ip4("10.1.0.1", "10.2.0.1", 17, good[20:], length=19))),
        ("IPv4 total length 0", "rx-inner",
         esp.seal(ip4("10.1.0.1", "10.2.0.1", 17, good[20:], length=0))),
        ("IPv6 payload length beyond the payload", "rx-inner",
         esp.seal(ip6("fd00:1::1", "fd00:2::1", 17, good6[40:], length=29), IPV6)),
        ("IPv6 payload length 65535", "rx-inner",
         esp.seal(ip6("fd00:1::1", "fd00:2::1", 17, good6[40:], length=65535), IPV6)),
        ("IPv6 extension header beyond the payload", "rx-inner",
         esp.seal(ip6("fd00:1::1", "fd00:2::1", 60, b"\x11\xff" + bytes(6)), IPV6)),
        ("IPv6 extension headers without end", "rx-inner",
         esp.seal(ip6("fd00:1::1", "fd00:2::1", 60, b"\x3c\0\1\4\0\0\0\0" * 40), IPV6)),
        ("TCP of 19 octets", "rx-csum", esp.seal(ip4("10.1.0.1", "10.2.0.1", 6, bytes(19)))),
        ("TCP with a wrong checksum", "rx-csum",
         esp.seal(forge.tcp("10.1.0.1", "10.2.0.1", 1, 2, wrong=True))),
        ("TCP over IPv6 with a wrong checksum", "rx-csum",
         esp.seal(forge.tcp("fd00:1::1", "fd00:2::1", 1, 2, wrong=True), IPV6)),
        ("a source outside the selectors", "rx-selector",
         esp.seal(udp("10.1.1.1", "10.2.0.1", 1, 2, b""))),
        ("a destination outside the selectors", "rx-selector",
         esp.seal(udp("10.1.0.1", "10.2.1.1", 1, 2, b""))),
    ]
    for size in range(1, 20):
        cases.append((f"the first {size} octets of an IPv4 header", "rx-inner",
                      esp.seal(good[:size])))
    for size in range(1, 40, 1 if forge.FULL else 3):
        cases.append((f"the first {size} octets of an IPv6 header", "rx-inner",
                      esp.seal(good6[:size], IPV6)))
    for description, reason, data in cases:
        counted(f"{description} is {reason}", {reason: 1}, lambda: send(sock, data))
    replay = esp.seal(good)
    counted("the same with nothing wrong is delivered", {"rx-packets": 1},
            lambda: send(sock, replay))


def padding(esp, sock, out):
    """Every pad length that RFC 4303 allows, and TFC padding, are trimmed."""
    read_all(out)
    lengths = [size for size in range(256) if (size + 2 + len(inner(b"pad"))) % 4 == 0]
    for size in lengths:
        send(sock, esp.seal(inner(b"pad"), pad=bytes(range(1, size + 1))))
    equal(f"padding of each of {len(lengths)} lengths up to 255 is taken off",
          read_all(out, 5, len(lengths)), [b"pad"] * len(lengths))
    sizes = (1, 2, 3, 4, 15, 100, 1200)
    for size in sizes:
        send(sock, esp.seal(inner(b"tfc") + forge.os.urandom(size)))
    equal("traffic flow confidentiality padding is taken off", read_all(out, 5, len(sizes)),
          [b"tfc"] * len(sizes))


def cut(sas, sock):
    for esp in sas:
        for what, cuts in ("cut at its end", [slice(0, -size) for size in range(1, 40)]), \
                          ("with its first octets gone", [slice(size, None) for size in (4, 8)]):
            datagrams = [esp.seal(inner(b"c" * 30))[part] for part in cuts]
            known = {esp.spi: esp}
            counted(f"a valid packet ({esp.enc}) {what}, in every way, is refused",
                    tally(reason_for(data, known) for data in datagrams),
                    lambda: [send(sock, data) for data in datagrams])
        data = esp.seal(inner(b"b" * 30))
        flipped = [data[:i] + bytes((data[i] ^ 1 << i % 8,)) + data[i + 1:]
                   for i in range(8, len(data))]
        counted(f"one bit wrong anywhere behind the header ({esp.enc}) fails authentication",
                {"rx-auth": len(flipped)}, lambda: [send(sock, data) for data in flipped])


# ------------------------------------------------------ UDP against IP length

def raw_udp(payload, length=None, checksum=0, sport=5555, dport=4500):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload) if length is None else length,
                       checksum) + payload


def raw_sender():
    with netns("a"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    return lambda *args, **kwargs: sock.sendto(
        ip4("198.51.100.1", DST[4], 17, raw_udp(*args, **kwargs)), (DST[4], 0))


def udp_lengths(esp, out):
    raw = raw_sender()
    read_all(out)
    data = esp.seal(inner(b"behind"))
    counted("what follows the UDP length in the IP packet is no part of the ESP packet",
            {"rx-packets": 1}, lambda: raw(data + b"z" * 40, length=8 + len(data)))
    equal("and it is delivered as it was sealed", read_all(out, 2, 1), [b"behind"])
    data = esp.seal(inner(b"shorter"))
    counted("a UDP length that cuts the ICV fails authentication", {"rx-auth": 1},
            lambda: raw(data, length=8 + len(data) - 4))
    counted("a UDP length beyond the IP packet never gets as far as the module", {},
            lambda: raw(data, length=8 + len(data) + 1))
    counted("nor does a UDP length below its header", {}, lambda: raw(data, length=7))


# ------------------------------------------------------------- large and odd

def transfer(description, out, payloads, put):
    """put(payload) each; exactly these come out, in this order."""
    read_all(out)
    before = settle("b")
    for payload in payloads:
        put(payload)
    got = read_all(out, 10, len(payloads))
    why = moved(before, settle("b"))
    sizes = [len(data) for data in got]
    check(description, got == list(payloads),
          f"{len(got)} of {len(payloads)} came, of octets {sizes[:20]}; counted {why}")


def large(esps, outs):
    sizes = {4: 65507 - 28 - 28, 6: 65527 - 48 - 28}    # less inner headers, ESP
    for family, limit in sizes.items():
        sock = sender("a", DST[family])
        zero = sender("a", DST[family], zero_csum=True)
        for esp in esps:
            over = {"null": 4, "aes-gcm": 12, "aes-cbc": 36}[esp.enc]
            for v6 in False, True:
                top = limit - over - (20 if v6 and family == 4 else 0)
                some = [1, 1300, 1400, 1471, 1472, 1473, 2048, 9000, 32768, 65000, top]
                some = [size for size in some if size <= top]
                payloads = [rng.randbytes(size) for size in some]
                for which, via in ("full", sock), ("zero", zero):
                    if which == "zero" and family == 6:
                        continue
                    transfer(f"IPv{family} fragments, {which} UDP checksum, {esp.enc}, "
                             f"IPv{6 if v6 else 4} inside: up to {some[-1]} octets",
                             outs[v6], payloads,
                             lambda data: send(via, esp.seal(inner(data, v6=v6),
                                                             IPV6 if v6 else IPIP)))


def small_fragments(esp, out):
    """Outer fragments so small that the headers are spread over several."""
    with netns("a"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ident = [100]

    def put(data, step, order=1):
        ident[0] += 1
        datagram = raw_udp(esp.seal(inner(data)))
        parts = [(at, datagram[at:at + step]) for at in range(0, len(datagram), step)]
        for at, part in parts[::order]:
            more = 0x2000 if at + step < len(datagram) else 0
            sock.sendto(ip4("198.51.100.1", DST[4], 17, part, ident=ident[0],
                            frag=more | at // 8), (DST[4], 0))
    for step in 8, 16, 24, 64:
        transfer(f"a datagram in outer fragments of {step} octets", out, [b"f" * 90, b"g" * 91],
                 lambda data: put(data, step))
        transfer(f"the same, the last fragment first ({step})", out, [b"f" * 90, b"g" * 91],
                 lambda data: put(data, step, -1))


def gso(esp, other, out):
    for where, name, dst in ("veth", "a", DST[4]), ("loopback", "b", "127.0.0.1"), \
                            ("IPv6", "a", DST[6]):
        sock = sender(name, dst)
        for size, number, last in (1400, 40, 1400), (1400, 17, 100), (100, 60, 40), (301, 5, 301):
            payloads = [bytes((i,)) * (size - 60) for i in range(number - 1)] + \
                [b"l" * (last - 60)]
            segments = [esp.seal(inner(data)) for data in payloads]
            length = len(segments[0])
            assert all(len(segment) == length for segment in segments[:-1])
            read_all(out)
            sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, length)
            send(sock, b"".join(segments))
            equal(f"{where}: a UDP-GSO packet of {number} ESP packets of {length}, the last of "
                  f"{len(segments[-1])} octets, is taken apart rightly",
                  read_all(out, 5, number), payloads)
        good = [esp.seal(inner(b"%04d" % i + b"m" * 200)) for i in range(4)]
        length = len(good[0])
        mixed = [good[0], bytes(length), good[1], struct.pack("!II", 7, 1) + bytes(length - 8),
                 other.seal(inner(b"o" * 196)), good[2],
                 struct.pack("!II", 0xdeadbeef, 1) + bytes(length - 8),
                 struct.pack("!II", esp.spi, 5) + bytes(length - 8), good[3], b"\xff"]
        assert all(len(segment) == length for segment in mixed[:-1])
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, length)
        counted(f"{where}: in a UDP-GSO packet each segment is judged by itself",
                {"rx-packets": 5, "rx-ike-unowned": 1, "rx-spi-reserved": 1, "rx-spi-unknown": 1,
                 "rx-auth": 1, "rx-keepalive": 1}, lambda: send(sock, b"".join(mixed)))
        read_all(out)


def vlan(esp, out):
    run("ip", "-n", "a", "link", "add", "link", "a0", "name", "v0", "type", "vlan", "id", "100")
    run("ip", "-n", "b", "link", "add", "link", "b0", "name", "v0", "type", "vlan", "id", "100")
    for name, host in ("a", 1), ("b", 2):
        run("ip", "-n", name, "addr", "add", f"198.51.101.{host}/24", "dev", "v0")
        run("ip", "-n", name, "link", "set", "v0", "up")
    for offload in "on", "off":
        n("a", "ethtool", "-K", "a0", "txvlan", offload)
        n("b", "ethtool", "-K", "b0", "rxvlan", offload)
        for zero in False, True:
            sock = sender("a", "198.51.101.2", zero_csum=zero)
            transfer(f"over a VLAN, its offload {offload}, UDP checksum "
                     f"{'zero' if zero else 'full'}: small, large and fragmented", out,
                     [rng.randbytes(size) for size in (0, 1, 100, 1380, 1500, 20000)],
                     lambda data: send(sock, esp.seal(inner(data))))


def checksums(esp, out):
    payloads = [rng.randbytes(size) for size in (0, 1, 2, 3, 64, 1001, 1399)]
    sock = sender("a", DST[4])
    zero = sender("a", DST[4], zero_csum=True)
    transfer("unfinished checksums over veth are accepted", out, payloads,
             lambda data: send(sock, esp.seal(inner(data))))
    n("a", "ethtool", "-K", "a0", "tx", "off")
    transfer("full checksums are accepted", out, payloads,
             lambda data: send(sock, esp.seal(inner(data))))
    n("b", "ethtool", "-K", "b0", "rx", "off")
    transfer("full checksums are accepted when the receiver verifies them itself", out, payloads,
             lambda data: send(sock, esp.seal(inner(data))))
    transfer("zero checksums are accepted", out, payloads,
             lambda data: send(zero, esp.seal(inner(data))))
    raw = raw_sender()
    counted("a datagram with a wrong UDP checksum does not reach the module", {},
            lambda: raw(esp.seal(inner(b"wrong")), checksum=0x1234))
    n("a", "ethtool", "-K", "a0", "tx", "on")
    n("b", "ethtool", "-K", "b0", "rx", "on")


def odd_offsets(esp, out):
    sock = sender("a", DST[4])
    for size in range(4, 41, 4 if forge.FULL else 12):
        sock.setsockopt(socket.IPPROTO_IP, 4, b"\1" * size)     # IP_OPTIONS: no-operation
        transfer(f"behind {size} octets of IPv4 options", out,
                 [b"odd" * 10, rng.randbytes(3000)], lambda data: send(sock, esp.seal(inner(data))))
    sock = sender("a", DST[6])
    for size in 8, 16, 40, 264:
        # options that are skipped when unknown (their type's upper bits are 0)
        rest, room = b"", size - 2
        while room:
            part = min(room - 2, 120)
            rest += bytes((0x1e, part)) + bytes(part)
            room -= part + 2
        option = b"\0" + bytes((size // 8 - 1,)) + rest
        sock.setsockopt(socket.IPPROTO_IPV6, 59, option)        # IPV6_DSTOPTS
        transfer(f"behind {size} octets of IPv6 destination options", out,
                 [b"odd" * 10, rng.randbytes(3000)], lambda data: send(sock, esp.seal(inner(data))))


def main():
    forge.load_module()
    forge.topo_direct()
    plain = Esp(0x1000)
    cbc = Esp(0x1001, "aes-cbc", "sha1")
    gcm = Esp(0x1002, "aes-gcm")
    forge.gateway(plain, "replay-window", 0)
    for esp in cbc, gcm:
        forge.sa_add("b", "espudp0", 1, "in", esp, "replay-window", 0)
    sas = {esp.spi: esp for esp in (plain, cbc, gcm)}
    outs = {False: forge.receiver("b", forge.INNER_B, 9999),
            True: forge.receiver("b", forge.INNER6_B, 9999)}

    for family in 4, 6:
        short_lengths(sas, family)
    sock = sender("a", DST[4])
    lies(plain, sock)
    padding(plain, sock, outs[False])
    cut((plain, cbc, gcm), sock)
    udp_lengths(plain, outs[False])
    large((plain, gcm) if not forge.FULL else (plain, cbc, gcm), outs)
    small_fragments(plain, outs[False])
    gso(plain, gcm, outs[False])
    vlan(plain, outs[False])
    checksums(plain, outs[False])
    odd_offsets(plain, outs[False])
    tool = {reason: count for reason, count in forge.tool_stats("b")["drop"].items() if count}
    equal("`espudp stats --json' names every drop", tool, forge.drops("b"))
    forge.end()


main()
