# SPDX-License-Identifier: GPL-2.0
"""For the tests of RFCs: a gateway in b, and in a a peer that is this process.

    a  forged ESP, all that comes is seen        b  espudp0
    a0 198.51.100.1/24, 2001:db8:2::1/64 ------- b0 198.51.100.2/24, 2001:db8:2::2/64
       inner 10.1.0.0/16, fd00:1::/32               inner 10.2.0.0/16, fd00:2::/32

No inner address is b's own, so that it answers nothing. What comes out of the
tunnel, and what goes into it, is seen and sent on packet sockets, octet for
octet.
"""

import hmac
import ipaddress
import json
import os
import re
import socket
import struct
import time

import forge
from forge import Esp, check, diag, moved, n, netns, run

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86dd
PACKET_OUTGOING, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 4, 15, 23
SOL_PACKET, SOL_UDP = 263, 17
SLOW = 10 if forge.DEBUG_KERNEL else 1

A = {4: "198.51.100.1", 6: "2001:db8:2::1"}
B = {4: "198.51.100.2", 6: "2001:db8:2::2"}
IN_A = {4: "10.1.0.1", 6: "fd00:1::1"}
IN_B = {4: "10.2.0.1", 6: "fd00:2::1"}
NEXT_HEADER = {4: forge.IPIP, 6: forge.IPV6}


def version(packet):
    return packet[0] >> 4


class Tap:
    """All IP packets of a device, and a way to send packets through it."""

    def __init__(self, ns, dev):
        with netns(ns):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                      socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)    # SO_RCVBUFFORCE
        self.sock.bind((dev, ETH_P_ALL))
        self.dev = dev

    def packets(self, seconds=0.0, enough=lambda packets: False, outgoing=False):
        """Packets that are there or come, until enough(packets) or the time is over."""
        got = []
        deadline = time.monotonic() + seconds * SLOW
        while not enough(got):
            self.sock.settimeout(max(deadline - time.monotonic(), 0.0001))
            try:
                data, sender = self.sock.recvfrom(65536)
            except (TimeoutError, BlockingIOError):
                break
            if sender[1] in (ETH_P_IP, ETH_P_IPV6) and (sender[2] == PACKET_OUTGOING) == outgoing:
                got.append(data)
        return got

    def inject(self, *packets):
        for packet in packets:
            proto = ETH_P_IP if version(packet) == 4 else ETH_P_IPV6
            self.sock.sendto(packet, (self.dev, proto))


class Outer:
    """An outer datagram, taken apart."""

    def __init__(self, packet):
        self.packet = packet
        self.version = version(packet)
        if self.version == 4:
            self.tos, self.ttl = packet[1], packet[8]
            self.id, frag = struct.unpack("!HH", packet[4:8])
            self.df, self.mf, self.offset = bool(frag & 0x4000), bool(frag & 0x2000), frag & 0x1fff
            self.proto, size = packet[9], packet[0] % 16 * 4
            self.src, self.dst = map(socket.inet_ntoa, (packet[12:16], packet[16:20]))
        else:
            self.tos, self.ttl = struct.unpack("!I", packet[:4])[0] >> 20 & 0xff, packet[7]
            self.df, self.mf, self.offset, self.proto, size = True, False, 0, packet[6], 40
            self.src, self.dst = (str(ipaddress.ip_address(packet[i:i + 16])) for i in (8, 24))
        self.body = packet[size:]
        if self.proto == 17 and not self.offset:
            self.sport, self.dport, self.length, self.csum = struct.unpack("!HHHH", self.body[:8])
            self.payload = self.body[8:]

    def csum_right(self):
        pseudo = forge.pseudo(self.src, self.dst, 17, len(self.body))
        return forge.csum(pseudo + self.body) == 0


