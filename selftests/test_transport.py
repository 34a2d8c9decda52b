#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Transport mode, and virtual addresses for clients behind one NAT.

  a  clients, all behind one address        b  espudp0                c  a server
  a0 198.51.100.1/24, 2001:db8:2::1/64 ---- b0 198.51.100.2, 2001:db8:2::2
                                            b1 10.9.0.1, fd09::1 ---- c0 10.9.0.2, fd09::2

Each client believes that it is 192.168.1.2 or fd01::2, as behind a NAT, and
computes its checksums so.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 270

import contextlib
import errno
import ipaddress
import os
import re
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import conformance
import forge
from forge import Esp, check, csum, equal, n, netns, pseudo, run, wait_for

GATEWAY = {4: "198.51.100.2", 6: "2001:db8:2::2"}
NAT = {4: "198.51.100.1", 6: "2001:db8:2::1"}
PRIVATE = {4: "192.168.1.2", 6: "fd01::2"}
ELSEWHERE = {4: "198.51.100.9", 6: "2001:db8:2::9"}
SERVER = {4: "10.9.0.2", 6: "fd09::2"}
POOL = {4: "100.100.0.0/16", 6: "fd64::/64"}
UDP, TCP, UDPLITE, ICMP, ICMPV6, DCCP = 17, 6, 136, 1, 58, 33
# older kernels never give a socket with encap_rcv one whole
WHOLE = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 7)
SILENT = 120     # seconds, ESPUDP_SILENT
AT = {UDP: 6, UDPLITE: 6, TCP: 16, ICMPV6: 2, ICMP: 2, DCCP: 6}


def host(addr):
    return socket.inet_pton(socket.AF_INET6 if ":" in addr else socket.AF_INET, addr)


def selector(family, proto=0):
    """Host to host, as IKE daemons say it; what it says of addresses means the ends."""
    one = {"local-from": host(GATEWAY[family]), "local-to": host(GATEWAY[family]),
           "remote-from": host(NAT[family]), "remote-to": host(NAT[family])}
    if proto:
        one["protocol"] = proto
    return one


def header(proto, sport, dport, data, src, dst, zero=False):
    """An upper layer header and its payload, its checksum over these addresses."""
    if proto in (UDP, UDPLITE):
        body = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    elif proto == TCP:
        body = struct.pack("!HHIIBBHHH", sport, dport, 7, 0, 0x50, 2, 1000, 0, 0) + data
    elif proto == DCCP:
        body = struct.pack("!HHBBHI", sport, dport, 3, 0, 0, 0) + data
    else:   # echo request
        body = struct.pack("!BBHHH", 8 if proto == ICMP else 128, 0, 0, sport, dport) + data
    at = AT[proto]
    base = b"" if proto == ICMP else pseudo(src, dst, proto, len(body))
    value = 0 if zero else csum(base + body) or (0xffff if proto == UDP else 0)
    return body[:at] + struct.pack("!H", value) + body[at + 2:]


def right(proto, body, src, dst):
    base = b"" if proto == ICMP else pseudo(src, dst, proto, len(body))
    return csum(base + body) == 0


class Client:
    """One behind the NAT: its port, its peer, its SAs."""

    count = 0

    def __init__(self, family=4, proto=0, name=None, oa=None, pool=True, port=None, **settings):
        Client.count += 1
        self.family, number = family, Client.count
        self.port = port or 40000 + number
        self.to = Esp(0x1000 + number, seed=b"to%d" % number)
        self.back = Esp(0x2000 + number, seed=b"back%d" % number)
        with netns("a"):
            self.sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                                      socket.SOCK_DGRAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((NAT[family], self.port))
            self.sock.connect((GATEWAY[family], 4500))
        peer = {"mode": "transport", "remote": host(NAT[family]), "remote-port": self.port,
                "local": host(GATEWAY[family]), "selector": selector(family, proto), **settings}
        if name:
            peer["name"] = name
        if not pool:
            peer["virtual"] = bytes(len(host(NAT[family])))
        self.error, self.message, replies = netlink.request("peer-new", ifname="espudp0",
                                                            peer=peer)
        if self.error:
            return
        self.id = replies[0]["peer"]["id"]
        oa = {"oa_local": host(oa[0]), "oa_remote": host(oa[1])} if oa else {}
        for direction, esp in ("in", self.to), ("out", self.back):
            error, message = forge.sa_new("b", "espudp0", self.id, direction, esp, **oa)
            if error:
                raise forge.Failed(f"sa-new: {error} {message}")
        if pool:
            self.virtual = str(ipaddress.ip_address(self.show()["virtual"]))

    def show(self):
        for reply in netlink.must("peer-get", dump=True, ifname="espudp0"):
            if reply["peer"]["id"] == self.id:
                return reply["peer"]
        return None

    def move(self, addr, port):
        """Its next packets come from there."""
        family = self.sock.family
        self.sock.close()
        with netns("a"):
            self.sock = socket.socket(family, socket.SOCK_DGRAM)
            self.sock.bind((addr, port))
            self.sock.connect((GATEWAY[self.family], 4500))

    def delete(self):
        self.sock.close()
        netlink.must("peer-del", ifname="espudp0", peer={"id": self.id})

    def send(self, proto, body, next_header=None):
        forge.send(self.sock, self.to.seal(body, next_header or proto))

    def datagram(self, proto, sport, dport, data, **kwargs):
        return header(proto, sport, dport, data, PRIVATE[self.family], GATEWAY[self.family],
                      **kwargs)

    def receive(self, seconds=5):
        """The next ESP packet: protocol and payload, or None."""
        self.sock.settimeout(seconds * conformance.SLOW)
        try:
            opened = conformance.Opened(self.back, self.sock.recv(65536))
        except TimeoutError:
            return None
        return (opened.next_header, opened.payload) if opened.authentic else ("forged", b"")


