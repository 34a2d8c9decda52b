#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Memory that is not ours: what packets are made of may be a file's pages.

A read-only file is sent to the port by all ways that put its own pages into
packets. It must not change, whatever it holds: decrypting in place would write
the plaintext into the page cache (CVE-2026-43284). And while its pages are
being rewritten in flight, nothing comes out that was not authenticated: an
AEAD that reads its source twice, to authenticate and to decrypt, would read
two different things.

  a  splice (helpers/splice.c)               b  espudp0, the receiver
  a0 198.51.100.1/24, 2001:db8:2::1/64 --- b0 198.51.100.2/24, 2001:db8:2::2/64
                                              lo 127.0.0.1
     a process with /dev/net/tun ------- tap0 192.0.2.1/24
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 200
# SMP: 2
# THREAD: multi

import hashlib
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import Esp, check, moved, n, n_spawn, netns, read_all, received, run, settle, udp

rng = random.Random(43284)
COUNT = 24              # ESP packets in a file
PORT = 9999


def plain(index, size):
    """Told apart by their content; without a checksum that would mask changes."""
    return struct.pack("!I", index) + bytes((index + i * 7 & 0xff for i in range(size - 4)))


class File:
    """COUNT ESP packets of equal size one after the other, read-only."""

    def __init__(self, esp, size, valid=True):
        self.payloads = [plain(i, size) for i in range(COUNT)]
        packets = [esp.seal(udp(forge.INNER_A, forge.INNER_B, 1, PORT, payload, with_csum=False))
                   for payload in self.payloads]
        if not valid:
            packets = [packet[:8] + rng.randbytes(len(packet) - 8) for packet in packets]
        self.valid = valid
        self.length = len(packets[0])
        self.content = b"".join(packets)
        self.path = forge.folder / f"{esp.enc}-{size}-{valid}"
        self.path.write_bytes(self.content)
        self.path.chmod(0o444)

    def unchanged(self):
        """Read, and mapped."""
        with open(self.path, "rb") as file:
            seen = [file.read()]
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                seen.append(bytes(mapped))
        return all(content == self.content for content in seen)

    def unchanged_for_others(self):
        return run("sha256sum", self.path).split()[0] == hashlib.sha256(self.content).hexdigest()


made = {}


def stored(esp, size, valid=True):
    key = esp.enc, size, valid
    if key not in made:
        made[key] = File(esp, size, valid)
    return made[key]


def mac(name, dev):
    return run("ip", "netns", "exec", name, "cat", f"/sys/class/net/{dev}/address").strip()


