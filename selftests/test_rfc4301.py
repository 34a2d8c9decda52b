#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""RFC 4301 section 5: which packets are protected, and by whose SA (5.1), and
which may come out of an SA (5.2)."""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 150

import errno
import socket
import struct
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import IN_A, IN_B, SLOW, Opened, Site, version
from forge import IPIP, IPV6, Esp, check, equal, netns

TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
MF = 0x2000
site = Site()


class Peer:
    """A peer with an SA each way. Its selectors are of the lists below."""

    last = 0x100

    def __init__(self, *selectors, **settings):
        Peer.last += 1
        self.ident = Peer.last
        site.peer_add(self.ident, **settings)
        self.esp_in = Esp(0x10000 + self.ident)
        self.esp_out = Esp(0x20000 + self.ident)
        site.sa_add(self.ident, "in", self.esp_in)
        site.sa_add(self.ident, "out", self.esp_out)
        self.refused = self.select(*selectors)

    def select(self, *selectors):
        words = [word for selector in selectors for word in ["selector", *selector.split()]]
        return site.refused("peer", "set", "espudp0", self.ident, "routes", "none",
                            *(words or ["no-selectors"]))

    def takes(self, what, *packets):
        """Packets from b's side go out in this peer's SA, their answers come in."""
        site.outbound(f"5.1: {what}: protected", self.esp_out, packets)
        answers = [turned(packet) for packet in packets]
        site.inbound(f"5.2: {what}: accepted", [self.seal(packet) for packet in answers], answers)

    def leaves(self, what, *packets):
        """Nobody's SA takes the packets; their answers are refused."""
        site.outbound(f"5.1: {what}: discarded and counted", self.esp_out, packets, [],
                      {"tx-no-selector": len(packets)})
        self.refuses(what, *map(turned, packets))

    def refuses(self, what, *packets):
        site.inbound(f"5.2: {what}: discarded and counted", map(self.seal, packets), [],
                     {"rx-selector": len(packets)})

    def seal(self, packet):
        return self.esp_in.seal(packet, IPIP if version(packet) == 4 else IPV6)


def turned(packet):
    """The same with its ends the other way round; checksums stay right."""
    if version(packet) == 4:
        size = packet[0] % 16 * 4
        head = packet[:12] + packet[16:20] + packet[12:16] + packet[20:size]
        proto, later = packet[9], struct.unpack("!H", packet[6:8])[0] & 0x1fff
    else:
        size = 40
        head = packet[:8] + packet[24:40] + packet[8:24]
        proto, later = packet[6], False
    body = packet[size:]
    if proto in (TCP, UDP, SCTP) and not later and len(body) >= 4:
        body = body[2:4] + body[:2] + body[4:]
    return head + body


def udp(sport=1000, dport=2000, src=IN_B[4], dst=IN_A[4], data=b"data"):
    return forge.udp(src, dst, sport, dport, data)


def udp6(sport=1000, dport=2000, src=IN_B[6], dst=IN_A[6], data=b"data"):
    return forge.udp(src, dst, sport, dport, data)


def tcp(sport=1000, dport=2000, src=IN_B[4], dst=IN_A[4]):
    return forge.tcp(src, dst, sport, dport)


def other(proto, src=IN_B[4], dst=IN_A[4], body=bytes(16)):
    return forge.ip(src, dst, proto, body)


def icmp_error(inside, src=IN_B[4], dst=IN_A[4]):
    body = struct.pack("!BBHI", 3, 3, 0, 0) + inside[:28]
    return forge.ip4(src, dst, ICMP, body[:2] + struct.pack("!H", forge.csum(body)) + body[4:])


def fragments4(packet, size):
    """An IPv4 packet cut into fragments, as a router would."""
    body = packet[20:]
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return [forge.ip4(socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]), packet[9],
                      piece, ident=0x4301,
                      frag=(i * size // 8) | (MF if i + 1 < len(pieces) else 0))
            for i, piece in enumerate(pieces)]


def fragments6(packet, size):
    body, src, dst = packet[40:], *(socket.inet_ntop(socket.AF_INET6, packet[at:at + 16])
                                    for at in (8, 24))
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return [forge.ip6(src, dst, 44, struct.pack(
        "!BBHI", packet[6], 0, i * size | (i + 1 < len(pieces)), 0x4301) + piece)
        for i, piece in enumerate(pieces)]