def counted(before):
    return {key: value for key, value in forge.moved(before, forge.settle("b")).items()
            if not key.startswith(("rx-packets", "rx-bytes", "tx-packets", "tx-bytes"))}


def set_pool(family, prefix):
    address, length = prefix.split("/")
    return netlink.request("dev-set", ifname="espudp0",
                           dev={"pool": {"address": host(address), "prefix-len": int(length)}})[:2]


def topology():
    forge.load_module()
    forge.topo_direct()
    forge.ns_add("c")
    run("ip", "-n", "b", "link", "add", "b1", "type", "veth", "peer", "name", "c0", "netns", "c")
    for name, dev, own in ("b", "b1", 1), ("c", "c0", 2):
        run("ip", "-n", name, "link", "set", dev, "up")
        run("ip", "-n", name, "addr", "add", f"10.9.0.{own}/24", "dev", dev)
        run("ip", "-n", name, "addr", "add", f"fd09::{own}/64", "dev", dev, "nodad")
        # what is left to the device is really done
        n(name, "ethtool", "-K", dev, "tx", "off")
    n("b", "ethtool", "-K", "b0", "tx", "off")
    for address in f"{ELSEWHERE[4]}/24", f"{ELSEWHERE[6]}/64":
        run("ip", "-n", "a", "addr", "add", address, "dev", "a0",
            *["nodad"] * (":" in address))
    run("ip", "-n", "c", "route", "add", "default", "via", "10.9.0.1")
    run("ip", "-n", "c", "route", "add", "default", "via", "fd09::1")
    n("b", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    run("ip", "-n", "b", "link", "add", "espudp0", "type", "espudp")
    run("ip", "-n", "b", "link", "set", "espudp0", "up")
    n("b", "espudp", "socket", "open", "espudp0")
    for family in 4, 6:
        run("ip", "-n", "b", "route", "add", POOL[family], "dev", "espudp0", "src",
            GATEWAY[family])


def local(family):
    """To a socket of the gateway and back."""
    one, two = Client(family), Client(family)
    check(f"IPv{family}: two clients have two addresses of the pool", one.virtual != two.virtual
          and all(ipaddress.ip_address(client.virtual) in ipaddress.ip_network(POOL[family])
                  for client in (one, two)), one.virtual, two.virtual)
    server = forge.receiver("b", GATEWAY[family], 1701)
    server.settimeout(5 * conformance.SLOW)
    for client in one, two:
        client.send(UDP, client.datagram(UDP, 1701, 1701, b"ping"))
        try:
            data, sender = server.recvfrom(2048)
        except TimeoutError:
            data, sender = b"", ("nobody",)
        equal(f"IPv{family}: UDP of {client.virtual} arrives", (data, *sender[:2]),
              (b"ping", client.virtual, 1701))
        server.sendto(b"pong", (client.virtual, 1701))
        proto, body = client.receive() or (0, b"")
        check(f"IPv{family}: the answer goes to that client, its checksum over the outer addresses",
              proto == UDP and body[8:] == b"pong" and
              right(UDP, body, GATEWAY[family], NAT[family]), proto, body.hex())
    check(f"IPv{family}: and to no other", one.receive(0.1) is None and two.receive(0.1) is None)

    if family == 4:
        one.send(UDP, one.datagram(UDP, 1701, 1701, b"zero", zero=True))
        try:
            data = server.recv(2048)
        except TimeoutError:
            data = b""
        equal("a UDP checksum of zero stays zero, and is taken", data, b"zero")
        server.setsockopt(socket.SOL_SOCKET, forge.SO_NO_CHECK, 1)
        server.sendto(b"pong", (one.virtual, 1701))
        equal("outbound, too", (one.receive() or (0, b""))[1][6:8], bytes(2))
    server.close()

    echo = ICMP if family == 4 else ICMPV6
    one.send(echo, one.datagram(echo, 1, 1, b"echo"))
    proto, body = one.receive() or (0, b"")
    check(f"IPv{family}: an echo request is answered, with a right checksum", proto == echo and
          body[4:] == struct.pack("!HH", 1, 1) + b"echo" and
          right(echo, body, GATEWAY[family], NAT[family]), proto, body.hex())
    one.send(TCP, one.datagram(TCP, 1234, 1, b""))
    proto, body = one.receive() or (0, b"")
    check(f"IPv{family}: TCP to a closed port is answered by a reset with a right checksum",
          proto == TCP and len(body) >= 20 and body[13] & 4 and
          right(TCP, body, GATEWAY[family], NAT[family]), proto, body.hex())
    one.send(UDP, one.datagram(UDP, 7, 7, b"closed"))
    proto, body = one.receive() or (0, b"")
    quoted = body[8:]
    inner = quoted[12:20] if family == 4 else quoted[8:40]
    check(f"IPv{family}: an ICMP error quotes the addresses that the client knows",
          proto == echo and inner == host(NAT[family]) + host(GATEWAY[family]) and
          right(echo, body, GATEWAY[family], NAT[family]), proto, body.hex())

    # an ICMP error about what we sent, inbound
    with netns("b"):
        sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                             socket.SOCK_DGRAM)
        sock.connect((one.virtual, 9))
        sock.send(b"nobody there")
    proto, body = one.receive() or (0, b"")
    packet = forge.ip(GATEWAY[family], PRIVATE[family], UDP, body)
    error = struct.pack("!BBHI", 3 if family == 4 else 1, 3 if family == 4 else 4, 0, 0) + packet
    base = b"" if family == 4 else pseudo(PRIVATE[family], GATEWAY[family], ICMPV6, len(error))
    error = error[:2] + struct.pack("!H", csum(base + error)) + error[4:]
    one.send(echo, error)

    def refused():
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111
    check(f"IPv{family}: an ICMP error of the client's reaches the socket that it is about",
          wait_for(5 * conformance.SLOW, refused))
    sock.close()
    return one, two


