#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""ESP that comes one packet at a time, put together by the device's GRO.

  a  a0  ---  b0  b (espudp0)  b1 ---  c0  c  c1 ---  d0  d

b0 has GRO, and a NAPI thread, which does not run while the sender does: all that is
sent at once is received at once.
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
import threading
import time
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import (A, B, DF, IN_A, IN_B, SLOW, Outer, Site, Tap, both, deliveries, ports,
                         raw_sender, sa, udp_cut, version)
from forge import UDP_GRO, UDP_SEGMENT, Esp, check, diag, equal, n, netns, read_all, run

seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().getrandbits(32)
rng = random.Random(seed)
C = {4: "203.0.113.9", 6: "2001:db8:9::9"}
D = {4: "203.0.114.9", 6: "2001:db8:a::9"}
MARKER = bytes(4)

site = Site()
site.peer_add(1, *both(4), "selector", *both(6), keepalive="off")
raw = raw_sender("a", B[4])
burst6 = forge.sender("a", B[6], src=A[6], sport=4500)
n("a", "ethtool", "-K", "a0", "tso", "off", "tx", "off")
n("b", "ethtool", "-K", "b0", "gro", "on")
Path("/proc/sys/kernel/sched_rt_runtime_us").write_text("-1")
n("b", "sh", "-c", "echo 1 >/sys/class/net/b0/threaded")
# what waits for a neighbour to be found is overtaken by what does not
mac = n("b", "cat", "/sys/class/net/b0/address").strip()
for address in B.values():
    run("ip", "-n", "a", "neigh", "replace", address, "lladdr", mac, "dev", "a0")


def known(esp, family=4):
    """GRO asks for an authentic packet first."""
    inner = some(1)
    site.inbound(f"SPI {esp.spi:#x}, IPv{family}: the first packet arrives",
                 [esp.seal(inner[0])], inner, family=family)
    return esp


def some(number=30, size=700):
    return [ports(rng.randbytes(4) + bytes(size)) for _ in range(number)]


def outer(data, dst=B[4], ident=0x100, frag=DF, checksum=True, sport=4500, wrong=False, **words):
    packet = forge.udp(A[4], dst, sport, 4500, data, with_csum=checksum)[20:]
    if wrong:
        packet = packet[:6] + bytes([packet[6] ^ 1]) + packet[7:]
    return forge.ip4(A[4], dst, 17, packet, ident, frag, **words)


