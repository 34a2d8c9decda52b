#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Thousands of peers come and go, each with an SA pair and an address of its own behind
the same NAT address, while a tunnel is in use: nothing of its traffic is lost, each of
the many gets its own, what they took is given back, and neither a packet nor an
installation gets dearer with their number.

  a  espudp0 10.1.0.1  =====  b  espudp0 10.2.0.1     peer 1, in use
     198.51.100.1                                     peers 2...: 10.128.0.0/9, ports 20000...
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12
# TIMEOUT: 240

import os
import random
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import Esp, check, diag, equal, n, n_spawn, read_all, run

PEERS = 10000 if forge.FULL and not forge.DEBUG_KERNEL else 300 if forge.DEBUG_KERNEL else 2000
SAMPLE = 100
OUT = 0x100000     # from an inbound SPI to its outbound one
rng = random.Random(7)


def address(peer):
    return f"10.128.{peer >> 8}.{peer & 255}"


def spi(peer):
    return 0x100000 + peer


def keys(peer):
    """All have the same."""
    return Esp(spi(peer), "aes-gcm")


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
    lines += [sa_lines("in", forged.spi), sa_lines("in", spi(1)), sa_lines("out", spi(1) + OUT)]
    for peer in peers:
        lines.append(f"""[Peer]
Id = {peer}
Remote = 198.51.100.1:{20000 + peer}
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
    return memory("Percpu", *([] if forge.DEBUG_KERNEL else ["Slab", "VmallocUsed"]))


def cost():
    """Nanoseconds for a packet, the least of five."""
    best = []
    for _ in range(5):
        sealed = [forged.seal(forge.inner(bytes(64))) for _ in range(500)]
        before = forge.stats("b")["rx-packets"]
        began = time.monotonic_ns()
        for packet in sealed:
            forge.send(wire, packet)
        best.append((time.monotonic_ns() - began) // len(sealed))
        forge.wait_for(5, lambda: forge.stats("b")["rx-packets"] >= before + len(sealed))
        read_all(out)
    return min(best)


def sample(peers):
    """Some of them get their own, and send theirs."""
    some = rng.sample(peers, SAMPLE)
    read_all(out)
    before = forge.stats("b")
    for peer in some:
        forge.send(wire, keys(peer).seal(
            forge.udp(address(peer), "10.2.0.1", peer, 9999, b"%d" % peer)))
    equal(f"{SAMPLE} of {len(peers)} peers send, each from its own address",
          sorted(read_all(out, 5, SAMPLE)), sorted(b"%d" % peer for peer in some),
          forge.moved(before, forge.stats("b")))
    for peer in some:
        out.sendto(b"", (address(peer), 9))
    forge.settle("b")
    sent = [forge.netlink("b").must("sa-get", ifname="espudp0", sa={
        "spi": spi(peer) + OUT, "dir": "out", "peer": peer})[0]["sa"]["stats"]["tx-packets"]
        for peer in some]
    equal("and each is sent what is for it", sent, [1] * SAMPLE)


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
used = n_spawn("a", "ping", "-i", "0.05", "-q", "10.2.0.1", stdout=-1, text=True)

install("all")          # what is loaded, or kept, for the first
install("alone")
before, free = kept(), memory("MemAvailable")
few = install("few")
install("alone")
for number, how in enumerate(("at once", "one by one", "at once") * (2 if forge.FULL else 1)):
    took = install("all")
    there = memory("MemAvailable")
    sample(peers)
    if not number:
        dearer = took / PEERS / (few / (PEERS // 10))
        diag(f"{PEERS} peers: {took:.2f} s, {took / PEERS * 1e6:.0f} us each; "
             f"{(free - there) / PEERS:.1f} KiB each")
        check("a peer is installed as fast among many as among few", dearer < 1.6, dearer)
    began = time.monotonic()
    delete(peers, how)
    diag(f"deleted {how}: {time.monotonic() - began:.1f} s")
    time.sleep(1)       # what is freed is told, too
    run("sh", "-c", "dmesg -c >>/run/espudp/dmesg")
more = kept() - before
check("what they took is given back", more < (64 if forge.DEBUG_KERNEL else 512),
      f"{more} KiB are not")

alone = cost()
install("all")
many = cost()
diag(f"a packet takes {alone} ns with one peer, {many} with {PEERS}, in the test's own time")
check("a packet takes as long as with one peer", many < 1.3 * alone, many / alone)

used.send_signal(signal.SIGINT)
said = used.communicate()[0]
diag(said)
sent, got = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())
# the last may be under way
check("nothing is lost of the tunnel that is in use", sent - 1 <= got > 100, said)
forge.end()