# ------------------------------------------------------------- addresses

def addresses():
    peer = Peer("local 10.2.0.0/24 remote 10.1.0.0/24")
    peer.takes("prefixes, first and last address",
               udp(src="10.2.0.0", dst="10.1.0.0"), udp(src="10.2.0.255", dst="10.1.0.255"))
    peer.leaves("prefixes, one beyond",
                udp(src="10.2.1.0"), udp(dst="10.1.1.0"), udp(src="10.1.255.255"),
                udp(dst="10.0.255.255"), udp(src=IN_A[4], dst=IN_B[4]))
    peer.leaves("the other family", udp6())
    peer.select("local 10.2.0.5-10.2.0.9 remote 10.1.0.3-10.1.1.4")
    peer.takes("ranges, first, middle and last address",
               udp(src="10.2.0.5", dst="10.1.0.3"), udp(src="10.2.0.7", dst="10.1.0.255"),
               udp(src="10.2.0.9", dst="10.1.1.4"))
    peer.leaves("ranges, one beyond", udp(src="10.2.0.4", dst="10.1.0.3"),
                udp(src="10.2.0.10", dst="10.1.0.3"), udp(src="10.2.0.5", dst="10.1.0.2"),
                udp(src="10.2.0.5", dst="10.1.1.5"))
    peer.select("local fd00:2::/64 remote fd00:1::3-fd00:1::1:4")
    peer.takes("IPv6 prefix and range, the ends", udp6(dst="fd00:1::3"),
               udp6(src="fd00:2::ffff:ffff:ffff:ffff", dst="fd00:1::1:4"))
    peer.leaves("IPv6, one beyond", udp6(dst="fd00:1::2"), udp6(dst="fd00:1::1:5"),
                udp6(src="fd00:2:0:1::", dst="fd00:1::3"))
    peer.select("local 10.2.0.0/16 remote 10.1.0.1/32", "local 10.9.0.0/16 remote 10.8.0.0/16")
    peer.takes("several selectors", udp(), udp(src="10.9.1.1", dst="10.8.1.1"))
    peer.leaves("several selectors are not mixed", udp(dst="10.8.1.1"), udp(src="10.9.1.1"))
    peer.select()
    peer.leaves("a peer without selectors passes nothing", udp())
    return peer


# ----------------------------------------------------------- protocol, ports

def upper_layer(peer):
    hosts = "local 10.2.0.0/16 remote 10.1.0.0/16 "
    hosts6 = "local fd00:2::/32 remote fd00:1::/32 "
    peer.select(hosts + "proto tcp", hosts6 + "proto tcp")
    peer.takes("protocol TCP", tcp(), forge.tcp(IN_B[6], IN_A[6], 1, 2))
    peer.leaves("protocol TCP, others", udp(), udp6(), other(ICMP), other(47))
    peer.select(hosts + "proto 47")
    peer.takes("protocol 47", other(47))
    peer.leaves("protocol 47, others", other(46), tcp())
    peer.select(hosts + "proto udp local-port 1000-1010 remote-port 2000")
    peer.takes("ports, the ends of the range", udp(1000, 2000), udp(1010, 2000))
    peer.leaves("ports, one beyond", udp(999, 2000), udp(1011, 2000), udp(1000, 1999),
                udp(1000, 2001))
    peer.leaves("ports the wrong way round", udp(2000, 1000))
    peer.leaves("ports, another protocol that has some", tcp(1000, 2000),
                other(SCTP, body=struct.pack("!HH", 1000, 2000) + bytes(12)))
    peer.leaves("ports, a protocol that has none", other(ICMP))
    peer.select(hosts6 + "proto udp remote-port 2000")
    peer.takes("ports over IPv6", udp6(1, 2000))
    hop = struct.pack("!BB6x", UDP, 0)
    inside = udp6(1, 2000)[40:]
    site.outbound("5.1: ports behind IPv6 extension headers: protected", peer.esp_out,
                  [forge.ip6(IN_B[6], IN_A[6], 0, struct.pack("!BB6x", 60, 0) + hop + inside)])
    site.outbound("5.1: another port behind them: discarded", peer.esp_out,
                  [forge.ip6(IN_B[6], IN_A[6], 0, struct.pack("!BB6x", 60, 0) + hop +
                             udp6(1, 2001)[40:])], [], {"tx-no-selector": 1})
    peer.select(hosts + "proto icmp", hosts6 + "proto 58")
    peer.takes("ICMP errors, where ICMP is selected", icmp_error(udp()), other(ICMP),
               other(ICMP6, IN_B[6], IN_A[6]))
    peer.select(hosts + "proto udp")
    peer.leaves("ICMP errors about a selected flow, where ICMP is not (section 6)",
                icmp_error(turned(udp())))
    peer.refuses("a packet that claims to be our own address's", turned(udp(dst="10.7.0.1")))