def forwarded(family, client):
    """To a third host, and back."""
    table = "ip" if family == 4 else "ip6"
    rules = f"""table {table} t {{ chain pre {{ type nat hook prerouting priority -100;
        iifname espudp0 meta l4proto {{ tcp, udp }} th dport 5000 dnat to {SERVER[family]}
    }}
    }}"""
    n("b", "nft", "-f", "-", stdin=rules)
    tap = conformance.Tap("c", "c0")
    for proto in UDP, TCP:
        tap.packets()
        client.send(proto, client.datagram(proto, 4000, 5000, b"x" * 101))
        bodies = []

        def arrived(packets, proto=proto, bodies=bodies):
            for packet in packets:
                at = 20 if family == 4 else 40
                if (packet[9] if family == 4 else packet[6]) == proto and \
                        packet[at + 2:at + 4] == struct.pack("!H", 5000):
                    bodies.append((socket.inet_ntop(socket.AF_INET6 if family == 6 else
                                                    socket.AF_INET, packet[8:24] if family == 6
                                                    else packet[12:16]), packet[at:]))
            return bodies
        tap.packets(5, arrived)
        src, body = bodies[0] if bodies else ("", b"")
        check(f"IPv{family}: forwarded {'UDP' if proto == UDP else 'TCP'} has the virtual source, "
              "and a right checksum on the wire", src == client.virtual and
              right(proto, body, client.virtual, SERVER[family]), src, body.hex())
    while client.receive(0.2):      # resets and errors of the server's
        pass
    n("b", "nft", "delete", "table", table, "t")


def original(family):
    """With NAT-OA known, checksums are mended incrementally."""
    client = Client(family, oa=(GATEWAY[family], PRIVATE[family]))
    server = forge.receiver("b", GATEWAY[family], 1701)
    server.settimeout(5 * conformance.SLOW)
    good = client.datagram(UDP, 1701, 1701, b"good")
    bad = client.datagram(UDP, 1701, 1701, b"bad!")
    client.send(UDP, bad[:6] + bytes((bad[6] ^ 1,)) + bad[7:])
    client.send(UDP, good)
    try:
        data = server.recv(2048)
    except TimeoutError:
        data = b""
    equal(f"IPv{family}: with original addresses a right checksum stays right, a wrong one wrong",
          data, b"good")
    server.sendto(b"pong", (client.virtual, 1701))
    proto, body = client.receive() or (0, b"")
    check(f"IPv{family}: outbound, the checksum is over the original addresses", proto == UDP and
          right(UDP, body, GATEWAY[family], PRIVATE[family]), body.hex())
    # RFC 3948 section 3.1.2: what the peer was told once holds for the SA's life
    client.move(NAT[family], client.port + 5000)
    client.send(UDP, good)
    try:
        server.recv(2048)
    except TimeoutError:
        pass
    server.sendto(b"moved", (client.virtual, 1701))
    proto, body = client.receive() or (0, b"")
    check(f"IPv{family}: likewise after the mapping changed, at the new port", proto == UDP and
          body[8:] == b"moved" and right(UDP, body, GATEWAY[family], PRIVATE[family]), body.hex())
    server.close()
    good = client.datagram(TCP, 1234, 1, b"")
    bad = client.datagram(TCP, 1235, 1, b"")
    client.send(TCP, bad[:16] + bytes((bad[16] ^ 1,)) + bad[17:])
    client.send(TCP, good)
    proto, body = client.receive() or (0, b"")
    check(f"IPv{family}: likewise TCP, only a right checksum is answered, over original addresses",
          proto == TCP and body[2:4] == good[:2] and body[13] & 4 and
          right(TCP, body, GATEWAY[family], PRIVATE[family]), proto, body.hex())
    client.delete()


def roamed(family):
    """RFC 3948 section 3.1.2: the peer goes by the addresses that it was told by IKE."""
    client = Client(family)
    server = forge.receiver("b", GATEWAY[family], 1701)
    server.settimeout(5 * conformance.SLOW)
    client.move(ELSEWHERE[family], client.port)
    client.send(UDP, client.datagram(UDP, 1701, 1701, b"here I am"))
    try:
        sender = server.recvfrom(2048)[1][0]
    except TimeoutError:
        sender = ""
    equal(f"IPv{family}: a client that roams to another address has its virtual one still",
          (sender, client.show()["remote"]), (client.virtual, host(ELSEWHERE[family])))
    server.sendto(b"moved", (client.virtual, 1701))
    proto, body = client.receive() or (0, b"")
    check(f"IPv{family}: outbound checksums stay over the address of when the SA was made",
          proto == UDP and body[8:] == b"moved" and
          right(UDP, body, GATEWAY[family], NAT[family]), proto, body.hex())
    client.back = Esp(client.back.spi + 0x1000)
    forge.sa_new("b", "espudp0", client.id, "out", client.back)
    server.sendto(b"rekeyed", (client.virtual, 1701))
    proto, body = client.receive() or (0, b"")
    check(f"IPv{family}: those of the next SA are over the new one", proto == UDP and
          body[8:] == b"rekeyed" and right(UDP, body, GATEWAY[family], ELSEWHERE[family]),
          proto, body.hex())
    server.close()
    client.delete()


