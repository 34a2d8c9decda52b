#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""RFC 4303: what a sender and a receiver of ESP must do, each with a packet
that keeps the rule and one that does not."""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 180

import itertools
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import IN_A, IN_B, SLOW, Monitor, Opened, Site, back, both, ports
from forge import DUMMY, FULL, IPIP, IPV6, Esp, check, equal

LAST = 0xffffffff
site = Site()
spis = itertools.count(0x1000)
numbers = itertools.count()


def inner():
    """A packet like no other."""
    return ports(struct.pack("!I", next(numbers)))


def sa_in(*words, esn=False):
    esp = Esp(next(spis), esn=esn)
    site.sa_add(1, "in", esp, *words)
    return esp


def sa_out(*words, esn=False):
    """A new SA is the newest, so it is the one that is used."""
    esp = Esp(next(spis), esn=esn)
    site.sa_add(1, "out", esp, *words)
    return esp


def accepted(description, esp, *seqs):
    packets = [inner() for _ in seqs]
    site.inbound(description, [esp.seal(data, seq=seq) for data, seq in zip(packets, seqs)],
                 packets)


def dropped(description, reason, esp, *seqs, seal=None):
    datagrams = [(seal or (lambda seq: esp.seal(inner(), seq=seq)))(seq) for seq in seqs]
    site.inbound(description, datagrams, [], {reason: len(datagrams)})


def spoilt(esp, seq=None):
    data = esp.seal(inner(), seq=seq)
    return data[:-1] + bytes([data[-1] ^ 1])


def sent(esp, *packets, seq_hi=0):
    return [Opened(esp, outer.payload, seq_hi) for outer in site.send(*packets)]


# ---------------------------------------------------------- 2.1 SPI

def spi():
    data = inner()
    esp = sa_in()
    other = Esp(0xabcdef)
    site.inbound("2.1: an SPI that is installed selects its SA", [esp.seal(data)], [data])
    site.inbound("3.4.2: an SPI without an SA is dropped and counted", [other.seal(inner())], [],
                 {"rx-spi-unknown": 1})
    records = site.stats().get("unknown-spi", [])
    check("3.4.2: the SPI and its sender are recorded", any(
        record["spi"] in (0xabcdef, "0x00abcdef") for record in records), records)
    for number in 1, 255:
        site.inbound(f"2.1: the reserved SPI {number} is dropped", [Esp(number).seal(inner())], [],
                     {"rx-spi-reserved": 1})
        for direction in "in", "out":
            words = ("sa", "add", "espudp0", 1, direction, "spi", number, "enc", esp.enc,
                     *esp.tool_words())
            check(f"2.1: {direction}bound, the reserved SPI {number} cannot be installed",
                  site.refused(*words, stdin=esp.tool_keys()))
    words = ("sa", "add", "espudp0", 1, "in", "spi", 256, "enc", esp.enc, *esp.tool_words())
    check("2.1: SPI 256 can", not site.refused(*words, stdin=esp.tool_keys()))


# ------------------------------------ 4.4.2.1 of RFC 4301: larval SAs

def reserve():
    return Esp(forge.netlink("b").must("spi-reserve", ifname="espudp0",
                                       reserve={"peer": 1, "timeout": 60})[0]["reserve"]["spi"])


def early():
    """What the peer sends on an SA whose keys are not here yet."""
    def then_keys(number, after=0):
        esp = reserve()
        packets = [inner() for _ in range(number)]
        datagrams = [esp.seal(data) for data in packets]
        site.tap.packets()
        for data in datagrams:
            forge.send(site.out[4], data)
        time.sleep(after)
        forge.sa_new("b", "espudp0", 1, "in", esp)
        end = site.mark()
        got = site.tap.packets(10, lambda packets: packets[-1:] == [end])[:-1]
        return packets, got, site.counted().get("rx-spi-larval", 0)

    packets, got, late = then_keys(3)
    equal("larval: packets for a reserved SPI wait for its keys", (got, late), (packets, 0))
    packets, got, late = then_keys(3, after=4)
    equal("larval: as long as a message of IKEv1 that was lost takes", (got, late), (packets, 0))
    packets, got, late = then_keys(400)
    check("larval: not all of very many", 0 < len(got) <= 256 and len(got) + late == 400 and
          got == packets[:len(got)], len(got), late)
    esp = reserve()
    for _ in range(3):
        forge.send(site.out[4], esp.seal(inner()))
    count = 0

    def counted():
        nonlocal count
        count += site.counted().get("rx-spi-larval", 0)
        return count == 3
    check("larval: nor for ever", forge.wait_for(10 * SLOW, counted), count)
    forge.sa_new("b", "espudp0", 1, "in", esp)
    equal("larval: then they are gone", site.receive(), [])


def left_waiting():
    """For the audit: some are there when the device goes."""
    esp = reserve()
    for _ in range(3):
        forge.send(site.out[4], esp.seal(inner()))


# ------------------------------------- 2.2, 3.3.3 sequence numbers outbound

def outbound_numbers():
    esp = sa_out()
    packets = [back(bytes(size)) for size in range(5)]
    got = sent(esp, *packets)
    equal("3.3.3: the first sequence number is 1, the next are consecutive",
          [one.seq for one in got], [1, 2, 3, 4, 5])
    check("3.3.4: each packet is authentic, its payload what was to be sent",
          [one.payload for one in got if one.authentic] == packets)

    with_monitor = Monitor()
    esp = sa_out("seq", LAST - 3)
    got = sent(esp, *packets)
    equal("3.3.3: without ESN the last sequence number is 2^32-1, there is no wrap",
          [one.seq for one in got if one.authentic], [LAST - 2, LAST - 1, LAST])
    equal("3.3.3: what comes after it is dropped and counted", site.counted(),
          {"tx-seq-exhausted": 2})
    equal("3.3.3: and goes on being dropped", (sent(esp, *packets), site.counted()),
          ([], {"tx-seq-exhausted": 5}))
    check("3.3.3: an event told early that the numbers run out", with_monitor.wait("seq-soft"))
    check("3.3.3: an event tells that they have", with_monitor.wait("seq-exhausted"))
    with_monitor.stop()

    esp = sa_out("seq", LAST - 2, esn=True)
    got = sent(esp, *packets[:4])
    equal("2.2.1: with ESN the lower half wraps", [one.seq for one in got],
          [LAST - 1, LAST, 0, 1])
    check("2.2.1: the upper half is authenticated: 0 before the wrap",
          [one.authentic for one in got] == [True, True, False, False])
    esp_high = sa_out("seq", LAST - 2, esn=True)
    got = sent(esp_high, *packets[:4], seq_hi=1)
    check("2.2.1: 1 behind it", [one.authentic for one in got] == [False, False, True, True])
    esp = sa_out("seq", 2**64 - 3, esn=True)
    got = sent(esp, *packets, seq_hi=LAST)
    equal("3.3.3: with ESN the last is 2^64-1, there is no wrap",
          ([one.seq for one in got if one.authentic], site.counted()),
          ([LAST - 1, LAST], {"tx-seq-exhausted": 3}))


# ------------------------------------------- 3.4.3 replay, through the wire

def replay_window(size):
    top = 3 * size + 1000
    what = f"3.4.3: window {size}"
    esp = sa_in("replay-window", size)
    accepted(f"{what}: the first packet may have any number", esp, top)
    dropped(f"{what}: the newest number is not taken twice", "rx-replay-seen", esp, top)
    accepted(f"{what}: the left edge is inside", esp, top - size + 1)
    dropped(f"{what}: one to the left of the edge is outside", "rx-replay-old", esp, top - size,
            1)
    dropped(f"{what}: the left edge is not taken twice", "rx-replay-seen", esp, top - size + 1)
    accepted(f"{what}: numbers inside are taken in any order", esp, top - 1,
             top - size // 2 - 1, top - size + 2)
    accepted(f"{what}: it moves on by one", esp, top + 1)
    dropped(f"{what}: so the old edge is outside", "rx-replay-old", esp, top - size + 1)
    accepted(f"{what}: it moves on by its size less one", esp, top + size)
    dropped(f"{what}: what was seen stays seen", "rx-replay-seen", esp, top + 1)
    accepted(f"{what}: it moves on by more than its size", esp, top + 3 * size)
    accepted(f"{what}: numbers that were jumped over are taken", esp, top + 2 * size + 1)
    dropped(f"{what}: those before are not", "rx-replay-old", esp, top + size)
    dropped(f"{what}: sequence number 0 is never taken", "rx-replay-seen", esp, 0)


def replay_forged(size):
    """Only a packet that was authenticated moves the window."""
    esp = sa_in("replay-window", size)
    accepted(f"3.4.4.1: window {size}: a packet with the right ICV is taken", esp, 10)
    dropped(f"3.4.4.1: window {size}: one with a wrong ICV is dropped", "rx-auth", esp,
            10 + 100 * size, seal=lambda seq: spoilt(esp, seq))
    accepted(f"3.4.4.1: window {size}: and has not moved the window", esp, 9, 11)
    dropped(f"3.4.4.1: window {size}: a wrong ICV does not use up a number", "rx-auth", esp, 12,
            seal=lambda seq: spoilt(esp, seq))
    accepted(f"3.4.4.1: window {size}: the right packet of that number is taken", esp, 12)


def no_window():
    esp = sa_in("replay-window", 0)
    accepted("3.4.3: without a window, nothing is a replay", esp, 5, 5, 1, 7, 5)
    esn = Esp(next(spis), esn=True)
    words = ("sa", "add", "espudp0", 1, "in", "spi", esn.spi, "enc", esn.enc, *esn.tool_words())
    check("3.4.3: ESN without a window is refused",
          site.refused(*words, "replay-window", 0, stdin=esn.tool_keys()))
    check("3.4.3: a window of 8193 is refused",
          site.refused(*words, "replay-window", 8193, stdin=esn.tool_keys()))


def esn_window(size):
    what = f"2.2.1: ESN, window {size}"
    esp = sa_in("replay-window", size, "seq", LAST - 10, esn=True)
    accepted(f"{what}: numbers go on across 2^32", esp, LAST - 9, LAST, LAST + 1, LAST + 2,
             LAST + 5)
    accepted(f"{what}: late packets of before the wrap are taken", esp, LAST - 1)
    dropped(f"{what}: once", "rx-replay-seen", esp, LAST - 1)
    dropped(f"{what}: numbers of before the SA began are not", "rx-replay-seen"
            if size > 20 else "rx-replay-old", esp, LAST - 10)
    dropped(f"{what}: the upper half must be right, though it is not on the wire", "rx-auth", esp,
            (5 << 32) + 100)
    accepted(f"{what}: which moved nothing", esp, LAST + 6)
    esp = sa_in("replay-window", size, "seq", (7 << 32) + 5 * size, esn=True)
    accepted(f"{what}: in a later epoch, too", esp, (7 << 32) + 5 * size + 1)
    dropped(f"{what}: numbers left of the window are taken for the next epoch's, and fail",
            "rx-auth", esp, (7 << 32) + 3)
    accepted(f"{what}: up to the end of what can be inferred", esp,
             (7 << 32) + 4 * size + 2**32 - size)


# ------------------------------------------- ICV wrong: nothing has changed

def no_state_change():
    esp = sa_in()
    accepted("3.4.4.1: a right packet", esp, 1)
    site.tool("peer", "set", "espudp0", 1, "roaming", "address")
    old = site.show(1)
    elsewhere = forge.sender("a", "198.51.100.2", sport=5555)
    site.inbound("3.4.4.1: forged packets from elsewhere are dropped",
                 [spoilt(esp, seq) for seq in range(2, 12)], [], {"rx-auth": 10}, sock=elsewhere)
    new = site.show(1)
    equal("3.4.4.1: they move no endpoint", new.get("remote-port", new.get("remote")),
          old.get("remote-port", old.get("remote")))
    check("3.4.4.1: they are no sign of life", new["last-rx"] > old["last-rx"], old, new)
    equal("3.4.4.1: they count no traffic", new["stats"]["rx-packets"],
          old["stats"]["rx-packets"])
    time.sleep(1)
    accepted("3.4.4.1: the right packet of a number that was forged is taken", esp, 2)
    check("3.4.4.1: and is a sign of life", site.show(1)["last-rx"] < 1000 * SLOW)
    site.tool("peer", "set", "espudp0", 1, "roaming", "off")


# --------------------------------------- 2.4 - 2.7 padding, next header, TFC

def trailers():
    esp = sa_in()
    data = inner()
    short = -(len(data) + 2) % 4
    for size in (short, 252 + short):
        site.inbound(f"2.4: {size} octets of padding 1, 2, 3, ... are taken off",
                     [esp.seal(data, pad=bytes(range(1, size + 1)))], [data])
    site.inbound("2.4: padding that is not 1, 2, 3, ... is refused",
                 [esp.seal(data, pad=bytes(4 + short))], [], {"rx-pad": 1})
    site.inbound("2.5: a pad length beyond the payload is refused",
                 [esp.seal(b"", plain=bytes(6) + b"\x07\x04")], [], {"rx-pad": 1})
    site.inbound("2.5: one that takes all of it leaves no packet",
                 [esp.seal(b"", plain=b"\1\2\3\4\5\6\6\4")], [], {"rx-inner": 1})
    site.inbound("2.6: dummy packets (next header 59) are dropped silently, whatever they hold",
                 [esp.seal(b"", DUMMY), esp.seal(data, DUMMY), esp.seal(b"\xff" * 500, DUMMY)],
                 [], {"rx-dummy": 3})
    got = sorted(site.receive(esp.seal(data, DUMMY, seq=esp.seq)))
    equal("2.6: a dummy packet is subject to replay checks", (got, site.counted()),
          ([], {"rx-replay-seen": 1}))
    for number in 0, 17, 50, 255:
        site.inbound(f"2.6: next header {number} does not fit tunnel mode",
                     [esp.seal(data, number)], [], {"rx-next-header": 1})
    data6 = forge.udp(IN_A[6], IN_B[6], 1, 2, b"six")
    site.inbound("2.6: next header 41 is an IPv6 packet", [esp.seal(data6, IPV6)], [data6])
    site.inbound("2.6: not an IPv4 one, and the other way round",
                 [esp.seal(data, IPV6), esp.seal(data6, IPIP)], [], {"rx-inner": 2})
    for size in 1, 3, 100, 1200:
        site.inbound(f"2.7: {size} octets of traffic flow confidentiality padding are trimmed",
                     [esp.seal(data + b"\xa5" * size), esp.seal(data6 + b"\xa5" * size, IPV6)],
                     [data, data6])
    site.inbound("2.7: an inner packet longer than the payload is no padding",
                 [esp.seal(data[:-1])], [], {"rx-inner": 1})


def padding_out():
    esp = sa_out()
    packets = [back(bytes(size)) for size in range(0, 40)]
    got = sent(esp, *packets)
    check("2.4: outbound padding is 1, 2, 3, ...", len(got) == len(packets) and
          all(one.pad == bytes(range(1, one.pad_len + 1)) for one in got))
    check("2.4: and no longer than the alignment to 4 octets needs",
          all(one.pad_len < 4 for one in got) and
          all((len(one.payload) + one.pad_len + 2) % 4 == 0 for one in got))
    equal("2.6: the next header is 4 for IPv4", {one.next_header for one in got}, {IPIP})
    got = sent(esp, forge.udp(IN_B[6], IN_A[6], 1, 2, b"six"))
    equal("2.6: and 41 for IPv6", [one.next_header for one in got], [IPV6])
    equal("2.7: without the setting, nothing is padded", [one.tfc for one in got], [b""])

    site.tool("peer", "set", "espudp0", 1, "tfc", 400)
    packets = [back(bytes(size)) for size in (0, 1, 100, 372)]
    outer = site.send(*packets)
    got = [Opened(esp, one.payload) for one in outer]
    check("2.7: with it, packets of many sizes have one size",
          len(outer) == 4 and len({len(one.packet) for one in outer}) == 1)
    check("2.7: and hold what they held", [one.inner for one in got] == packets and
          {len(one.payload) for one in got} == {400})
    longer = back(bytes(373))
    got = sent(esp, longer)
    check("2.7: longer ones are not padded", [one.payload for one in got] == [longer])
    site.tool("peer", "set", "espudp0", 1, "tfc", 0)


# ------------------------------------------------- 3.4.2: whose SA it is

def two_sas():
    one, other = sa_in(), sa_in()
    first, second = inner(), inner()
    site.inbound("3.4.2: each SA has its own numbers", [one.seal(first, seq=1),
                                                        other.seal(second, seq=1)],
                 [first, second])
    wrong = Esp(one.spi, seed=b"another key")
    site.inbound("3.4.4.1: a packet of another key is dropped", [wrong.seal(inner(), seq=2)], [],
                 {"rx-auth": 1})
    moved = other.seal(inner(), seq=2)
    moved = struct.pack("!I", one.spi) + moved[4:]
    site.inbound("3.4.4.1: the SPI is authenticated", [moved], [], {"rx-auth": 1})
    moved = one.seal(inner(), seq=3)
    moved = moved[:4] + struct.pack("!I", 4) + moved[8:]
    site.inbound("3.4.4.1: the sequence number is authenticated", [moved], [], {"rx-auth": 1})


site.peer_add(1, *both(4), "selector", *both(6))
spi()
early()
outbound_numbers()
for window in (32, 64, 1024, 8192) if not FULL else (1, 31, 32, 33, 63, 64, 65, 128, 1000, 1024,
                                                      4096, 8191, 8192):
    if window > 4:
        replay_window(window)
replay_forged(64)
replay_forged(8192)
no_window()
for window in (32, 8192) if not FULL else (32, 64, 1024, 4096, 8192):
    esn_window(window)
no_state_change()
trailers()
padding_out()
two_sas()
left_waiting()
forge.end()