def send_file(method, where, file):
    """The helper's output; raises if it fails."""
    name, dst, words = where
    size = file.length * (len(file.content) // file.length) if "-g" in words else file.length
    if "-g" in words:
        size = min(COUNT, 60000 // file.length) * file.length
        words = words[:1] + [file.length] + words[2:]
    return n(name, "splice", method, "-s", size, *words, file.path, dst, 4500)


def one_way(description, method, where, file, out):
    read_all(out)
    before = settle("b")
    problem = ""
    try:
        send_file(method, where, file)
    except forge.Failed as error:
        problem = str(error)
    got = read_all(out, 5, COUNT) if file.valid else \
        forge.wait_for(5, lambda: moved(before, forge.stats("b")).get("rx-auth", 0) >= COUNT)
    after = settle("b")
    change = moved(before, after)
    if file.valid:
        arrived = sorted(got) == sorted(file.payloads)
    else:
        arrived = received(before, after) == {"rx-auth": COUNT}
    same = file.unchanged()
    check(f"{description}: {'all are delivered' if file.valid else 'all are refused'}, "
          "and the file is unchanged", arrived and same and not problem,
          "" if same else "THE FILE HAS CHANGED",
          f"delivered {len(got) if file.valid else 0}, counted {change}", problem)


WAYS = {
    "veth": ("a", "198.51.100.2", []),
    "veth, with checksums": ("a", "198.51.100.2", ["-c"]),
    "loopback": ("b", "127.0.0.1", []),
    "IPv6": ("a", "2001:db8:2::2", []),
    "veth, GSO": ("a", "198.51.100.2", ["-g", 0]),
    "loopback, GSO": ("b", "127.0.0.1", ["-g", 0]),
    "IPv6, GSO": ("a", "2001:db8:2::2", ["-g", 0]),
}


def page_cache(esps, out):
    few = forge.DEBUG_KERNEL
    methods = ["sendfile", "splice", "vmsplice", "zerocopy"]
    turn = 0
    for method in methods:
        for way, where in WAYS.items():
            for esp in esps:
                turn += 1
                if not forge.FULL and turn % (9 if few else 5):
                    continue
                sizes = [1300] if "GSO" in way else [1300, 6000]
                for size in sizes:
                    frag = ", in fragments" if size > 1400 else ""
                    for file in stored(esp, size), stored(esp, size, False):
                        what = "valid packets" if file.valid else "garbage with a live SPI"
                        one_way(f"{method}, {way}{frag}, {what} ({esp.enc})", method, where,
                                file, out)


def rings(esps, out):
    for esp in esps:
        for file in stored(esp, 1300), stored(esp, 1300, False):
            what = "valid packets" if file.valid else "garbage with a live SPI"
            where = ("a", "198.51.100.2", ["-i", "a0", "-m", mac("b", "b0"), "-n", 6])
            # six times round, so that the ring's old frames are looked at
            read_all(out)
            before = settle("b")
            try:
                said = send_file("ring", where, file)
            except forge.Failed as error:
                said = str(error)
            count = 6 * COUNT
            key = "rx-packets" if file.valid else "rx-auth"
            forge.wait_for(5, lambda: moved(before, forge.stats("b")).get(key, 0) >= count)
            change = moved(before, settle("b"))
            check(f"AF_PACKET TX ring, {what} ({esp.enc}): all arrive, its frames are unchanged",
                  change.get(key) == count and said.startswith("0 of") and file.unchanged(),
                  f"counted {change}", said)


def taps(esps, out):
    forge.attempt("modprobe", "tun")
    run("ip", "-n", "b", "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr")
    run("ip", "-n", "b", "addr", "add", "192.0.2.1/24", "dev", "tap0")
    run("ip", "-n", "b", "link", "set", "tap0", "up")
    run("ip", "-n", "b", "neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "tap0")
    for esp in esps:
        for file in stored(esp, 1300), stored(esp, 1300, False):
            what = "valid packets" if file.valid else "garbage with a live SPI"
            where = ("b", "192.0.2.1", ["-i", "tap0", "-m", mac("b", "tap0"), "-a", "192.0.2.9"])
            one_way(f"tap with virtio headers, {what} ({esp.enc})", "tun", where, file, out)


def clones(esps, out):
    """A clone in a packet socket shares its data with the packet that is
    decrypted, and is read long after.
    """
    with netns("b"):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)         # SO_RCVBUFFORCE
        tap.bind(("b0", 0x0003))
    tap.setblocking(False)
    for esp in esps:
        for method in "sendfile", "zerocopy":
            file = stored(esp, 1300)
            read_all(tap)
            one_way(f"{method}, while a packet socket holds clones ({esp.enc})", method,
                    WAYS["veth"], file, out)
            wire = [data[28:] for data in read_all(tap) if data[:1] == b"E" and data[9] == 17 and
                    data[22:24] == struct.pack("!H", 4500)]
            sent = [file.content[i:i + file.length]
                    for i in range(0, len(file.content), file.length)]
            check(f"{method}: what the packet socket holds is still the ciphertext ({esp.enc})",
                  sorted(wire) == sorted(sent), f"{len(wire)} of {len(sent)} captured",
                  f"{sum(data in sent for data in wire)} of them as sent")


def rewriting(esps, out):
    """Acceptance 5."""
    times = 30 if forge.DEBUG_KERNEL else 400 if forge.FULL else 80
    for esp in esps:
        file = File(esp, 1300)      # one of its own: it is written to
        valid = set(file.payloads)
        hit, missed, story = 0, 0, []
        # an octet in the middle of the payload of each packet
        offset = 8 + esp.iv_len + 28 + 600
        for method, way in ("splice", "veth"), ("vmsplice", "loopback"), ("zerocopy", "veth"), \
                           ("sendfile", "veth, GSO"):
            read_all(out)
            before = settle("b")
            name, dst, words = WAYS[way]
            size = file.length
            if "-g" in words:
                size *= min(COUNT, 60000 // file.length)
                words = ["-g", file.length]
            child = n_spawn(name, "splice", method, "-s", size, "-n", times, "-r", offset, *words,
                            file.path, dst, 4500, stderr=subprocess.PIPE, text=True)
            forged, total = [], 0
            while True:
                over = child.poll() is not None
                for payload in read_all(out):
                    total += 1
                    if payload not in valid:
                        forged.append(payload)
                if over:
                    break
                time.sleep(0.005)
            settle("b")
            for payload in read_all(out, 0.2):
                total += 1
                if payload not in valid:
                    forged.append(payload)
            change = moved(before, settle("b"))
            why = f"{total} delivered, {len(forged)} forged; counted {change}; " \
                f"exit {child.returncode} {child.stderr.read()}"
            check(f"{method}, {way}, pages rewritten in flight ({esp.enc}): nothing "
                  "unauthenticated comes out", not forged and not child.returncode, why)
            story.append(why)
            hit += change.get("rx-auth", 0)
            missed += total
        check(f"the rewriter did hit packets, and missed some ({esp.enc})", hit and missed, *story)


def main():
    forge.load_module()
    forge.topo_direct()
    esps = [Esp(0x1000, "aes-gcm"), Esp(0x1001, "aes-cbc", "sha256"), Esp(0x1002, "aes-ctr"),
            Esp(0x1003, "null", "sha256")]
    if forge.FULL:
        esps.append(Esp(0x1004, "chacha20-poly1305"))
    forge.gateway(esps[0], "replay-window", 0)
    for esp in esps[1:]:
        forge.sa_add("b", "espudp0", 1, "in", esp, "replay-window", 0)
    out = forge.receiver("b", forge.INNER_B, PORT, 32 << 20)
    # on two processors, fragments of one datagram may be far apart
    n("b", "sysctl", "-qw", "net.ipv4.ipfrag_max_dist=0")

    page_cache(esps[:2], out)
    rings(esps[:2], out)
    taps(esps[:1], out)
    clones(esps[:2], out)
    watchers = []
    for dev in "b0", "espudp0", "lo":
        watchers.append(n_spawn("b", "tcpdump", "-i", dev, "-Z", "root", "-n", "-w", os.devnull,
                                stderr=subprocess.PIPE))
        watchers[-1].stderr.readline()
    for way in "veth", "loopback", "veth, GSO":
        for method in "splice", "zerocopy":
            one_way(f"{method}, {way}, with tcpdump looking on", method, WAYS[way],
                    stored(esps[0], 1300), out)
    for watcher in watchers:
        watcher.terminate()
        watcher.wait()
    check("each of the files is unchanged for a process that never had it open",
          all(file.unchanged_for_others() for file in made.values()))
    rewriting(esps if forge.FULL else esps[1:3] if forge.DEBUG_KERNEL else esps[1:], out)
    forge.end()


main()