def udplite(family, client):
    """Its checksum covers what its sender says."""
    with netns("b"):
        server = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                               socket.SOCK_DGRAM, UDPLITE)
    server.bind((GATEWAY[family], 1701))
    server.settimeout(5 * conformance.SLOW)
    for coverage, what in (0, "all"), (8, "the header only"):
        body = struct.pack("!HHHH", 1701, 1701, coverage, 0) + b"lite"
        covered = len(body[:coverage or None])
        base = pseudo(PRIVATE[family], GATEWAY[family], UDPLITE, len(body))
        body = body[:6] + struct.pack("!H", csum(base + body[:covered])) + body[8:]
        client.send(UDPLITE, body)
        try:
            data, sender = server.recvfrom(2048)
        except TimeoutError:
            data, sender = b"", ("nobody",)
        equal(f"IPv{family}: UDP-Lite whose checksum covers {what} arrives", (data, sender[0]),
              (b"lite", client.virtual))
        server.setsockopt(UDPLITE, 10, coverage)    # UDPLITE_SEND_CSCOV
        server.sendto(b"pong", (client.virtual, 1701))
        proto, body = client.receive() or (0, b"")
        base = pseudo(GATEWAY[family], NAT[family], UDPLITE, len(body))
        check(f"IPv{family}: and is answered, covered and right likewise", proto == UDPLITE and
              body[4:6] == struct.pack("!H", coverage) and body[8:] == b"pong" and
              csum(base + body[:covered]) == 0, proto, body.hex())
    server.close()


def fragments(family, client):
    """Transport mode never protects a fragment."""
    before = forge.settle("b")
    server = forge.receiver("b", GATEWAY[family], 1701)
    server.settimeout(5 * conformance.SLOW)
    big = os.urandom(3000)
    server.sendto(big, (client.virtual, 1701))
    proto, body = client.receive() or (0, b"")
    check(f"IPv{family}: a large datagram leaves as one ESP packet, in outer fragments",
          proto == UDP and body[8:] == big and right(UDP, body, GATEWAY[family], NAT[family]),
          proto, len(body))
    client.send(UDP, client.datagram(UDP, 1701, 1701, big))
    try:
        data = server.recv(65536)
    except TimeoutError:
        data = b""
    check(f"IPv{family}: received outer fragments are reassembled", data == big, len(data))
    # by a forwarder's hand: fragments reach the device
    with netns("c"):
        sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                             socket.SOCK_DGRAM)
        sock.connect((client.virtual, 1701))
        sock.send(b"stranger")
    check(f"IPv{family}: a packet of another source than the SA's is dropped by name",
          wait_for(5, lambda: forge.drops("b").get("tx-source", 0) >
                   before["drop"].get("tx-source", 0)) and client.receive(0.2) is None,
          forge.drops("b"))
    sock.close()
    table = "ip" if family == 4 else "ip6"
    n("b", "nft", "-f", "-", stdin=f"""table {table} t {{ chain post {{
        type nat hook postrouting priority 100
        oifname espudp0 snat to {GATEWAY[family]}
        }}
        }}""")
    with netns("c"):
        sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                             socket.SOCK_DGRAM)
        sock.connect((client.virtual, 1702))
        got = None
        for _ in range(3):      # IPv6 learns the device's MTU first
            with contextlib.suppress(OSError):
                sock.send(big)
            got = got or client.receive(1)
    proto, body = got or (0, b"")
    client.receive(1)
    check(f"IPv{family}: fragments that are forwarded to the device are reassembled first",
          proto == UDP and body[8:] == big and right(UDP, body, GATEWAY[family], NAT[family]),
          proto, len(body))
    sock.close()
    server.close()
    n("b", "nft", "delete", "table", table, "t")


def opened(client, number):
    """The next so many ESP packets: numbers, next headers, payloads; fewer if they do not come."""
    got = []
    client.sock.settimeout(5 * conformance.SLOW)
    with contextlib.suppress(TimeoutError):
        while len(got) < number:
            one = conformance.Opened(client.back, client.sock.recv(65536))
            got.append((one.seq, one.next_header if one.authentic else "forged", one.payload))
    return got


def wholes(tap, size):
    """Packets of so many octets that the device was given."""
    return sum(len(packet) == size for packet in tap.packets(outgoing=True))


