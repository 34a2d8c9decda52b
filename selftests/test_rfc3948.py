#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""RFC 3948: UDP encapsulation of ESP, each rule with a packet that keeps it
and one that does not."""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 150

import os
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import (A, B, IN_A, IN_B, SLOW, Monitor, Opened, Outer, Site, back, both, is_esp,
                         ports, raw_sender, sa, version)
from forge import UDP_ENCAP, UDP_GRO, UDP_SEGMENT, Esp, check, equal, n, netns, read_all

MARKER = bytes(4)
site = Site()
esp_in, esp_out = Esp(0x1000), Esp(0x2000)
site.peer_add(1, *both(4), "selector", *both(6), keepalive="off")
site.sa_add(1, "in", esp_in)
site.sa_add(1, "out", esp_out)


def udp_raw(payload, csum):
    """An outer datagram whose checksum is right, zero, or wrong."""
    whole = forge.udp(A[4], B[4], 4500, 4500, payload)
    if csum == "zero":
        value = b"\0\0"
    else:
        value = whole[26:28]
        if csum == "wrong":
            value = bytes([value[0] ^ 0x55, value[1]])
    return whole[:26] + value + whole[28:]


# ------------------------------------------------------------------- 2.1

def header():
    data = back(b"outbound")
    sent = site.send(data)
    check("2.1: outbound, both UDP ports are those that IKE uses",
          [(one.sport, one.dport) for one in sent] == [(4500, 4500)])
    check("2.1: the SPI is not zero", sent and Opened(esp_out, sent[0].payload).spi == 0x2000)
    for direction in "in", "out":
        words = ("sa", "add", "espudp0", 1, direction, "spi", 0, "enc", esp_in.enc,
                 *esp_in.tool_words())
        check(f"2.1: SPI 0 is refused for an {direction}bound SA",
              site.refused(*words, stdin=esp_in.tool_keys()))
    check("2.1: a reserved SPI is never zero",
          int(site.tool("sa", "reserve", "espudp0").strip(), 0) > 255)
    check("2.1: nor can zero be asked for",
          site.refused("sa", "reserve", "espudp0", "min", 0, "max", 0))

    raw = raw_sender("a", B[4])
    site.counted()
    for csum in "zero", "right":
        inner = ports(csum.encode())
        site.inbound(f"2.1: a datagram whose UDP checksum is {csum} is taken",
                     [udp_raw(esp_in.seal(inner), csum)], [inner], sock=raw)
    site.inbound("2.1: one whose UDP checksum is wrong is not",
                 [udp_raw(esp_in.seal(ports(b"wrong")), "wrong")], [], sock=raw)
    raw.close()

    site.tool("set", "espudp0", "outer-csum", "zero")
    sent = site.send(data)
    equal("2.1: with outer-csum zero the UDP checksum over IPv4 is zero",
          [one.csum for one in sent], [0])
    site.tool("set", "espudp0", "outer-csum", "full")
    sent = site.send(data)
    check("2.1: with outer-csum full it is there and right",
          len(sent) == 1 and sent[0].csum and sent[0].csum_right())
    site.tool("set", "espudp0", "outer-csum", "auto")
    sent = site.send(data)
    equal("2.1: with auto it is zero where the device takes no checksums to do",
          [one.csum for one in sent], [0])
    forge.n("b", "ethtool", "-K", "b0", "tx", "on", "tx-udp-segmentation", "on")
    sent = site.send(data)
    check("2.1: and not zero where it does, a deviation that is documented",
          len(sent) == 1 and sent[0].csum)
    forge.n("b", "ethtool", "-K", "b0", "tx", "off")
    site.tool("peer", "set", "espudp0", 1, "local", B[6], "remote", f"[{A[6]}]:4500", "routes",
              "none")
    sent = site.send(data)
    check("2.1: over IPv6 the checksum is always there and right",
          len(sent) == 1 and sent[0].version == 6 and sent[0].csum and sent[0].csum_right())
    site.tool("peer", "set", "espudp0", 1, "local", B[4], "remote", f"{A[4]}:4500", "routes",
              "none")


def translated():
    nat = forge.sender("a", B[4], src=A[4], sport=23456)
    inner = ports(b"through a NAT")
    site.inbound("2.1: a source port that a NAT translated is taken", [esp_in.seal(inner)],
                 [inner], sock=nat)
    sent = site.send(back(b"answer"))
    equal("2.1: with roaming off, answers go to the port that was set",
          [one.dport for one in sent], [4500])
    site.tool("peer", "set", "espudp0", 1, "roaming", "port", "routes", "none")
    site.receive(esp_in.seal(inner), sock=nat)
    sent = site.send(back(b"answer"))
    equal("2.1: with roaming, to the translated one", [one.dport for one in sent], [23456])
    site.receive(esp_in.seal(inner))
    site.tool("peer", "set", "espudp0", 1, "roaming", "off", "routes", "none")


def where():
    return site.show(1)["remote-port"]


def moves():
    """Whose packets say where the peer is, and who is told."""
    site.tool("peer", "set", "espudp0", 1, "roaming", "address", "routes", "none")
    older, newer = sa(spi=0x1801), sa(spi=0x1802)
    places = [forge.sender("a", B[4], src=A[4], sport=port) for port in (1001, 1002, 1003)]
    inner = ports(b"from elsewhere")
    site.receive(newer.seal(inner), sock=places[0])
    equal("2.1: the newest SA's packets move the peer", where(), 1001)
    site.receive(older.seal(inner), sock=places[1])
    equal("2.1: those of an older one do not", where(), 1001)
    n("b", "espudp", "sa", "del", "espudp0", "in", "spi", newer.spi)
    site.receive(older.seal(inner), sock=places[1])
    equal("2.1: but do when the newer one is gone", where(), 1002)
    time.sleep(2.2)     # that was told, too
    events = Monitor()
    for place in (0, 1, 2, 0, 2):
        forge.send(places[place], older.seal(inner))
    check("2.1: the last of several changes within a second is told, after it",
          forge.wait_for(5 * SLOW, lambda: [event["remote-port"] for event in
                                            events.events("mapping")][-1:] == [1003]) and
          2 <= len(events.events("mapping")) <= 3, events.events())
    for place in (0, 1, 2):
        forge.send(places[place], older.seal(inner))
    time.sleep(2)
    told = [event["remote-port"] for event in events.events("mapping")]
    equal("2.1: where it is, is what was told last", told[-1], where())
    events.stop()
    n("b", "espudp", "sa", "del", "espudp0", "in", "spi", older.spi)
    site.receive(esp_in.seal(inner))
    site.tool("peer", "set", "espudp0", 1, "roaming", "off", "routes", "none", "remote",
              f"{A[4]}:4500")
    site.counted()


# ------------------------------------------------------------------- 2.2

def unowned():
    site.counted()
    site.inbound("2.2: with nobody to have it, an IKE datagram is counted and dropped",
                 [MARKER + b"IKE"], [], {"rx-ike-unowned": 1})


def adopt(marker, family=socket.AF_INET):
    with netns("b"):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 4500))
        sock.setblocking(False)
        forge.run("espudp", "socket", "adopt", "espudp0", "fd", sock.fileno(), "marker", marker,
                  pass_fds=[sock.fileno()])
    return sock


def demultiplex(marker):
    site.tool("socket", "close", "espudp0")
    owner = adopt(marker)
    what = f"2.2: marker {marker}"
    ike = [struct.pack("!Q", number) + os.urandom(size)
           for number, size in enumerate((0, 20, 28, 28, 28, 500, 1400))]
    seen = [data if marker == "strip" else MARKER + data for data in ike]
    site.counted()
    inner = ports(b"ESP")
    site.inbound(f"{what}: ESP is decrypted", [MARKER + ike[0], esp_in.seal(inner),
                                              *(MARKER + data for data in ike[1:])], [inner],
                 {"rx-ike": len(ike)})
    equal(f"{what}: IKE datagrams come to the owner byte for byte, in order, ESP does not",
          read_all(owner, 2, len(ike)), seen)
    site.inbound(f"{what}: a datagram of nothing but the marker is IKE's", [MARKER], [],
                 {"rx-ike": 1})
    equal(f"{what}: and is handed over", read_all(owner, 2, 1),
          [b"" if marker == "strip" else MARKER])
    site.inbound(f"{what}: one of three zero octets is not", [bytes(3)], [], {"rx-short": 1})
    site.inbound(f"{what}: nor is a marker with one bit set", [b"\0\0\1\0" + ike[1]], [],
                 {"rx-spi-unknown": 1})
    site.inbound(f"{what}: a keepalive is swallowed", [b"\xff"], [], {"rx-keepalive": 1})
    equal(f"{what}: the owner sees none of these", read_all(owner), [])

    owner.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    piece = 100
    data = [MARKER + bytes([number]) * (piece - 4) for number in range(8)]
    burst = forge.sender("a", B[4], src=A[4], sport=4500)
    burst.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, piece)
    site.receive(b"".join(data), sock=burst)
    equal(f"{what}: IKE datagrams of equal size are never merged, even if the owner asks for it",
          read_all(owner, 2, len(data)), [one[4:] if marker == "strip" else one for one in data])
    owner.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 0)
    burst.close()

    reply = MARKER + b"reply"
    site.wire.packets()
    owner.sendto(reply, (A[4], 4500))
    got = [Outer(one).payload for one in site.wire.packets(2, lambda packets: len(packets) > 0)]
    equal(f"{what}: what the owner sends leaves as it was sent", got, [reply])
    sent = site.send(back(b"both"))
    equal(f"{what}: ESP leaves from the port of IKE", [one.sport for one in sent], [4500])
    site.tool("socket", "close", "espudp0")
    forge.send(site.out[4], MARKER + b"after")
    equal(f"{what}: a socket that was given back gets the marker again",
          read_all(owner, 2, 1), [MARKER + b"after"])
    owner.close()
    site.tool("socket", "open", "espudp0")
    site.counted()


# --------------------------------------------------------------- 2.3 and 4

def keepalive_in():
    before = site.show(1)
    site.inbound("2.3: a keepalive is swallowed and counted", [b"\xff"], [], {"rx-keepalive": 1})
    site.inbound("2.3: over IPv6 as well", [b"\xff"], [], {"rx-keepalive": 1}, family=6)
    for data in b"\xfe", b"\0", b"\xff\xff", b"\xff\xff\xff", b"":
        site.inbound(f"2.3: {data.hex() or 'nothing'} is not a keepalive", [data], [],
                     {"rx-short": 1})
    after = site.show(1)
    check("4: a keepalive is no sign of life", after["last-rx"] > before["last-rx"],
          before, after)
    equal("4: and moves no endpoint", after["remote"], before["remote"])
    # an octet 0xff in front of ESP is an SPI
    site.inbound("2.3: a datagram that begins with 0xff may be ESP", [b"\xff" * 40], [],
                 {"rx-spi-unknown": 1})


def quiet(packets):
    """Keepalives among outer packets."""
    return [Outer(one) for one in packets
            if Outer(one).proto == 17 and len(Outer(one).payload) == 1]


def keepalive_out():
    site.wire.packets()
    time.sleep(2.5)
    equal("4: a peer without keepalives gets none", quiet(site.wire.packets()), [])

    site.tool("peer", "set", "espudp0", 1, "keepalive", 1, "routes", "none")
    got = quiet(site.wire.packets(10, lambda packets: len(quiet(packets)) >= 2))
    check("4: an idle peer gets one each interval", len(got) >= 2)
    check("2.3: it is one octet 0xff between the ports of IKE", got and all(
        one.payload == b"\xff" and (one.sport, one.dport) == (4500, 4500) and
        (one.src, one.dst) == (B[4], A[4]) for one in got))
    check("2.3: and counted", site.counted().get("tx-keepalive", 0) >= 2)

    # the interval is far above what a slow machine takes for a round
    every = 3 * SLOW
    site.tool("peer", "set", "espudp0", 1, "keepalive", every, "routes", "none")
    site.wire.packets()
    seen = []
    end = time.monotonic() + 2.5 * every
    while time.monotonic() < end:
        site.tap.inject(back(b"busy"))
        time.sleep(every / 10)
        seen += site.wire.packets()
    check("4: none is sent while other packets are", not quiet(seen) and
          sum(1 for one in seen if is_esp(one)) > 15, len(quiet(seen)), len(seen))
    got = quiet(site.wire.packets(2 * every, lambda packets: len(quiet(packets)) >= 1))
    check("4: but once they end", got)
    site.tool("peer", "set", "espudp0", 1, "keepalive", "off", "routes", "none")
    site.counted()

    equal("4: the default where our end is behind a NAT is 20 seconds",
          _keepalive_of(11, nat_local="yes"), 20)
    equal("4: and none where it is not", _keepalive_of(12, nat_local="no"), 0)
    equal("4: what is asked for wins", _keepalive_of(13, nat_local="yes", keepalive=7), 7)


def _keepalive_of(ident, **settings):
    site.peer_add(ident, **settings)
    return site.show(ident).get("keepalive", 0)


# ----------------------------------------------------------------- 3.1.1, 3.1.2

def inner_source():
    inside = ports(b"inside")
    site.inbound("3.1.1: an inner source within the peer's policy is delivered",
                 [esp_in.seal(inside)], [inside])
    for src, dst, what in (("10.3.0.1", IN_B[4], "source outside"),
                           (IN_A[4], "10.3.0.1", "destination outside"),
                           (IN_B[4], IN_A[4], "packet the wrong way round"),
                           (B[4], IN_B[4], "source that is our own address")):
        site.inbound(f"3.1.1: a {what} it is dropped",
                     [esp_in.seal(ports(b"outside", src=src, dst=dst))], [], {"rx-selector": 1})
    inside = forge.udp(IN_A[6], IN_B[6], 1, 2, b"inside")
    site.inbound("3.1.1: likewise IPv6: within", [esp_in.seal(inside, forge.IPV6)], [inside])
    site.inbound("3.1.1: likewise IPv6: outside",
                 [esp_in.seal(forge.udp("fd00:3::1", IN_B[6], 1, 2, b""), forge.IPV6)], [],
                 {"rx-selector": 1})


def tcp_checksum():
    for family in 4, 6:
        kind = forge.IPIP if family == 4 else forge.IPV6
        for size in 0, 1, 2, 999:
            good = forge.tcp(IN_A[family], IN_B[family], 1, 2, bytes(size))
            bad = forge.tcp(IN_A[family], IN_B[family], 1, 2, bytes(size), wrong=True)
            site.inbound(f"3.1.2: TCP over IPv{family} with {size} octets and a right checksum is "
                         "delivered", [esp_in.seal(good, kind)], [good])
            site.inbound(f"3.1.2: TCP over IPv{family} with {size} octets and a wrong checksum is "
                         "dropped and counted", [esp_in.seal(bad, kind)], [], {"rx-csum": 1})
    odd = ports(b"x")
    odd = odd[:-1] + b"y"
    site.inbound("3.1.2: UDP checksums are the receiver's to verify", [esp_in.seal(odd)], [odd])


# ------------------------------------------------------------------- 5.1

def same_inner_address():
    words = ("peer", "add", "espudp0", "id", 21, "remote", "198.51.100.77:4500", "routes", "none",
             "selector")
    host = ("local", "10.2.0.0/16", "remote", "10.1.0.9/32")
    check("5.1: a peer with an inner address of its own", not site.refused(*words, *host))
    words = ("peer", "add", "espudp0", "id", 22, "remote", "198.51.100.78:4500", "routes", "none",
             "selector")
    said = site.refused(*words, *host)
    check("5.1: a second peer with the same inner address is refused", said)
    check("5.1: in words that name the other one", "21" in said, said)
    check("5.1: and was not made", site.show(22) is None)
    check("5.1: with another address it is not refused",
          not site.refused(*words, "local", "10.2.0.0/16", "remote", "10.1.0.10/32"))
    check("5.1: nor can it get the address later",
          site.refused("peer", "set", "espudp0", 22, "routes", "none", "selector", *host))
    words = ("peer", "add", "espudp0", "id", 23, "remote", "198.51.100.79:4500", "routes", "none",
             "selector", *host, "prio", 5)
    check("5.1: with another priority it is taken", not site.refused(*words))
    winner, loser = Esp(0x3001), Esp(0x3002)
    site.sa_add(21, "out", winner)
    site.sa_add(23, "out", loser)
    mine = back(b"whose", dst="10.1.0.9")
    forge.run("ip", "-n", "b", "neigh", "replace", "198.51.100.77", "lladdr", "02:00:00:00:00:77",
              "dev", "b0")
    sent = [one for one in site.send(mine) if version(one.packet) == 4]
    equal("5.1: the one of lower priority receives nothing",
          [(one.dst, one.payload[:4]) for one in sent],
          [("198.51.100.77", struct.pack("!I", 0x3001))])


header()
translated()
moves()
unowned()
demultiplex("strip")
demultiplex("keep")
keepalive_in()
keepalive_out()
inner_source()
tcp_checksum()
same_inner_address()
forge.end()