def throw(packets, sock=raw):
    """All at once. What can be called sends by itself."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    for packet in packets:
        if callable(packet):
            packet()
        else:
            forge.send(sock, packet)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def point(what, packets, delivered, wholes, counted=None, family=4, odd=None):
    """These inner packets come out, in order but for the odd one; UDP delivered so many."""
    site.tap.packets()
    before = deliveries(family)
    throw(packets, raw if family == 4 else burst6)
    got = site.tap.packets(3, lambda now: len(now) >= len(delivered))
    got += site.receive()
    if odd is not None and delivered[odd] in got:
        got.remove(delivered[odd])
        got.insert(odd, delivered[odd])
    counts = site.counted()
    whole = deliveries(family) - before - (family == 4)     # the marker
    low, high = wholes if isinstance(wholes, tuple) else (wholes, wholes)
    check(what, got == delivered and counts == (counted or {}) and low <= whole <= high,
          f"{len(got)} of {len(delivered)}, in {whole}, expected {wholes}",
          f"counted {counts}, expected {counted or {}}")


def merging():
    for words in ("aes-gcm",), ("aes-cbc", "sha256", True):
        esp = sa(*words)
        inner = some()
        point(f"{words[0]}: of an SA that nothing has come for they come singly",
              [outer(esp.seal(data)) for data in inner], inner, 30)
        for how, checksum in ("zero", False), ("full", True):
            inner = some()
            point(f"{words[0]}, checksum {how}: 30 come as one",
                  [outer(esp.seal(data), checksum=checksum) for data in inner], inner, 1)
        inner = some(59) + some(1, 300)
        point(f"{words[0]}: 60, the last shorter: as one",
              [outer(esp.seal(data)) for data in inner], inner, (1, 2))
        inner = some(200, 90)
        point(f"{words[0]}: 200 small ones",
              [outer(esp.seal(data)) for data in inner], inner, (4, 8))
    esp = known(sa("aes-gcm"), family=6)
    inner = some()
    point("over IPv6: as one", [esp.seal(data) for data in inner], inner, 1, family=6)
    inner = some()
    point("to another of our addresses: not until an authentic one came there",
          [outer(esp.seal(data)) for data in inner], inner, 30)
    inner = some()
    point("but then", [outer(esp.seal(data)) for data in inner], inner, 1)


def different():
    esp, other = known(sa("aes-gcm")), known(sa("aes-gcm", seed=b"other"))

    def one(what, at, wholes, lost=(), odd=None, **words):
        inner = some()
        point(f"in the middle, {what}",
              [outer(esp.seal(data), **(words if i in at else {})) for i, data in
               enumerate(inner)], [data for i, data in enumerate(inner) if i not in lost], wholes,
              odd=odd)
    one("another TOS", [12], 3, tos=4)
    one("another TTL", [12], 3, ttl=63)
    one("without DF", [12], 3, frag=0)
    one("no checksum", [12], 2, odd=12, checksum=False)
    one("a wrong checksum", [12], (1, 3), lost=[12], wrong=True)
    inner = some()
    point("without DF, identifications count up: as one",
          [outer(esp.seal(data), ident=0xfff0 + i & 0xffff or 1, frag=0)
           for i, data in enumerate(inner)], inner, (1, 3))
    inner = some()
    point("without DF, they do not: singly",
          [outer(esp.seal(data), ident=0x900 - i, frag=0) for i, data in enumerate(inner)],
          inner, 30)
    inner = some(12) + some(1, 900) + some(12)
    point("a longer one in the middle", [outer(esp.seal(data)) for data in inner], inner, (2, 4))
    inner = some(12) + some(1, 300) + some(12)
    point("a shorter one in the middle", [outer(esp.seal(data)) for data in inner], inner, (2, 3))
    # each SA's order is kept, no more
    mine, its = some(15), some(15)
    mixed = [outer(both_[i].seal(inner_[i])) for one_, two in zip(mine, its)
             for both_, inner_ in [((esp, other), (one_, two))] for i in (0, 1)]
    site.tap.packets()
    before = deliveries()
    throw(mixed)
    got = site.tap.packets(3, lambda now: len(now) >= 30)
    whole = deliveries() - before
    check("two SAs in turn: each packet arrives, in the order of its SA, in two",
          [data for data in got if data in mine] == mine and
          [data for data in got if data in its] == its and len(got) == 30 and whole == 2,
          len(got), whole)
    site.receive()
    site.counted()
    nobody = Esp(0xabcdef, "aes-gcm")
    point("an unknown SPI: singly, each counted", [outer(nobody.seal(data)) for data in some()],
          [], 30, {"rx-spi-unknown": 30})
    sealed = [esp.seal(data) for data in some()]
    point("a wrong ICV in all: each counted",
          [outer(data[:-1] + bytes([data[-1] ^ 1])) for data in sealed], [], 1, {"rx-auth": 30})
    inner = some()
    point("the right ones are taken after that",
          [outer(data) for data in [esp.seal(data) for data in inner]], inner, 1)
    # roaming is off: the batch's outer source does not matter, but is the batch's own
    inner = some()
    point("another source port in the middle",
          [outer(esp.seal(data), sport=4501 if i == 12 else 4500) for i, data in
           enumerate(inner)], inner, 2, odd=12)


def supers():
    """What is a super-packet already is not kept, and overtakes none that is."""
    esp = known(sa("aes-gcm"))
    n("a", "ethtool", "-K", "a0", "tx", "on", "tso", "off", "tx-udp-segmentation", "on")
    sock = forge.sender("a", B[4], src=A[4], sport=4500)
    for before, behind in (1, 1), (5, 5), (1, 0):
        inner = some(before + 15 + behind)
        sealed = [esp.seal(data) for data in inner]
        size = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", len(sealed[0])))]
        # of one socket: GRO takes others' for other flows
        sends = [lambda data=data: sock.send(data) for data in sealed]
        sends[before:before + 15] = [
            lambda data=b"".join(sealed[before:before + 15]): sock.sendmsg([data], size)]
        point(f"{before} packets, a super-packet, {behind} packets: in order", sends, inner,
              2 + (behind > 0))
    sock.close()
    n("a", "ethtool", "-K", "a0", "tx", "off")


def ce():
    """The outer CE mark of just that packet goes inside."""
    esp = known(sa("aes-gcm"))
    inner = [forge.ip4(IN_A[4], IN_B[4], 17, data[20:], tos=2) for data in some()]
    site.tap.packets()
    throw([outer(esp.seal(data), tos=3 if i in (5, 6, 20) else 2) for i, data in
           enumerate(inner)])
    got = site.tap.packets(3, lambda now: len(now) >= 30)
    equal("CE outside of three: those three are marked inside",
          [i for i, data in enumerate(got) if data[1] & 3 == 3], [5, 6, 20])
    site.receive()


def ike():
    esp = known(sa("aes-gcm"))
    site.tool("socket", "close", "espudp0")
    for marker, owner_gro in ("keep", 0), ("strip", 1), ("strip", None):
        owner = site.adopt(marker)
        if owner_gro is not None:
            owner.setsockopt(socket.IPPROTO_UDP, UDP_GRO, owner_gro)
        what = f"marker {marker}, UDP_GRO {owner_gro}"     # 0 forbids super-packets
        skip = 4 * (marker == "strip")
        letters = [MARKER + rng.randbytes(700) for _ in range(20)]
        point(f"{what}: IKE of equal size comes singly", [outer(data) for data in letters], [],
              0, {"rx-ike": 20})       # UDP counts these when they are read
        equal(f"{what}: and unharmed", read_all(owner, 1, 20), [data[skip:] for data in letters])
        inner, sent = some(), []
        for i, data in enumerate(inner):
            sealed = esp.seal(data)
            sent += [outer(sealed)]
            if i % 7 == 3:
                sent += [outer(MARKER + rng.randbytes(len(sealed) - 4)), outer(b"\xff")]
        letters = [packet[28:] for packet in sent if packet[28:32] == MARKER]
        point(f"{what}: IKE and keepalives in between: ESP arrives in order", sent, inner,
              34 if owner_gro == 0 else 5,
              {"rx-ike": len(letters), "rx-keepalive": len(letters)})
        equal(f"{what}: IKE to its owner", read_all(owner, 1, len(letters)),
              [data[skip:] for data in letters])
        if owner_gro != 0:
            hurry(what, esp, owner)
        site.tool("socket", "close", "espudp0")
        owner.close()
    site.tool("socket", "open", "espudp0")
    site.counted()


def hurry(what, esp, owner):
    """While GRO may hold packets for long, IKE and keepalives pass at once. It does not
    hold what came before the clock ticked: another try then.
    """
    knob = "/sys/class/net/b0/gro_flush_timeout"
    wait = 2 * SLOW
    n("b", "sh", "-c", f"echo {int(wait * 1e9)} >{knob}")
    passed = True
    for _ in range(10):
        site.tap.packets()
        inner = some(1)
        before = time.monotonic()
        throw([outer(esp.seal(inner[0])), outer(MARKER + b"now"), outer(b"\xff")])
        letter = read_all(owner, wait / 2, 1)
        quick = time.monotonic() - before
        alive = forge.wait_for(wait / 2 - quick, lambda: site.counted().get("rx-keepalive"))
        passed &= len(letter) == 1 and bool(alive)
        early = site.tap.packets()
        if not early or not passed:
            break
    late = early or site.tap.packets(wait, lambda now: now)
    n("b", "sh", "-c", f"echo 0 >{knob}")
    check(f"{what}: where GRO holds ESP for {wait} s, IKE passes in {quick:.2f} s, a keepalive too",
          passed and not early and late == inner, letter, alive, early, late)


def forwarded():
    """Somebody else's NAT-T, whose SPI is one of ours."""
    forge.ns_add("c")
    run("ip", "-n", "b", "link", "add", "b1", "type", "veth", "peer", "name", "c0", "netns", "c")
    n("b", "ethtool", "-K", "b1", "tso", "off", "gso", "off", "tx", "off")
    n("b", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
      "net.ipv6.conf.b1.disable_ipv6=0")
    for ns, dev, host in ("b", "b1", 1), ("c", "c0", 9):
        run("ip", "-n", ns, "link", "set", dev, "up")
        run("ip", "-n", ns, "addr", "add", f"203.0.113.{host}/24", "dev", dev)
        run("ip", "-n", ns, "addr", "add", f"2001:db8:9::{host}/64", "dev", dev, "nodad")
    run("ip", "-n", "a", "route", "add", "203.0.113.0/24", "via", B[4])
    run("ip", "-n", "a", "-6", "route", "add", "2001:db8:9::/64", "via", B[6])
    owners = [forge.receiver("c", C[family], 4500) for family in (4, 6)]
    seen, sent_ = Tap("c", "c0"), Tap("a", "a0")
    esp = known(sa("aes-gcm"))
    inner = some()
    point("the SA's own packets come as one", [outer(esp.seal(data)) for data in inner], inner, 1)
    known(esp, family=6)
    raw_c = raw_sender("a", C[4])
    far6 = forge.sender("a", C[6], src=A[6], sport=4500)
    known(esp)
    data = [esp.seal(data) for data in some()]
    for what, sock, packets in (
            ("full checksums", raw_c, [outer(one, C[4]) for one in data]),
            ("zero checksums", raw_c, [outer(one, C[4], checksum=False) for one in data]),
            ("no DF", raw_c, [outer(one, C[4], ident=0x300 + i, frag=0)
                              for i, one in enumerate(data)]),
            ("the last shorter", raw_c, [outer(one, C[4]) for one in
                                         [*data[:-1], data[-1][:300]]]),
            ("IKE of equal size", raw_c, [outer(MARKER + one, C[4]) for one in data]),
            ("over IPv6", far6, data)):
        for tap in seen, sent_:
            tap.packets()
        throw(packets, sock)
        got = [one for one in seen.packets(3, lambda now: sum(map(is_udp, now)) >= len(packets))
               if is_udp(one)]
        want = [routed(one) for one in sent_.packets(outgoing=True) if is_udp(one)]
        check(f"forwarded, {what}: what leaves is what came, octet for octet",
              got == want and len(got) == len(packets), len(got), len(want),
              *[one[:48].hex() for one in (got + [b""])[0:1] + (want + [b""])[0:1]])
    sent_.sock.close()      # without clones
    forwarded_super(seen, data)
    for owner in owners:
        owner.close()
    equal("nothing of that was for us", site.counted(), {})