def super_out(family, client, told, what):
    """Super-packets of this host's; the peer was told these addresses."""
    tap = conformance.Tap("b", "espudp0")
    own, hlen = (GATEWAY[family], client.virtual), 20 if family == 4 else 40
    number = 21
    data = os.urandom((number - 1) * 1000 + 300)
    while client.receive(0.1):      # of before
        pass

    def point(name, proto, want, whole):
        got = opened(client, number)
        first = got[0][0] if got else 0
        check(f"IPv{family}, {what}: a super-packet of {name} goes as its parts would have, "
              "checksums over what the peer was told",
              got == [(first + i, proto, part[hlen:]) for i, part in enumerate(want)] and
              wholes(tap, whole) == 1, f"{len(got)} of {number}",
              *[f"{i}: came {one[0]} {one[1]} {one[2][:40].hex()}, to come {part[hlen:][:40].hex()}"
                for i, (one, part) in enumerate(zip(got, want)) if one[2] != part[hlen:]][:3])
    with netns("b"):
        sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET,
                             socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.IPPROTO_UDP, forge.UDP_SEGMENT, 1000)
        sock.bind((GATEWAY[family], 1701))
        sock.connect((client.virtual, 1701))
        sock.send(data)
    point("UDP", UDP, conformance.udp_cut(*told, 1701, 1701, data, 1000), hlen + 8 + len(data))
    flags = conformance.ACK | conformance.CWR | conformance.PSH | conformance.FIN
    words = {"data": data, "seq": (1 << 32) - 5000, "flags": flags}
    whole = conformance.tcp_segment(*own, **words, partial=True)
    conformance.inject_tcp("b", "espudp0", whole, 1000, ecn=True)
    point("TCP", TCP, conformance.tcp_cut(*told, size=1000, **words), len(whole))
    tap.sock.close()


def super_in(family, client, known, what):
    """20 of the peer's as one datagram with UDP_SEGMENT; are original addresses known?"""
    # nobody looks outside: what a packet socket has a clone of is cut up first
    tap = conformance.Tap("b", "espudp0")
    server = forge.receiver("b", GATEWAY[family], 1701)
    data = [os.urandom(700) for _ in range(21)]
    sealed = [client.to.seal(client.datagram(UDP, 1701, 1701, one), UDP) for one in data]
    if family == 4:
        client.sock.setsockopt(socket.IPPROTO_IP, 10, 2)    # IP_MTU_DISCOVER: DF
    # one in front: its identification comes before theirs
    forge.send(client.sock, sealed[0])
    got = tap.packets(5, len)
    before = conformance.deliveries(family)
    client.sock.setsockopt(socket.IPPROTO_UDP, forge.UDP_SEGMENT, len(sealed[1]))
    forge.send(client.sock, b"".join(sealed[1:]))
    client.sock.setsockopt(socket.IPPROTO_UDP, forge.UDP_SEGMENT, 0)
    got += tap.packets(5, lambda packets: len(packets) >= 20)
    whole = conformance.deliveries(family) - before
    if WHOLE:
        equal(f"IPv{family}, {what}: 20 as one came whole", whole, 1)
    equal(f"IPv{family}, {what}: they arrive", forge.read_all(server, 1, len(data)), data)
    # of the header that they came with all but the source stays
    want = conformance.udp_cut(client.virtual, GATEWAY[family], 1701, 1701, b"".join(data), 700,
                               struct.unpack("!H", got[0][4:6])[0] if got else 0)
    if family == 6:     # and the flow label
        got, want = [[one[:1] + bytes(3) + one[4:] for one in some] for some in (got, want)]
    if not known:       # the checksum is left to whoever needs it
        at = 26 if family == 4 else 46
        got, want = [[one[:at] + one[at + 2:] for one in some] for some in (got, want)]
    check(f"IPv{family}, {what}: they come out as each alone had", got == want, len(got),
          *[f"came {a[:32].hex()}, to come {b[:32].hex()}"
            for a, b in zip(got, want) if a != b][:3])
    tap.sock.close()
    server.close()


def supers(family, client):
    super_out(family, client, (GATEWAY[family], NAT[family]), "no original addresses")
    super_in(family, client, False, "no original addresses")
    told = GATEWAY[family], PRIVATE[family]
    other = Client(family, oa=told)
    super_out(family, other, told, "original addresses")
    super_in(family, other, True, "original addresses")
    other.delete()


def udplite_of(coverage, octets=18):
    return struct.pack("!HHHH", 9, 9, coverage, 1) + bytes(octets - 8)


def dccp_of(coverage, data=b"seven..", doff=3):
    return struct.pack("!HHBBHI", 9, 9, doff, 0x50 | coverage, 1, 0) + data


