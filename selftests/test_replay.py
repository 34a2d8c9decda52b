#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Anti-replay: every edge of every window size, ESN over its wraps, parallel
receivers. RFC 4303 sections 3.4.3 and appendix A2.

A model of the window, in Python's unbounded integers, says of each packet
whether it is delivered, and if not, why.

  a  sender of forged ESP --- b  espudp0
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 180
# SMP: 2
# THREAD: multi

import os
import random
import struct
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import Esp, check, equal, moved, read_all, received, send, sender, settle, udp

seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().getrandbits(32)
rng = random.Random(seed)
# an inner datagram of four octets, which follow; without a checksum
INNER = udp(forge.INNER_A, forge.INNER_B, 1, 9999, bytes(4), with_csum=False)[:-4]
END = {False: (1 << 32) - 1, True: (1 << 64) - 1}


class Window:
    """What RFC 4303 says of a window of this size."""

    def __init__(self, size, esn, top):
        self.size, self.esn, self.top = size, esn, top
        self.start = top
        self.seen = set()

    def receive(self, seq):
        """Why a packet that was sealed with seq is dropped, or None."""
        if not self.size:
            return None
        bottom = self.top - self.size + 1
        got = seq & 0xffffffff
        if self.esn:
            got = bottom + (got - bottom) % (1 << 32)
            if got > END[True] or got < 0:
                return "rx-replay-old"
        if got == 0:
            return "rx-replay-seen"
        if got < bottom:
            return "rx-replay-old"
        if got <= self.top and (got <= self.start or got in self.seen):
            return "rx-replay-seen"
        if got != seq & END[self.esn]:
            return "rx-auth"
        self.seen.add(got)
        self.top = max(self.top, got)
        return None


class Run:
    def __init__(self, sock, out):
        self.sock, self.out, self.spi = sock, out, 0x2000

    def sa(self, size, esn, top):
        self.spi += 1
        esp = Esp(self.spi, esn=esn)
        error, message = forge.sa_new("b", "espudp0", 1, "in", esp, replay_window=size, seq=top)
        if error:
            raise forge.Failed(f"sa-new: {error} {message}")
        return esp

    def compare(self, description, size, esn, top, numbers):
        esp = self.sa(size, esn, top)
        window = Window(size, esn, top)
        read_all(self.out)
        before = settle("b")
        delivered, reasons, story = [], {}, []
        for at in range(0, len(numbers), 200):      # the queue holds more
            for index, seq in enumerate(numbers[at:at + 200], at):
                why = window.receive(seq)
                story.append(f"{index}: {seq} {why}")
                if why:
                    reasons[why] = reasons.get(why, 0) + 1
                else:
                    delivered.append(index)
                send(self.sock, esp.seal(INNER + struct.pack("!I", index), seq=seq))
            wanted = sum(reasons.values()) + len(delivered)
            forge.wait_for(10, lambda: sum(
                received(before, forge.stats("b")).values()) >= wanted)
        got = [struct.unpack("!I", data)[0] for data in read_all(self.out, 5, len(delivered))]
        change = received(before, settle("b"))
        expected = dict(reasons)
        if delivered:
            expected["rx-packets"] = len(delivered)
        odd = sorted(set(got) ^ set(delivered))
        check(description, got == delivered and change == expected,
              f"counted {change}, expected {expected}",
              f"delivered {got[:20]}, expected {delivered[:20]}",
              *[story[index] for index in odd[:10]])
        forge.netlink("b").must("sa-del", ifname="espudp0", sa={"spi": esp.spi, "dir": "in"})