class Opened:
    """What an ESP packet of an SA without cipher holds."""

    def __init__(self, esp, data, seq_hi=0):
        self.spi, self.seq = struct.unpack("!II", data[:8])
        text, icv = data[8:-esp.icv], data[-esp.icv:]
        high = struct.pack("!I", seq_hi) if esp.esn else b""
        want = hmac.digest(esp.auth_key, data[:8] + text + high, esp.auth)[:esp.icv]
        self.authentic = want == icv
        self.pad_len, self.next_header = text[-2], text[-1]
        self.pad = text[len(text) - 2 - self.pad_len:-2]
        self.payload = text[:len(text) - 2 - self.pad_len]
        self.inner = self.payload[:inner_len(self.payload)]
        self.tfc = self.payload[len(self.inner):]


def inner_len(packet):
    if version(packet) == 4:
        return struct.unpack("!H", packet[2:4])[0]
    return 40 + struct.unpack("!H", packet[4:6])[0]


def is_esp(packet):
    outer = Outer(packet)
    return outer.proto == 17 and not outer.offset and outer.sport == 4500 and \
        len(outer.payload) >= 8 and outer.payload[:4] != bytes(4)


class Site:
    """The topology, a device with sockets, a peer for markers."""

    MARK_OUT = 0xfffe

    def __init__(self, own_socket=True):
        forge.topo_direct()
        forge.load_module()
        # packets to nobody draw no answers
        n("b", "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "-n", "b", "link", "add", "espudp0", "type", "espudp")
        run("ip", "-n", "b", "link", "set", "espudp0", "up")
        # an unfinished checksum is not what the wire carries
        n("b", "ethtool", "-K", "b0", "tx", "off")
        if own_socket:
            n("b", "espudp", "socket", "open", "espudp0")
        self.out = {}
        for family in 4, 6:
            self.out[family] = forge.sender("a", B[family], src=A[family], sport=4500)
        self.mark_sock = forge.sender("a", B[4])
        self.tap = Tap("b", "espudp0")
        self.wire = Tap("a", "a0")
        self.marks = 0
        self.marker = Esp(0xffff, seed=b"marker")
        # an interval of outer packets ends with an inner packet to this peer
        self.peer_add(0xffff, "local", "10.254.0.0/24", "remote", "10.253.0.0/24", roaming="off",
                      keepalive="off")
        self.sa_add(0xffff, "in", self.marker, "replay-window", 8192)
        self.mark_out = Esp(self.MARK_OUT, seed=b"marker")
        self.sa_add(0xffff, "out", self.mark_out)
        self.last = self.stats()

    # configuration

    def tool(self, *words, **kwargs):
        return n("b", "espudp", *words, **kwargs)

    def refused(self, *words, **kwargs):
        """What the tool says when it fails; empty if it does not."""
        done = forge.n_attempt("b", "espudp", *words, **kwargs)
        return done.stderr.strip() or f"status {done.returncode}" if done.returncode else ""

    def peer_add(self, ident, *selector, family=4, **settings):
        words = []
        settings.setdefault("roaming", "off")
        for key, value in settings.items():
            words += [key.replace("_", "-"), value]
        if selector:
            words += ["selector", *selector]
        remote = f"{A[4]}:4500" if family == 4 else f"[{A[6]}]:4500"
        return self.tool("peer", "add", "espudp0", "id", ident, "local", B[family],
                         "remote", remote, "routes", "none", *words)

    def sa_add(self, peer, direction, esp, *words, **kwargs):
        return forge.sa_add("b", "espudp0", peer, direction, esp, *words, **kwargs)

    def stats(self):
        return forge.stats("b")

    def show(self, ident):
        """The peer's record."""
        for peer in json.loads(self.tool("show", "espudp0", "--json"))[0]["peer"]:
            if peer["id"] == ident:
                return peer
        return None

    def adopt(self, marker):
        """A socket on port 4500 for the device to receive on; its owner is this process."""
        with netns("b"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", 4500))
            sock.setblocking(False)
            self.tool("socket", "adopt", "espudp0", "fd", sock.fileno(), "marker", marker,
                      pass_fds=[sock.fileno()])
        return sock

    # inbound

    def mark(self):
        """Sends what shows that all before it has been dealt with."""
        self.marks += 1
        inner = forge.udp("10.253.0.1", "10.254.0.1", 1, 2, struct.pack("!I", self.marks))
        forge.send(self.mark_sock, self.marker.seal(inner))
        return inner

    def receive(self, *datagrams, family=4, sock=None):
        """Sends datagrams; returns the inner packets that came out of the device."""
        self.tap.packets()
        for data in datagrams:
            forge.send(sock or self.out[family], data)
        end = self.mark()
        got = self.tap.packets(10, lambda packets: packets[-1:] == [end])
        if got[-1:] != [end]:
            diag("the marker did not come out")
            return got
        return got[:-1]

    def inbound(self, description, datagrams, delivered, counted=None, **kwargs):
        """A point: exactly these inner packets come out, exactly this is counted."""
        got = self.receive(*datagrams, **kwargs)
        counts = self.counted()
        want = dict(counted or {})
        return check(description, got == list(delivered) and counts == want,
                     f"delivered {[packet.hex() for packet in got]}",
                     f"expected  {[packet.hex() for packet in delivered]}",
                     f"counted {counts}, expected {want}")

    def counted(self):
        """Drops, and other oddities, since the last look."""
        now = self.stats()
        got = moved(self.last, now)
        self.last = now
        return {key: value for key, value in got.items()
                if key not in ("rx-packets", "rx-bytes", "tx-packets", "tx-bytes", "ifindex")}

    # outbound

    def send(self, *inner, seconds=10, family=None):
        """Sends inner packets through the device; returns the outer packets."""
        self.wire.packets()
        self.tap.inject(*inner)
        self.marks += 1
        self.tap.inject(forge.udp("10.254.0.1", "10.253.0.1", 1, 2,
                                  struct.pack("!I", self.marks)))
        spi = struct.pack("!I", self.MARK_OUT)

        def is_end(packet):
            return is_esp(packet) and Outer(packet).payload[:4] == spi
        got = self.wire.packets(seconds, lambda packets: packets and is_end(packets[-1]))
        if not got or not is_end(got[-1]):
            diag("the marker did not come")
            return [Outer(packet) for packet in got]
        return [Outer(packet) for packet in got[:-1] if Outer(packet).proto == 17
                or Outer(packet).offset]

    def outbound(self, description, esp, inner, seen=None, counted=None):
        """A point: these inner packets leave in ESP packets of this SA, if any."""
        outer = self.send(*inner)
        counts = self.counted()
        want = list(inner) if seen is None else list(seen)
        got = []
        for packet in outer:
            if not packet.payload.startswith(struct.pack("!I", esp.spi if esp else 0)):
                got.append(b"SPI " + packet.payload[:4].hex().encode())
                continue
            opened = Opened(esp, packet.payload)
            got.append(opened.payload if opened.authentic else b"not authentic")
        return check(description, got == want and counts == (counted or {}),
                     f"sent {[packet.hex() for packet in got]}",
                     f"expected {[packet.hex() for packet in want]}",
                     f"counted {counts}, expected {counted or {}}")


spis = iter(range(0x1000, 0x2000))


def sa(*words, spi=None, **kwargs):
    """An inbound SA of peer 1, made by netlink."""
    esp = Esp(spi or next(spis), *words, **kwargs)
    error, message = forge.sa_new("b", "espudp0", 1, "in", esp)
    if error:
        raise forge.Failed(f"sa-new: {error} {message}")
    return esp


# --------------------------------------------- super-packets, and what they are cut into

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
STAMPS = bytes.fromhex("0101080a0001000200030004")
DF = 0x4000


def tcp_segment(src, dst, data, seq, flags, ident=0, partial=False):
    """partial: its checksum is the device's to do."""
    body = struct.pack("!HHIIBBHHH", 5001, 80, seq & 0xffffffff, 77, (20 + len(STAMPS)) // 4 << 4,
                       flags, 500, 0, 0) + STAMPS + data
    base = forge.pseudo(src, dst, 6, len(body))
    value = forge.csum(base) ^ 0xffff if partial else forge.csum(base + body)
    body = body[:16] + struct.pack("!H", value) + body[18:]
    if ":" in src:
        return forge.ip6(src, dst, 6, body)
    return forge.ip4(src, dst, 6, body, ident & 0xffff, DF)


def tcp_cut(src, dst, data, size, seq, flags, ident=0):
    """The segments that it is on the wire, whoever cuts it."""
    found = []
    for at in range(0, len(data), size):
        now = flags & ~(CWR if at else 0) & ~(FIN | PSH if at + size < len(data) else 0)
        found.append(tcp_segment(src, dst, data[at:at + size], seq + at, now, ident + len(found)))
    return found


def udp_cut(src, dst, sport, dport, data, size, ident=0):
    found = []
    for at in range(0, len(data), size):
        packet = forge.udp(src, dst, sport, dport, data[at:at + size])
        if ":" not in src:
            packet = forge.ip4(src, dst, 17, packet[20:], (ident + len(found)) & 0xffff, DF)
        found.append(packet)
    return found


def inject_tcp(ns, dev, packet, size, ecn=False):
    """Gives a device a packet of tcp_segment(partial=True) that it shall cut (virtio_net_hdr)."""
    v6 = version(packet) == 6
    at = 40 if v6 else 20
    header = struct.pack("=BBHHHH", 1, (4 if v6 else 1) | (0x80 if ecn else 0),
                         at + 20 + len(STAMPS), size, at, 16)
    with netns(ns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.sendto(header + packet, (dev, ETH_P_IPV6 if v6 else ETH_P_IP))


def deliveries(family=4):
    """What UDP has given to sockets, a super-packet being one."""
    if family == 6:
        return int(re.search(r"Udp6InDatagrams\s+(\d+)", n("b", "cat", "/proc/net/snmp6"))[1])
    return int(re.search(r"^Udp: (\d+)", n("b", "cat", "/proc/net/snmp"), re.M)[1])


def ports(data, src=IN_A[4], dst=IN_B[4], sport=1111, dport=2222):
    """An inner datagram from a's side to b's."""
    return forge.udp(src, dst, sport, dport, data)


def back(data, src=IN_B[4], dst=IN_A[4], sport=2222, dport=1111):
    """One from b's side to a's."""
    return forge.udp(src, dst, sport, dport, data)


def both(prefix=4):
    """A selector of all that a and b have inside."""
    if prefix == 4:
        return ("local", "10.2.0.0/16", "remote", "10.1.0.0/16")
    return ("local", "fd00:2::/32", "remote", "fd00:1::/32")


def raw_sender(ns, dst):
    """For whole IPv4 packets, with a header of one's own."""
    with netns(ns):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        sock.connect((dst, 0))
    return sock


class Monitor:
    """Events as they come."""

    def __init__(self, ns="b", dev="espudp0"):
        self.path = forge.folder / f"monitor-{id(self)}"
        with open(self.path, "w", encoding="utf-8") as out:
            self.child = forge.n_spawn(ns, "espudp", "monitor", dev, "--json", stdout=out)
        time.sleep(0.5 * SLOW)

    def events(self, kind=None):
        events = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if kind is None or event.get("type") == kind:
                events.append(event)
        return events

    def wait(self, kind, number=1, seconds=5):
        return forge.wait_for(seconds * SLOW, lambda: len(self.events(kind)) >= number) and \
            self.events(kind)

    def stop(self):
        self.child.terminate()
        self.child.wait()


__all__ = [name for name in dir() if not name.startswith("_")]
os.environ.setdefault("LC_ALL", "C")
