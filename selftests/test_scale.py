#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Thousands of peers come and go, each with an SA pair and an address of its own behind
the same NAT address, while a tunnel is in use: nothing of its traffic is lost. The many
have traffic, too, while they come and go: each gets its own, or nothing. What they took
is given back, and neither a packet nor an installation gets dearer with their number.

  a  espudp0 10.1.0.1  =====  b  espudp0 10.2.0.1     peer 1, in use
     198.51.100.1                                     peers 2...: 10.128.0.0/9, ports 20000...
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12
# TIMEOUT: 240
# SMP: 2
# THREAD: multi

import contextlib
import functools
import json
import os
import random
import re
import select
import socket
import struct
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import scene
from forge import Esp, check, diag, equal, n, netns, read_all, run

PEERS = 10000 if forge.FULL and not forge.DEBUG_KERNEL else 300 if forge.DEBUG_KERNEL else 2000
SAMPLE = 100
RATE = 20 if forge.DEBUG_KERNEL else 100     # of the tunnel, each way
OUT = 0x100000     # from an inbound SPI to its outbound one
rng = random.Random(7)
# why a packet for one of the many may be dropped, or one that nobody asked for
COMING = {"rx-spi-unknown", "tx-no-selector", "tx-no-sa"}
GOING = COMING | {"rx-selector"}     # which go before the SAs


def address(peer):
    return f"10.128.{peer >> 8}.{peer & 255}"


def spi(peer):
    return 0x100000 + peer


def stamp():
    """A sequence number, larger than those before."""
    return time.monotonic_ns() // 1000


def seal(peer, payload, port=9999):
    """All have the same keys."""
    forged.spi = spi(peer)
    return forged.seal(forge.udp(address(peer), "10.2.0.1", peer, port, payload),
                       seq=stamp())


def padding(peer):
    """A payload for it that has its length."""
    return bytes(4 * (peer % 97))


def sa_lines(direction, number):
    return f"""[SA]
Direction = {direction}
SPI = {number}
Encryption = aes-gcm
KeyFile = key"""


def config(peers):
    """Peer 1, whose SAs are installed already, and those."""
    lines = ["""[Device]
Port = 4500
Listen = own
[Peer]
Id = 1
Remote = 198.51.100.1
Roaming = off
Routes = none
Selector = local 10.2.0.0/24 remote 10.1.0.0/24"""]
    lines += [sa_lines("in", spi(PEERS + 2)), sa_lines("in", spi(1)),
              sa_lines("out", spi(1) + OUT)]
    for peer in peers:
        lines.append(f"""[Peer]
Id = {peer}
Remote = 198.51.100.1:{20000 + peer}
Roaming = off
Routes = none
Keepalive = off
Selector = local 10.2.0.0/24 remote {address(peer)}/32""")
        lines += [sa_lines("in", spi(peer)), sa_lines("out", spi(peer) + OUT)]
    return "\n".join(lines) + "\n"


def install(name):
    """Seconds of the processor that it took."""
    before = os.times()
    n("b", "espudp", "setconf", "espudp0", folder / name)
    after = os.times()
    return after.children_user + after.children_system - \
        before.children_user - before.children_system


def memory(*kinds):
    """KiB."""
    time.sleep(1)       # RCU
    Path("/proc/sys/vm/drop_caches").write_text("3")
    said = Path("/proc/meminfo").read_text()
    return sum(int(re.search(rf"^{kind}:\s+(\d+)", said, re.M)[1]) for kind in kinds)


def kept():
    """Pages are not all given back at once, and what KASAN keeps of the slab never."""
    for cache in Path("/sys/kernel/slab").iterdir():
        (cache / "shrink").write_text("1")
    return memory("Percpu", *([] if forge.DEBUG_KERNEL else ["Slab", "VmallocUsed"]))


def received():
    """A packet of peer 1 each."""
    forged.spi = spi(PEERS + 2)
    return [functools.partial(wire.send, forged.seal(forge.inner(bytes(64)), seq=stamp()))
            for _ in range(SAMPLE)]