def forwards(family):
    """What b has forwarded, a super-packet being one."""
    if family == 6:
        return int(re.search(r"Ip6OutForwDatagrams\s+(\d+)", n("b", "cat", "/proc/net/snmp6"))[1])
    return int(re.search(r"^Ip:((?: \d+)+)", n("b", "cat", "/proc/net/snmp"), re.M)[1].split()[5])


def forwarded_super(seen, data):
    """The same as one: a sender's with UDP_SEGMENT."""
    n("a", "ethtool", "-K", "a0", "tx", "on", "tx-udp-segmentation", "on")
    for family in 4, 6:
        sock = forge.sender("a", C[family], src=A[family], sport=4500)
        if family == 4:
            sock.setsockopt(socket.IPPROTO_IP, 10, 2)       # IP_MTU_DISCOVER: DF
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(data[0]))
        seen.packets()
        before = forwards(family)
        throw([b"".join(data)], sock)
        got = [one for one in seen.packets(3, lambda now: sum(map(is_udp, now)) >= len(data))
               if is_udp(one)]
        whole = forwards(family) - before
        head = got[0] if got else bytes(40)
        want = udp_cut(A[family], C[family], 4500, 4500, b"".join(data), len(data[0]),
                       struct.unpack("!H", head[4:6])[0])
        if family == 6:
            want = [head[:4] + one[4:] for one in want]     # the flow label
        check(f"forwarded, IPv{family}, 30 as one with UDP_SEGMENT: what leaves is those 30",
              got == [routed(one) for one in want] and whole == 1, len(got), whole,
              *[one[:48].hex() for one in (got + [b""])[0:1] + want[0:1]])
        sock.close()
    n("a", "ethtool", "-K", "a0", "tx", "off")