def lying(family):
    """Lengths that are not so: dropped by name, nothing comes out."""
    client, known, narrow = Client(family), Client(family, oa=(GATEWAY[family], PRIVATE[family])), \
        Client(family, proto=UDP)
    tap = conformance.Tap("b", "espudp0")
    tcp, dccp = client.datagram(TCP, 9, 9, b""), dccp_of(0, b"")
    udp = client.datagram(UDP, 9, 9, bytes(10))

    def point(what, who, proto, body, why=None, out=None, then=None):
        before = forge.settle("b")
        tap.packets()
        who.send(proto, body)
        counts = {}
        # what is not dropped is seen instead
        wait_for(5 * conformance.SLOW, lambda: counts.update(forge.moved(
            before, forge.stats("b"))) or counts.keys() & {"rx-packets", why})
        got = [packet[20 if family == 4 else 40:] for packet in tap.packets(0.05)]
        counts = counted(before)
        check(f"IPv{family}: {what}: {then or f'dropped, {why}'}",
              counts == ({why: 1} if why else {}) and got == ([] if out is None else [out]),
              counts, *[one.hex() for one in got])

    for size in 19, 4, 3, 0:
        point(f"TCP of {size} octets", client, TCP, tcp[:size], "rx-inner")
    point("TCP of 19 octets, original addresses", known, TCP, tcp[:19], "rx-inner")
    for size in 7, 4, 3:
        point(f"UDP of {size} octets", client, UDP, udp[:size], "rx-inner")
    point("UDP of 7 octets, original addresses", known, UDP, udp[:7], "rx-inner")
    for length in 0, 7, len(udp) + 1, 0xffff:
        point(f"UDP that says {length} of {len(udp)} octets", client, UDP,
              udp[:4] + struct.pack("!H", length) + udp[6:], "rx-inner")
    point("UDP-Lite of 7 octets", client, UDPLITE, udplite_of(0)[:7], "rx-inner")
    for coverage in *range(1, 8), 19, 0xffff:
        point(f"UDP-Lite that covers {coverage} of 18 octets", client, UDPLITE,
              udplite_of(coverage), "rx-inner")
    point("DCCP of 11 octets", client, DCCP, dccp[:11], "rx-inner")
    point("DCCP of 11 octets, original addresses", known, DCCP, dccp[:11], "rx-inner")
    for doff, coverage in (2, 1), (5, 1), (3, 3), (3, 15):
        point(f"DCCP of 19 octets, header of {4 * doff}, coverage {coverage}", client, DCCP,
              dccp_of(coverage, doff=doff), "rx-inner")
    if family == 6:
        point("ICMPv6 of 7 octets", client, ICMPV6, client.datagram(ICMPV6, 9, 9, b"")[:7],
              "rx-inner")
        for name, offset in ("a first", 1), ("a later", 9), ("the last", 8):
            fragment = struct.pack("!BBHI", TCP, 0, offset, 77) + tcp
            point(f"{name} fragment", client, 44, fragment, "rx-inner")
            point(f"{name} fragment, original addresses", known, 44, fragment, "rx-inner")
    else:
        # ICMP has no pseudo header: what cannot be translated stays
        quoted = bytes((0x4f,)) + forge.ip4(GATEWAY[4], PRIVATE[4], UDP, bytes(39))[1:]
        error = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
        error = error[:2] + struct.pack("!H", csum(error)) + error[4:]
        point("an ICMP error that quotes 59 octets of a header of 60", client, ICMP, error,
              out=error, then="goes on as it is")
    point("next header 44 where UDP is selected", narrow, 44, struct.pack("!BBHI", TCP, 0, 0, 77) +
          tcp, "rx-selector")

    for coverage in 0, 1, 2:
        body = dccp_of(coverage)
        covered = len(body) if not coverage else 12 + 4 * (coverage - 1)
        base = pseudo(client.virtual, GATEWAY[family], DCCP, len(body))
        value = csum(base + body[:6] + bytes(2) + body[8:covered])
        point(f"DCCP, coverage {coverage}", client, DCCP, body,
              out=body[:6] + struct.pack("!H", value) + body[8:],
              then="comes out with a right checksum")
    tap.sock.close()
    for one in client, known, narrow:
        one.delete()