# ----------------------------------------------------------------- fragments

def fragments(peer):
    hosts = "local 10.2.0.0/16 remote 10.1.0.0/16 "
    hosts6 = "local fd00:2::/32 remote fd00:1::/32 "
    whole, whole6 = udp(data=bytes(range(256)) * 3), udp6(data=bytes(range(256)) * 3)
    pieces, pieces6 = fragments4(whole, 304), fragments6(whole6, 304)

    peer.select(hosts, hosts6)
    peer.takes("fragments where no ports are selected pass as they are, IPv4", *pieces)
    site.outbound("5.1: likewise IPv6", peer.esp_out, pieces6)
    peer.select(hosts + "proto udp", hosts6 + "proto udp")
    peer.takes("fragments with a protocol selected pass as they are", *pieces)
    peer.select(hosts + "proto tcp")
    peer.leaves("fragments of another protocol", *pieces)

    peer.select(hosts + "proto udp remote-port 2000 local-port 1000",
                hosts6 + "proto udp remote-port 2000 local-port 1000")
    for name, cut, full in ("IPv4", pieces, whole), ("IPv6", pieces6, whole6):
        for order, some in ("in order", cut), ("the last first", cut[::-1]):
            sent = [Opened(peer.esp_out, one.payload).payload for one in site.send(*some)]
            check(f"5.1: {name} fragments with ports selected are reassembled, {order}",
                  [one[4 if name == "IPv6" else 20:] and payload_of(one) for one in sent] ==
                  [payload_of(full)], *(one.hex() for one in sent))
    answer, answer6 = turned(whole), turned(whole6)
    for name, cut, full in (("IPv4", fragments4(answer, 304), answer),
                            ("IPv6", fragments6(answer6, 304), answer6)):
        for order, some in ("in order", cut), ("the last first", cut[::-1]):
            got = site.receive(*map(peer.seal, some))
            check(f"5.2: {name} fragments with ports selected are reassembled, {order}",
                  [payload_of(one) for one in got] == [payload_of(full)],
                  *(one.hex() for one in got))
    site.counted()
    wrong = udp(1000, 2001, data=bytes(600))
    site.outbound("5.1: reassembled, of another port: discarded", peer.esp_out,
                  fragments4(wrong, 304), [], {"tx-no-selector": 1})
    site.inbound("5.2: reassembled, of another port: discarded",
                 map(peer.seal, fragments4(turned(wrong), 304)), [], {"rx-selector": 1})
    got = site.receive(*map(peer.seal, fragments4(answer, 304)[1:]))
    equal("5.2: later fragments alone are not delivered", got, [])
    tiny = fragments4(answer, 8)
    got = site.receive(*map(peer.seal, tiny))
    equal("5.2: nor does a first fragment of eight octets hide the ports",
          [payload_of(one) for one in got], [payload_of(answer)])

    neighbour = Peer(hosts + "proto udp remote-port 2001 local-port 1000")
    answer = turned(udp(dst="10.1.0.9", data=bytes(range(256)) * 3))
    theirs = turned(udp(1000, 2001, dst="10.1.0.9", data=bytes(768)))
    cut, theirs = fragments4(answer, 304), fragments4(theirs, 304)
    got = site.receive(*map(neighbour.seal, theirs[1:]), peer.seal(cut[0]))
    equal("5.2: fragments of two peers do not make one datagram", got, [])
    got = site.receive(*map(peer.seal, cut[1:]))
    equal("5.2: those of each do", [payload_of(one) for one in got], [payload_of(answer)])
    site.tool("peer", "del", "espudp0", neighbour.ident)


def payload_of(packet):
    return packet[20:] if version(packet) == 4 else packet[40:]


# ------------------------------------------------------- several peers, order