def sent_to(some):
    """A packet for one of these each."""
    return [functools.partial(plain.sendto, bytes(64), (address(peer), 9))
            for _ in range(SAMPLE // len(some)) for peer in some]


def cost(counter, *kinds):
    """Nanoseconds for a packet, the least of many times, of each kind: functions
    that make some calls, each of which sends one.
    """
    time.sleep(1)       # hash tables grow later
    os.sched_setaffinity(0, {0})
    took, lost = [[] for _ in kinds], 0
    for _ in range(20):
        for kind, best in zip(kinds, took):
            calls = kind()
            wanted = forge.stats("b")[counter] + len(calls)
            began = time.monotonic_ns()
            for call in calls:
                call()
            best.append((time.monotonic_ns() - began) // len(calls))
            forge.wait_for(5, lambda: forge.stats("b")[counter] >= wanted)
            lost += wanted - forge.stats("b")[counter]
            read_all(out)
    equal(f"of those whose cost is taken all are counted in {counter}", lost, 0, forge.drops("b"))
    return [min(best) for best in took]


def wrong_inside(data, source):
    """One that arrived in b under another's address."""
    return source != (address(int(data)), int(data))


def wrong_outside(packet):
    """One that arrived in a for one of the many, and is of another."""
    port, = struct.unpack("!H", packet[22:24])
    number, = struct.unpack("!I", packet[28:32])
    peer = port - 20000
    # headers and trailer, inside and outside
    return number != spi(peer) + OUT or len(packet) != 20 + 8 + 16 + 28 + 4 + 16 + \
        len(padding(peer))


def traffic_of(peers, number, until):
    """What a child does until it is told, and answers."""
    some = random.Random(number)
    with netns("a"):
        outside = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    inside = forge.receiver("b", "10.2.0.1", 9998)
    counts, wrong, last = [0, 0, 0], [], False
    while not last:
        last = bool(select.select([until], [], [], 0.02)[0])
        if last:
            time.sleep(0.5)
        else:
            for peer in some.sample(peers, 5):
                forge.send(wire, seal(peer, b"%d" % peer, 9998))
                inside.sendto(padding(peer), (address(peer), 9))
                counts[0] += 1
        with contextlib.suppress(BlockingIOError):
            while True:
                data, source = inside.recvfrom(100)
                counts[1] += 1
                if wrong_inside(data, source):
                    wrong.append(f"{data} of {source}")
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = outside.recv(65536, socket.MSG_DONTWAIT)
                if 20000 <= struct.unpack("!H", packet[22:24])[0] < 32768:
                    counts[2] += 1
                    if wrong_outside(packet):
                        wrong.append(packet.hex())
    until.send(json.dumps([counts, wrong[:10]]).encode())


@contextlib.contextmanager
def traffic(peers, reasons):
    """They have some meanwhile, and are dropped for these reasons alone."""
    before = forge.stats("b")
    here, there = socket.socketpair()
    pid = os.fork()
    if not pid:
        here.close()
        try:
            traffic_of(peers, len(stories), there)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    there.close()
    yield
    here.send(b".")
    stories.append(json.loads(here.recv(65536) or b"null") or [[0, 0, 0], ["no answer"]])
    os.waitpid(pid, 0)
    dropped = {why: now - before["drop"].get(why, 0) for why, now in forge.drops("b").items()}
    odd.append({why: number for why, number in dropped.items() if number and why not in reasons})


def sample(peers):
    """Some of them get their own, and send theirs."""
    def sent():
        return [forge.netlink("b").must("sa-get", ifname="espudp0", sa={
            "spi": spi(peer) + OUT, "dir": "out", "peer": peer})[0]["sa"]["stats"]["tx-packets"]
            for peer in some]
    some = rng.sample(peers, SAMPLE)
    read_all(out)
    before, already = forge.stats("b"), sent()
    for peer in some:
        forge.send(wire, seal(peer, b"%d" % peer))
    equal(f"{SAMPLE} of {len(peers)} peers send, each from its own address",
          sorted(read_all(out, 5, SAMPLE)), sorted(b"%d" % peer for peer in some),
          forge.moved(before, forge.stats("b")))
    for peer in some:
        out.sendto(b"", (address(peer), 9))
    forge.wait_for(5, lambda: sum(sent()) - sum(already) >= SAMPLE)
    equal("and each is sent what is for it", [now - then for now, then in zip(sent(), already)],
          [1] * SAMPLE)


def delete(peers, how):
    if how == "at once":
        install("alone")
        return
    for peer in rng.sample(peers, len(peers)):
        forge.netlink("b").must("peer-del", ifname="espudp0", peer={"id": peer})


def tunnel():
    for name, here, there in ("a", 1, 2), ("b", 2, 1):
        run("ip", "-n", name, "link", "add", "espudp0", "type", "espudp")
        n(name, "espudp", "socket", "open", "espudp0")
        n(name, "espudp", "peer", "add", "espudp0", "id", 1, "remote", f"198.51.100.{there}",
          "roaming", "off", "selector", "local", f"10.{here}.0.0/24", "remote", f"10.{there}.0.0/24")
        run("ip", "-n", name, "addr", "add", f"10.{here}.0.1/24", "dev", "espudp0")
        run("ip", "-n", name, "link", "set", "espudp0", "up")
        run("ip", "-n", name, "route", "add", f"10.{there}.0.0/24", "dev", "espudp0")
    for esp, source, sink in (Esp(spi(1), "aes-gcm"), "a", "b"), \
                             (Esp(spi(1) + OUT, "aes-gcm"), "b", "a"):
        forge.sa_add(sink, "espudp0", 1, "in", esp)
        forge.sa_add(source, "espudp0", 1, "out", esp)
    run("ip", "-n", "b", "route", "add", "10.128.0.0/9", "dev", "espudp0")


forge.topo_direct()
forge.load_module()
tunnel()
folder = forge.folder
peers = range(2, PEERS + 2)
forged = Esp(spi(PEERS + 2), "aes-gcm")
(folder / "key").write_text(forged.key.hex())
(folder / "key").chmod(0o600)
for name, some in ("alone", []), ("few", peers[:PEERS // 10]), ("all", peers):
    (folder / name).write_text(config(some))
wire = forge.sender("a", "198.51.100.2")
out = forge.receiver("b", "10.2.0.1", 9999)
with netns("b"):
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
stories, odd = [], []

install("all")          # what is loaded, or kept, for the first
install("alone")
before = kept()
used = scene.Traffic({"used": (("a", "10.1.0.1"), ("b", "10.2.0.1"))}, RATE)
with traffic(peers[:PEERS // 10], GOING):
    few = install("few")
    install("alone")
free = memory("MemAvailable")
installed, deleted = [], []
for number, how in enumerate(("at once", "one by one", "at once") * (2 if forge.FULL else 1)):
    with traffic(peers, COMING):
        began = time.monotonic()
        took = install("all")
        installed.append(time.monotonic() - began)
    there = memory("MemAvailable")
    sample(peers)
    if not number:
        dearer, each = took / PEERS / (few / (PEERS // 10)), (free - there) / PEERS
        diag(f"{PEERS} peers: {took:.2f} s, {took / PEERS * 1e6:.0f} us each; {each:.1f} KiB each")
        check("a peer is installed as fast among many as among few", dearer < 1.6, dearer)
        if not forge.DEBUG_KERNEL:
            check("and takes less than 20 KiB", 0 < each < 20, each)
    with traffic(peers, GOING):
        began = time.monotonic()
        delete(peers, how)
        deleted.append(time.monotonic() - began)
    diag(f"installed in {installed[-1]:.1f} s, deleted {how} in {deleted[-1]:.1f} s")
    time.sleep(1)       # what is freed is told, too
    run("sh", "-c", "dmesg -c >>/run/espudp/dmesg")
check("all are deleted in at most twice the time they take to install",
      sum(deleted) <= 2 * sum(installed), installed, deleted)

used.stop()
more = kept() - before
check("what they took is given back", more < (64 if forge.DEBUG_KERNEL else 512),
      f"{more} KiB are not")
equal("nothing is lost of the tunnel that is in use", used.lost(), {}, forge.drops("b"))
equal("nor comes twice", used.twice(), {})
dropped = forge.drops("b")
sent, inside, outside = (sum(story[0][i] for story in stories) for i in range(3))
diag(f"{used.sent()} packets in the tunnel in use; of {sent} each way of those that come and go "
     f"{inside} and {outside} arrived; {dropped}")
check("those that come and go have traffic, before they are there and while they are",
      min(inside, outside) > sent // 10 and dropped.get("rx-spi-unknown") and
      dropped.get("tx-no-selector"), sent, inside, outside, dropped)
equal("none of it arrives under another's address",
      [story[1] for story in stories if story[1]], [])
equal("and is dropped for nothing but want of its peer", [some for some in odd if some], [])

alone, = cost("rx-packets", received)
install("all")
many, = cost("rx-packets", received)
diag(f"a packet takes {alone} ns with one peer, {many} with {PEERS}, in the test's own time")
check("a packet takes as long as with one peer", many < 1.3 * alone, many / alone)
some = rng.sample(peers, SAMPLE)
one, each = cost("tx-packets", lambda: sent_to(some[:1]), lambda: sent_to(some))
diag(f"a packet to one peer takes {one} ns, to {SAMPLE} in turn {each}")
check(f"a packet to {SAMPLE} peers takes as long as to one", each < 1.3 * one, each / one)
forge.end()