def too_big(family, client):
    """A router on the outer path has a link of 1300 octets."""
    icmp = ICMP if family == 4 else ICMPV6
    outer = forge.ip(GATEWAY[family], NAT[family], UDP, struct.pack(
        "!HHHHI", 4500, client.port, 1400, 0, client.back.spi), length=1420 - 20 * (family == 6))
    error = struct.pack("!BBHI", *((3, 4) if family == 4 else (2, 0)), 0, 1300) + outer
    if family == 4:
        error = error[:2] + struct.pack("!H", csum(error)) + error[4:]
    with netns("a"), socket.socket(client.sock.family, socket.SOCK_RAW, icmp) as router:
        router.sendto(error, (GATEWAY[family], 0))
    check(f"IPv{family}: 'too big' of the outer path lowers the path MTU of a peer with a virtual "
          "address", wait_for(5 * conformance.SLOW, lambda: client.show()["pmtu"] == 1300),
          client.show())
    mtu = max(client.show()["mtu"], 1280 if family == 6 else 0)
    while client.receive(0.2):      # of before
        pass
    before = forge.settle("b")

    def told(ns):
        """A sender of what is larger: (about what address, error, from ICMP, MTU)"""
        # IP_RECVERR and IP_MTU_DISCOVER, and those of IPv6
        level, recverr, discover = (0, 11, 10) if family == 4 else (41, 25, 23)
        with netns(ns):
            sock = socket.socket(client.sock.family, socket.SOCK_DGRAM)
        sock.setsockopt(level, recverr, 1)
        sock.setsockopt(level, discover, 2)
        sock.connect((client.virtual, 1701))
        sock.send(bytes(1320))

        def heard():
            with contextlib.suppress(BlockingIOError):
                _, extra, _, about = sock.recvmsg(2048, 512,
                                                  socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
                number, origin, _, _, _, info = struct.unpack("=IBBBBI", extra[0][2][:12])
                return about[0], number, origin in (2, 3), info
            return None
        error = wait_for(5 * conformance.SLOW, heard)
        sock.close()
        return error
    told_so = (client.virtual, errno.EMSGSIZE, True, mtu)
    equal(f"IPv{family}: a sender of the gateway's is told by ICMP that quotes the virtual "
          "address", told("b"), told_so)
    table = "ip" if family == 4 else "ip6"
    n("b", "nft", "-f", "-", stdin=f"""table {table} t {{ chain post {{
        type nat hook postrouting priority 100
        oifname espudp0 snat to {GATEWAY[family]}
        }}
        }}""")
    equal(f"IPv{family}: likewise one that is forwarded for", told("c"), told_so)
    n("b", "nft", "delete", "table", table, "t")
    check(f"IPv{family}: of what was too big nothing left, which is counted by name",
          not client.receive(0.2) and counted(before).get("tx-too-big", 0) > 0, counted(before))


def selectors():
    """Protocol and ports are compared as given, in both directions."""
    client = Client(4, proto=UDP)
    before = forge.settle("b")
    client.send(TCP, client.datagram(TCP, 1, 1, b""))
    equal("a packet of another protocol than selected is dropped by name", counted(before),
          {"rx-selector": 1})
    before = forge.settle("b")
    forge.n_attempt("b", "ping", "-c", 1, "-W", 1, client.virtual)
    equal("outbound, too", counted(before), {"tx-no-selector": 1})
    before = forge.settle("b")
    unused = str(ipaddress.ip_network(POOL[4])[-3])
    forge.n_attempt("b", "ping", "-c", 1, "-W", 1, unused)
    equal("a packet to a virtual address that nobody has is dropped by name", counted(before),
          {"tx-virtual": 1})
    client.delete()


def addresses():
    """Who gets which."""
    first = Client(4, name="laptop")
    kept = first.virtual
    twin = Client(4, name="laptop")
    check("two live peers of one name have two addresses", twin.virtual != kept)
    first.delete()
    back = Client(4, name="laptop")
    equal("a client that comes back, known by name and outer address, has its address again",
          back.virtual, kept)
    other = Client(4, name="phone")
    check("another name gets another address", other.virtual != kept)
    heir = Client(4, name="new", **{"take-over": other.id})
    equal("an address is taken over from the peer that is named", heir.virtual, other.virtual)
    before = forge.settle("b")
    other.send(UDP, other.datagram(UDP, 1, 1, b"late"))
    equal("what still comes from that peer is dropped by name", counted(before), {"rx-virtual": 1})
    chosen = Client(4, virtual=host("100.100.7.7"))
    equal("the caller may choose", chosen.virtual, "100.100.7.7")
    for what, words, settings in (
            ("a chosen address that is taken", "another peer has", {"virtual": host("100.100.7.7")}),
            ("one outside the pool", "not of the device's pool", {"virtual": host("10.1.1.1")}),
            ("one of another family", "different families", {"virtual": host("fd64::9")})):
        refused = Client(4, **settings)
        check(f"{what} is refused", refused.error and words in refused.message, refused.message)
    for what, words, remote in (("an address of the pool", "virtual addresses", "100.100.3.3"),
                                ("one of another family", "different families", NAT[6])):
        for how, (error, message, *_) in (
                ("a peer's new", netlink.request("peer-set", ifname="espudp0", peer={
                    "id": chosen.id, "remote": host(remote)})),
                ("a new SA's", forge.sa_new("b", "espudp0", chosen.id, "in", Esp(0x7777),
                                            remote=host(remote)))):
            check(f"{how} outer address: {what} is refused", error and words in message,
                  error, message)
    error, message = set_pool(4, "100.100.0.0/30")
    check("a pool in use does not change", error == 16 and "delete them" in message, message)
    for client in twin, back, other, heir, chosen:
        client.delete()


def silence(old, dozer, awake, since):
    """The address of one that is there, but not heard, for those who are like it."""
    time.sleep(max(0, since + 65 - time.monotonic()))
    young = Client(4, name="dozer")
    check("a peer that is silent for as long as L2TP may be keeps its address",
          time.monotonic() - since > SILENT or young.virtual != dozer.virtual,
          young.virtual, dozer.virtual)
    time.sleep(max(0, since + SILENT + 1 - time.monotonic()))
    awake.send(UDP, awake.datagram(UDP, 9, 9, b"awake"))
    awake.receive()     # that nobody is there
    twin = Client(4, name="awake")
    check(f"{SILENT} seconds later: a peer that is heard keeps its address",
          twin.virtual != awake.virtual and awake.show().get("virtual") == host(awake.virtual))
    stranger = Client(4, name="sleeper", remote=host(ELSEWHERE[4]))
    check("one of another outer address does not get the address of a silent one of its name",
          stranger.virtual != old.virtual and old.show().get("virtual") == host(old.virtual))
    namesake = Client(4, name="another")
    check("nor one of another name", namesake.virtual != old.virtual)
    heir = Client(4, name="sleeper")
    equal("one of its name and outer address does", heir.virtual, old.virtual)
    before = forge.settle("b")
    old.send(UDP, old.datagram(UDP, 1, 1, b"late"))
    equal("then the silent one has none, what still comes from it is dropped by name",
          (counted(before), "virtual" in old.show()), ({"rx-virtual": 1}, False))
    for client in old, dozer, young, awake, twin, stranger, namesake, heir:
        client.delete()


def pools():
    for prefix, words in (("10.3.0.0/31", "too small"), ("198.51.100.0/24", "address of this host"),
                          ("10.3.0.1/24", "behind its prefix"), ("224.0.0.0/24", "unicast"),
                          ("10.9.0.0/16", "address of this host")):
        error, message = set_pool(4, prefix)
        check(f"a pool {prefix} is refused", error and words in message, message)
    run("ip", "-n", "b", "link", "add", "espudp1", "type", "espudp")
    error, message, _ = netlink.request("dev-set", ifname="espudp1", dev={
        "pool": {"address": host("100.100.128.0"), "prefix-len": 24}})
    check("nor does it overlap that of another device", error == 17 and "overlaps" in message,
          message)
    run("ip", "-n", "b", "link", "del", "espudp1")


def small_pool():
    error, message = set_pool(4, "100.64.0.0/29")
    check("a pool of six addresses", not error, message)
    run("ip", "-n", "b", "route", "add", "100.64.0.0/29", "dev", "espudp0", "src", GATEWAY[4])
    clients = [Client(4) for _ in range(6)]
    equal("has six", len({client.virtual for client in clients}), 6)
    seventh = Client(4)
    check("and not seven, in words", seventh.error and "exhausted" in seventh.message,
          seventh.message)
    clients[0].delete()
    eighth = Client(4)
    check("an address that was given back is not handed out at once", eighth.error,
          eighth.message)
    for client in clients[1:]:
        client.delete()


def host_to_host():
    """Without virtual addresses there is one peer behind an address."""
    one = Client(4, pool=False, port=41000)
    check("a peer without a virtual address", not one.error, one.message)
    two = Client(4, pool=False, port=41001)
    check("a second one behind the same NAT is refused, and told of pools (RFC 3948 section 5.2)",
          two.error == 17 and "pool" in two.message, two.message)
    run("ip", "-n", "b", "rule", "add", "to", NAT[4], "ipproto", "udp", "dport", 1701,
        "lookup", 51)
    run("ip", "-n", "b", "route", "add", NAT[4], "dev", "espudp0", "src", GATEWAY[4], "table", 51)
    server = forge.receiver("b", GATEWAY[4], 1701)
    server.settimeout(5 * conformance.SLOW)
    one.send(UDP, one.datagram(UDP, 1701, 1701, b"ping"))
    try:
        data, sender = server.recvfrom(2048)
    except TimeoutError:
        data, sender = b"", ()
    equal("its packets come with the outer address", (data, sender), (b"ping", (NAT[4], 1701)))
    server.sendto(b"pong", (NAT[4], 1701))
    proto, body = one.receive() or (0, b"")
    check("a policy rule for L2TP sends the answers through the device, ESP does not loop",
          proto == UDP and body[8:] == b"pong", proto, body.hex())

    two = Client(4, pool=False, port=41002, remote=host("203.0.113.77"))
    two.send(UDP, two.datagram(UDP, 1701, 1701, b"roamed"))
    try:
        data = server.recv(2048)
    except TimeoutError:
        data = b""
    equal("one that roams to where another is, is heard", (data, two.show()["remote"]),
          (b"roamed", host(NAT[4])))
    server.sendto(b"whose", (NAT[4], 1701))
    equal("but what goes there is the other's", ((one.receive() or (0, b""))[1][8:],
                                                 two.receive(1)), (b"whose", None))
    one.delete()

    def answered():
        server.sendto(b"mine", (NAT[4], 1701))
        return two.receive(0.5)
    check("until that one is gone", forge.wait_for(5 * conformance.SLOW, answered))
    server.close()
    two.delete()


def nat_scope():
    role = {"initiator": 1, "responder": 2}

    def attempt(**settings):
        client = Client(4, **{key.replace("_", "-"): value for key, value in settings.items()})
        if not client.error:
            client.delete()
        return client.error, client.message
    for scope in 0, 1, 2:
        netlink.must("dev-set", ifname="espudp0", dev={"nat-scope": scope})
        for what, settings, least in (
                ("the client behind a NAT", {"role": role["responder"], "nat_remote": 2}, 0),
                ("the server behind a NAT", {"role": role["responder"], "nat_local": 2}, 1),
                ("a server behind a NAT that we call", {"role": role["initiator"],
                                                        "nat_remote": 2}, 1),
                ("both behind NATs", {"role": role["responder"], "nat_local": 2,
                                      "nat_remote": 2}, 2),
                ("nobody knows", {}, 0)):
            error, message = attempt(**settings)
            check(f"nat-scope {scope}: {what}: {'taken' if scope >= least else 'refused'}",
                  not error if scope >= least else error == 13 and f"({scope})" in message,
                  error, message)


def many():
    """200 behind one address."""
    number = 20 if forge.DEBUG_KERNEL else 200
    clients = [Client(4) for _ in range(number)]
    server = forge.receiver("b", GATEWAY[4], 1701)
    for index, client in enumerate(clients):
        client.send(UDP, client.datagram(UDP, 1701, 1701, struct.pack("!I", index)))
    senders = {}

    def echo():
        try:
            while True:
                data, sender = server.recvfrom(2048)
                senders[struct.unpack("!I", data)[0]] = sender[0]
                server.sendto(data, sender)
        except BlockingIOError:
            pass
        return len(senders) == number
    wait_for(20, echo)
    equal(f"{number} clients behind one NAT are heard, each with its address", senders,
          {index: client.virtual for index, client in enumerate(clients)})
    got = [(client.receive(2) or (0, b""))[1][8:] for client in clients]
    equal("all are answered, none crosses", got,
          [struct.pack("!I", index) for index in range(number)])
    check("and once", all(client.receive(0.001) is None for client in clients))
    server.close()
    for client in clients:
        client.delete()


topology()
netlink = forge.netlink("b")
for f in 4, 6:
    equal(f"IPv{f}: a pool", set_pool(f, POOL[f]), (0, ""))
pools()
silent_since = time.monotonic()
sleeper, dozer, waker = [Client(4, name=name) for name in ("sleeper", "dozer", "awake")]
for f in 4, 6:
    this, that = local(f)
    forwarded(f, this)
    original(f)
    roamed(f)
    udplite(f, this)
    fragments(f, this)
    supers(f, this)
    lying(f)
    too_big(f, this)
    this.delete()
    that.delete()
selectors()
addresses()
nat_scope()
many()
host_to_host()
silence(sleeper, dozer, waker, silent_since)
small_pool()
forge.end()