def several(peer):
    wide = "local 10.2.0.0/16 remote 10.0.0.0/8"
    peer.select(wide)
    narrow = Peer("local 10.2.0.0/16 remote 10.1.0.0/24")
    narrow.takes("the more specific destination wins", udp())
    peer.takes("what it does not cover is the wide one's", udp(dst="10.1.1.1"))
    narrow.refuses("a source of the wide peer's in the narrow one's SA", turned(udp(dst="10.1.1.1")))
    narrow.select("local 10.2.0.1/32 remote 10.0.0.0/8")
    narrow.takes("the more specific source wins", udp())
    peer.takes("another source", udp(src="10.2.0.2"))
    narrow.select(wide + " proto udp")
    narrow.takes("a protocol wins over any", udp())
    peer.takes("another protocol", tcp())
    third = Peer(wide + " proto udp remote-port 2000")
    third.takes("ports win over any", udp())
    narrow.takes("other ports", udp(1000, 2001))

    said = third.select(wide + " proto udp")
    check("an equal selector of equal priority is refused", said)
    check("in words that name the other peer", str(narrow.ident) in said, said)
    third.takes("and what it had stays", udp())
    check("an equal selector of lower priority is taken",
          not third.select(wide + " proto udp prio 10"), said)
    site.outbound("5.1: the one of lower priority never receives", narrow.esp_out, [udp()])
    site.tool("peer", "del", "espudp0", narrow.ident)
    third.takes("until the other is gone", udp())
    overlap = Peer("local 10.2.0.0/16 remote 10.1.0.0-10.1.0.6 proto udp")
    check("overlapping ranges that are not equal are taken", not overlap.refused, overlap.refused)
    overlap.takes("and the most specific prefix of a range wins", udp())
    site.tool("peer", "del", "espudp0", overlap.ident)
    site.tool("peer", "del", "espudp0", third.ident)
    both_ways = Peer("local 10.2.0.0/16 remote 10.1.0.0/16", "local 10.2.0.0/16 remote 10.1.0.0/16")
    both_ways.takes("the same selector twice of one peer is one", udp())
    site.tool("peer", "del", "espudp0", both_ways.ident)


def bad_selectors(peer):
    for words, what in (("local 10.2.0.0/16 remote fd00::/16", "mixed families"),
                        ("local 10.2.0.9-10.2.0.5 remote 10.1.0.0/16", "a range that ends early"),
                        ("local 10.2.0.0/16 remote 10.1.0.0/16 local-port 5", "ports without a "
                         "protocol"),
                        ("local 10.2.0.0/16 remote 10.1.0.0/16 proto icmp remote-port 5", "ports "
                         "of a protocol without"),
                        ("local 10.2.0.0/16 remote 10.1.0.0/16 proto udp remote-port 9-5",
                         "ports that end early"),
                        ("local 10.2.0.0/16", "one without a remote part")):
        check(f"{what}: refused", peer.select(words))
    peer.takes("and nothing has changed", udp())


# ----------------------------------------- no SA, no selector: the sender hears

def told(dst, what):
    """A connected socket of b's learns that its datagram went nowhere."""
    with netns("b"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, 11, 1)           # IP_RECVERR
    sock.connect((dst, 9))
    sock.send(b"?")

    def error():
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    got = forge.wait_for(3 * SLOW, error)
    equal(what, errno.errorcode.get(got), "EHOSTUNREACH")
    sock.close()


def errors(peer):
    forge.run("ip", "-n", "b", "addr", "add", "10.2.0.1/16", "dev", "espudp0")
    forge.run("ip", "-n", "b", "route", "add", "10.0.0.0/8", "dev", "espudp0")
    peer.select("local 10.2.0.0/16 remote 10.1.0.0/16")
    site.tool("flush", "espudp0", "sas", peer.ident)
    told("10.1.0.1", "5.1: the sender is told (ICMP) that a peer has no SA")
    equal("5.1: and it is counted", site.counted(), {"tx-no-sa": 1})
    told("10.7.0.1", "5.1: and that no selector covers its packet")
    equal("5.1: which is counted as well", site.counted(), {"tx-no-selector": 1})
    clear = [one for one in site.wire.packets(0.2) if one[9:10] == bytes([UDP]) and
             b"?" == one[28:29]]
    equal("5.1: nothing left in the clear", clear, [])


main_peer = addresses()
upper_layer(main_peer)
fragments(main_peer)
several(main_peer)
bad_selectors(main_peer)
errors(main_peer)
forge.end()