def edges(size, esn, top, count):
    """Numbers around every edge there is, and some between."""
    numbers = [top + 1, top + 1, top, 0, top + 2, top + size + 1, top + size, top + 1,
               top + size + 2, top + 2, top + 3, top + 2]
    newest = top + size + 2
    for _ in range(count):
        where = rng.choice((newest, newest - size, newest - size + 1, newest + size,
                            newest + 64, newest - 64, newest + 2 * size, 1))
        # far jumps are rare, else nothing is ever in the window
        if rng.random() < 0.8:
            where = rng.choice((newest, newest - size, newest - size // 2))
        seq = where + rng.randrange(-3, 4)
        seq = min(max(seq, 0), END[esn])
        numbers.append(seq)
        newest = max(newest, seq)
    return numbers


def parallel(run, size, count, lossless):
    """Two processors send the same numbers, in nearly the same order."""
    esp = run.sa(size, False, 0)
    order = list(range(1, count + 1))
    packets = {seq: esp.seal(INNER + struct.pack("!I", seq), seq=seq) for seq in order}
    read_all(run.out)
    before = settle("b")
    children = []
    for cpu in 0, 1:
        pid = os.fork()
        if not pid:
            os.sched_setaffinity(0, {cpu})
            mine = order[:]
            for at in range(0, count, 16):
                part = mine[at:at + 16]
                random.Random(cpu + at).shuffle(part)
                mine[at:at + 16] = part
            for seq in mine:
                send(run.sock, packets[seq])
            os._exit(0)
        children.append(pid)
    got = []
    while children:
        got += read_all(run.out)
        children = [pid for pid in children if not os.waitpid(pid, os.WNOHANG)[0]]
    got += read_all(run.out, 1)
    change = moved(before, settle("b"))
    numbers = [struct.unpack("!I", data)[0] for data in got]
    twice = {seq for seq in numbers if numbers.count(seq) > 1} if len(set(numbers)) < \
        len(numbers) else set()
    check(f"window {size}: of {count} packets that two processors send, none is delivered twice",
          not twice, f"twice: {sorted(twice)[:10]}", change)
    if lossless:
        equal(f"window {size}: and each is delivered once", sorted(numbers), order, change)
    refused = change.get("rx-replay-seen", 0) + change.get("rx-replay-old", 0)
    check(f"window {size}: the others are counted as replays",
          refused + len(numbers) + change.get("rx-queue-full", 0) == 2 * count, change)


def main():
    forge.diag(f"SEED={seed}")
    forge.load_module()
    forge.topo_direct()
    forge.gateway(Esp(0x1000), "replay-window", 0)
    out = forge.receiver("b", forge.INNER_B, 9999)
    run = Run(sender("a", "198.51.100.2"), out)
    # a sender that changes processors in between overtakes itself
    os.sched_setaffinity(0, {0})

    sizes = [1, 2, 32, 63, 64, 65, 129, 1024, 8192]
    if forge.FULL:
        sizes = sorted({1 << i for i in range(14)} | {(1 << i) - 1 for i in range(1, 14)} |
                       {(1 << i) + 1 for i in range(13)} | {100, 1000, 5000, 8000})
    if forge.DEBUG_KERNEL:
        sizes = [1, 63, 64, 65, 1024, 8192]
    count = 60 if forge.DEBUG_KERNEL else 600 if forge.FULL else 120
    run.compare("window 0: no replay protection, number 0 passes too", 0, False, 0,
                [1, 1, 5, 2, 1, 0, END[False], 1])
    for size in sizes:
        for esn in False, True:
            run.compare(f"window {size}{', ESN' if esn else ''}: edges and random numbers from "
                        "the beginning", size, esn, 0, edges(size, esn, 0, count))
        run.compare(f"window {size}: from an installed sequence number", size, False, 100000,
                    edges(size, False, 100000, count // 4))
        wrap = 1 << 32
        run.compare(f"window {size}, ESN: over the wrap of the lower half", size, True,
                    wrap - size - 10, edges(size, True, wrap - size - 10, count))
        run.compare(f"window {size}, ESN: over a later wrap", size, True, 7 * wrap - 5,
                    edges(size, True, 7 * wrap - 5, count // 4))
    run.compare("window 64: up to the last number there is, never beyond", 64, False,
                END[False] - 3, [END[False] - 2, END[False], END[False] - 1, END[False], 0, 1, 2,
                                 END[False] - 64, END[False] - 63])
    run.compare("window 64, ESN: likewise", 64, True, END[True] - 3,
                [END[True] - 2, END[True], END[True] - 1, END[True], 0, 1, 2])
    top = 5 << 32
    run.compare("window 64, ESN: a packet of an earlier or later epoch fails authentication",
                64, True, top, [top + 5, top + 5 - (1 << 32), top + 6 - (1 << 32),
                                top + 7 + (1 << 32), top + 7, top + (2 << 32) + 9])
    refused = forge.sa_add("b", "espudp0", 1, "in", Esp(0x3000, esn=True), "replay-window", 0,
                           check=False)
    check("window 0 with ESN is refused in words", refused.returncode and
          "ESN" in refused.stderr.upper(), refused.stderr)

    parallel(run, 8192, 3000 if forge.DEBUG_KERNEL else 8000, True)
    parallel(run, 64, 3000 if forge.DEBUG_KERNEL else 20000, False)
    forge.end()


main()