def diverted():
    """For our address, put together as ours; then a NAT says that it is another's, who is
    behind c: what b1 leaves to do is done at c1 at last.
    """
    esp = known(sa("aes-gcm"))
    forge.ns_add("d")
    run("ip", "-n", "c", "link", "add", "c1", "type", "veth", "peer", "name", "d0", "netns", "d")
    n("c", "ethtool", "-K", "c1", "tso", "off", "gso", "off", "tx", "off")
    n("c", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    run("ip", "-n", "d", "link", "set", "d0", "up")
    run("ip", "-n", "c", "link", "set", "c1", "up")
    for family, width in (4, 32), (6, 128):
        run("ip", "-n", "b", "route", "add", f"{D[family]}/{width}", "via", C[family])
        run("ip", "-n", "c", "route", "add", f"{D[family]}/{width}", "dev", "c1")
        run("ip", "-n", "c", "neigh", "add", D[family], "lladdr", "02:00:00:00:00:09", "dev", "c1")
    seen = Tap("d", "d0")
    n("b", "nft", "-f", "-", stdin="""table inet t {
        chain pre { type nat hook prerouting priority -100; }
        chain through { type filter hook forward priority 0; udp dport 4500 counter; }
        }""")

    def divert(family):
        n("b", "nft", "add", "rule", "inet", "t", "pre", "iifname", "b0", "udp", "sport", "4500",
          "udp", "dport", "4500", "dnat", "ip6" if family == 6 else "ip", "to", D[family])
        n("b", "conntrack", "-F")

    def went():
        return int(re.search(r"counter packets (\d+)",
                             n("b", "nft", "list", "table", "inet", "t"))[1])

    def arrive(what, packets, payloads, family=4, zero=False):
        seen.packets()
        before = went()
        throw(packets, raw if family == 4 else burst6)
        got = [Outer(one) for one in seen.packets(
            3, lambda now: sum(map(is_udp, now)) >= len(packets)) if is_udp(one)]
        whole = went() - before
        check(f"diverted by a NAT, {what}: {len(packets)} that were put together arrive there",
              [one.payload for one in got] == payloads and 1 <= whole <= 3 and
              all(one.dst == D[family] and (one.csum_right() or zero and not one.csum)
                  for one in got) and
              (family == 6 or [one.id for one in got] == [*range(0x700, 0x700 + len(packets))]),
              f"{len(got)} of {len(packets)}, as {whole}",
              *[one.packet[:48].hex() for one in got[:3]])

    def devices(what, packets, payloads, **words):
        for device, features in (
                ("without checksums", ("tx", "off", "gso", "off", "tx-udp-segmentation", "off")),
                ("with checksums", ("tx", "on", "gso", "off", "tx-udp-segmentation", "off")),
                ("with USO", ("tx", "on", "gso", "on", "tx-udp-segmentation", "on"))):
            n("b", "ethtool", "-K", "b1", *features)
            arrive(f"{what}, a device {device}", packets, payloads, **words)

    divert(4)
    for what, last, words in (("full checksums", 700, {}),
                              ("zero checksums", 700, {"checksum": False}),
                              ("full checksums, no DF", 700, {"frag": 0}),
                              ("zero checksums, no DF", 700, {"frag": 0, "checksum": False}),
                              ("the last shorter", 300, {})):
        sealed = [esp.seal(data) for data in some(29) + some(1, last)]
        devices(what, [outer(data, ident=0x700 + i, **words) for i, data in enumerate(sealed)],
                sealed, zero="checksum" in words)
    known(esp, family=6)
    divert(6)
    sealed = [esp.seal(data) for data in some()]
    devices("over IPv6", sealed, sealed, family=6)
    n("b", "nft", "delete", "table", "inet", "t")
    n("b", "conntrack", "-F")
    equal("diverted: nothing of that was for us", site.counted(), {})


def is_udp(packet):
    return (packet[9] if version(packet) == 4 else packet[6]) == 17


def routed(packet):
    packet = bytearray(packet)
    if version(packet) == 6:
        packet[7] -= 1
        return bytes(packet)
    packet[8] -= 1
    packet[10:12] = b"\0\0"
    packet[10:12] = struct.pack("!H", forge.csum(bytes(packet[:20])))
    return bytes(packet)


def switched():
    esp = known(sa("aes-gcm"))
    for value, wholes in ("0", 30), ("1", 1):
        knob.write_text(value)
        inner = some()
        point(f"gro={value}: {'singly' if wholes > 1 else 'as one'}",
              [outer(esp.seal(data)) for data in inner], inner, wholes)


def given_back():
    """An adopted socket comes and goes under traffic, its owner keeps it."""
    esp = known(sa("aes-gcm"))
    site.tool("socket", "close", "espudp0")
    sealed = [outer(esp.seal(data)) for data in some(40)]
    with netns("b"):
        owner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        owner.bind(("", 4500))
        owner.setblocking(False)
    stop = threading.Event()

    def traffic():
        while not stop.is_set():
            for packet in sealed:
                forge.send(raw, packet)
    thread = threading.Thread(target=traffic)
    thread.start()
    got = 0
    rounds = 5 if forge.DEBUG_KERNEL else 30
    for _ in range(rounds):
        site.tool("socket", "adopt", "espudp0", "fd", owner.fileno(), pass_fds=[owner.fileno()])
        time.sleep(0.02)
        site.tool("socket", "close", "espudp0")
        time.sleep(0.02)
        got += bool(read_all(owner))
    stop.set()
    thread.join()
    owner.close()
    equal(f"{rounds} times adopted and given back under traffic: its owner reads again", got,
          rounds)
    site.tool("socket", "open", "espudp0")
    site.receive()
    site.counted()
    inner = some()
    known(esp := sa("aes-gcm"))
    point("and GRO goes on", [outer(esp.seal(data)) for data in inner], inner, 1)


diag(f"SEED={seed}")
knob = Path("/sys/module/espudp/parameters/gro")
knob.write_text("1")    # whatever PARAMETERS says
merging()
different()
supers()
ce()
ike()
forwarded()
diverted()
switched()
given_back()
forge.end()
