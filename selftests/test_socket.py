#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The life of adopted sockets.

What may be adopted and what not, and in which words; IKE to the owner, one by
one, octet for octet; the owner closes, is killed, takes the socket back with
setsockopt; the module goes meanwhile.

  a  sender --- b  this test owns sockets in b, on port 4500 or others, and
                   hands them to espudp0 by descriptor
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 180
# SMP: 2

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import (Esp, UDP_ENCAP, UDP_GRO, UDP_SEGMENT, check, equal, inner, moved, n, n_attempt,
                   n_spawn, netns, read_all, run, send, sender, settle)

B4, B6 = "198.51.100.2", "2001:db8:2::2"
MARKER = bytes(4)
UDPLITE = 136


def bound(name="b", family=socket.AF_INET, port=4500, addr=None, v6only=True, kind=None,
          proto=0):
    with netns(name):
        sock = socket.socket(family, kind or socket.SOCK_DGRAM, proto)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)     # SO_RCVBUFFORCE
        if port is not None:
            sock.bind((addr or ("::" if family == socket.AF_INET6 else "0.0.0.0"), port))
    sock.setblocking(False)
    return sock


def adopt(sock, *words, dev="espudp0", fd=None):
    fd = sock.fileno() if fd is None else fd
    return n_attempt("b", "espudp", "socket", "adopt", dev, "fd", fd, *words,
                     pass_fds=[fd] if sock else [])


def must_adopt(sock, *words, **kwargs):
    done = adopt(sock, *words, **kwargs)
    if done.returncode:
        raise forge.Failed(done.stderr)


def detach(dev="espudp0"):
    n("b", "espudp", "socket", "close", dev)


def sockets(dev="espudp0"):
    shown = json.loads(n("b", "espudp", "show", dev, "--json"))
    shown = shown[0] if isinstance(shown, list) else shown
    return shown.get("socket", [])


class Monitor:
    """Events of a device, as `espudp monitor' tells them."""

    def __init__(self):
        self.path = forge.folder / f"events-{time.monotonic_ns()}"
        with open(self.path, "w", encoding="utf-8") as file:
            self.child = n_spawn("b", "espudp", "monitor", "--json", stdout=file)
        time.sleep(0.5)

    def count(self, what):
        return self.path.read_text(encoding="utf-8").count(what)

    def end(self):
        self.child.kill()
        self.child.wait()


esp = Esp(0x1000)


def esp_arrives(sock, out, payload=b"through"):
    """Is an ESP packet decrypted and delivered?"""
    read_all(out)
    send(sock, esp.seal(inner(payload)))
    return read_all(out, 3, 1) == [payload]


def state():
    shown = n("b", "espudp", "sa", "show", "espudp0", "--json"), \
        n("b", "espudp", "show", "espudp0", "--json")
    peers = json.loads(shown[1])
    peers = peers[0] if isinstance(peers, list) else peers
    return peers.get("peers"), peers.get("sas")


# -------------------------------------------------------------------- refusals

def refusals():
    with open(__file__, encoding="utf-8") as file:
        refused("an open file is refused as no socket", file, "socket")
    refused("a descriptor that is not open is refused", None, "descriptor", fd=77)
    listening = bound(kind=socket.SOCK_STREAM)
    refused("a TCP socket is refused as not UDP", listening, "not a UDP")
    listening.close()
    try:
        lite = bound(proto=UDPLITE)
        refused("a UDP-Lite socket is refused as such", lite, "UDP-Lite")
        lite.close()
    except OSError as error:
        forge.skip("a UDP-Lite socket is refused as such", str(error))
    with netns("b"):
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 17)
    refused("a Unix socket is refused as neither IPv4 nor IPv6", unix, "IPv4 or IPv6")
    refused("a raw socket is refused as not UDP", raw, "not a UDP")
    unix.close()
    raw.close()
    sock = bound(port=None)
    refused("an unbound socket is refused as unbound", sock, "not bound")
    sock = bound("a")
    refused("a socket of another namespace is refused as that", sock, "namespace")
    sock.close()
    for kind in 1, 2, 3:
        sock = bound()
        try:
            sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, kind)
        except OSError:     # not every kernel has every kind
            pass
        else:
            refused(f"a socket with UDP_ENCAP {kind} is refused as an encapsulation socket", sock,
                    "encapsulation")
        sock.close()
    equal("after all refusals the device has no socket", sockets(), [])

    sock = bound()
    must_adopt(sock)
    again = adopt(sock)
    check("the same socket a second time is refused",
          again.returncode and "already" in again.stderr, again.stderr)
    other = bound(port=4501)
    again = adopt(other)
    check("a second socket of the same family is refused",
          again.returncode and "already" in again.stderr, again.stderr)
    run("ip", "-n", "b", "link", "add", "espudp1", "type", "espudp")
    again = adopt(sock, dev="espudp1")
    check("a socket that another device has adopted is refused",
          again.returncode and "encapsulation" in again.stderr, again.stderr)
    run("ip", "-n", "b", "link", "del", "espudp1")
    again = n_attempt("b", "espudp", "socket", "open", "espudp0")
    check("an own socket beside an adopted one of the same family is refused", again.returncode,
          again.stderr)
    equal("none of this disturbed the adopted one", len(sockets()), 1)
    detach()
    in_use = n_attempt("b", "espudp", "socket", "open", "espudp0", "ipv4")
    check("a port in use is refused, saying that a socket can be adopted",
          in_use.returncode and "adopt" in in_use.stderr, in_use.stderr)
    equal("and nothing is half open", sockets(), [])
    in_use = n_attempt("b", "espudp", "socket", "open", "espudp0")
    check("nor is an IPv6 socket left over when the IPv4 port is in use",
          in_use.returncode and sockets() == [], in_use.stderr)
    sock.close()
    other.close()


def refused(description, sock, word, fd=None):
    done = adopt(sock, fd=fd)
    check(description, done.returncode and word in done.stderr, f"status {done.returncode}",
          done.stderr)


# ------------------------------------------------------------- IKE to its owner

def ike(out):
    datagrams = [MARKER + os.urandom(size) for size in (0, 1, 4, 28, 500, 1400, 4000, 60000)]
    for family, addr in (socket.AF_INET, B4), (socket.AF_INET6, B6):
        for words, cut in ([], 4), (["marker", "strip"], 4), (["marker", "keep"], 0):
            sock = bound(family=family)
            must_adopt(sock, *words)
            source = sender("a", addr)
            mix = []
            for data in datagrams:
                mix += [data, esp.seal(inner(b"esp")), b"\xff", struct.pack("!II", 999, 1)]
            before = settle("b")
            read_all(out)
            for data in mix:
                send(source, data)
            got = read_all(sock, 5, len(datagrams))
            got += read_all(sock, 0.3)
            name = "IPv6" if family == socket.AF_INET6 else "IPv4"
            check(f"{name}, {' '.join(words) or 'default'}: the owner reads IKE, octet for octet, "
                  "and nothing else", got == [data[cut:] for data in datagrams],
                  [len(data) for data in got])
            equal(f"{name}: ESP in between is delivered",
                  len(read_all(out, 5, len(datagrams))), len(datagrams))
            change = moved(before, settle("b"))
            equal(f"{name}: IKE and keepalives are counted",
                  (change.get("rx-ike"), change.get("rx-keepalive")), (len(datagrams),) * 2)
            sock.sendto(MARKER + b"reply", source.getsockname()[:2])
            equal(f"{name}: the owner can still send", read_all(source, 3, 1), [MARKER + b"reply"])
            detach()
            read_all(sock)
            send(source, b"\xff")
            send(source, esp.seal(inner(b"esp")))
            equal(f"{name}: given back, the socket is an ordinary one",
                  len(read_all(sock, 3, 2)), 2)
            sock.close()


def dual_stack(out):
    sock = bound(family=socket.AF_INET6, v6only=False)
    must_adopt(sock)
    shown = sockets()
    check("a dual-stack socket serves both families",
          len(shown) == 1 and shown[0].get("ipv4") and shown[0].get("ipv6"), shown)
    for addr in B4, B6:
        source = sender("a", addr)
        check(f"it takes ESP sent to {addr}", esp_arrives(source, out))
        send(source, MARKER + b"ike")
        equal(f"it takes IKE sent to {addr}", read_all(sock, 3, 1), [b"ike"])
    with netns("a"):
        catcher = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        catcher.bind(("198.51.100.1", 4500))
    catcher.setblocking(False)
    forge.sa_add("b", "espudp0", 1, "out", Esp(0x2000))
    with netns("b"):
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    source.bind((forge.INNER_B, 0))
    source.sendto(b"out", (forge.INNER_A, 9))
    got = read_all(catcher, 3, 1)
    check("it sends ESP over IPv4", len(got) == 1 and got[0][:4] == struct.pack("!I", 0x2000), got)
    n("b", "espudp", "sa", "del", "espudp0", "out", 1, "spi", "0x2000")
    sock.close()
    catcher.close()
    forge.wait_for(5, lambda: not sockets())
    in_family = bound(family=socket.AF_INET6, v6only=True)
    must_adopt(in_family)
    done = n_attempt("b", "espudp", "socket", "open", "espudp0", "ipv4")
    check("an adopted IPv6 socket and an own IPv4 one go together", not done.returncode,
          done.stderr)
    check("and the own one takes ESP", esp_arrives(sender("a", B4), out))
    detach()
    in_family.close()


def gro(out):
    """IKE is never merged, whatever the owner asks for (RFC 3948 needs them
    apart, and so does every daemon).
    """
    n("a", "ethtool", "-K", "a0", "tso", "off", "gso", "on", "tx-udp-segmentation", "on")
    n("b", "ethtool", "-K", "b0", "gro", "on", "rx-udp-gro-forwarding", "off")
    for veth in "whole over veth", "through GRO":
        n("a", "ethtool", "-K", "a0", "tx-udp-segmentation",
          "on" if veth == "whole over veth" else "off")
        for family, addr in (socket.AF_INET, B4), (socket.AF_INET6, B6):
            sock = bound(family=family)
            must_adopt(sock, "marker", "keep")
            sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            source = sender("a", addr)
            name = "IPv6" if family == socket.AF_INET6 else "IPv4"
            sent = [MARKER + bytes((i,)) * 400 for i in range(20)]
            source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 404)
            send(source, b"".join(sent))
            got = read_all(sock, 5, 20)
            check(f"{name}, {veth}: with UDP_GRO set, IKE of equal size is read one by one",
                  got == sent, [len(data) for data in got])
            packets = [esp.seal(inner(b"%03d" % i + b"x" * 300)) for i in range(10)]
            length = len(packets[0])
            mix = []
            for i, packet in enumerate(packets):
                mix += [packet, MARKER + bytes((i,)) * (length - 4)]
            source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, length)
            read_all(out)
            send(source, b"".join(mix))
            got = read_all(sock, 5, 10)
            check(f"{name}, {veth}: IKE between ESP of equal size likewise",
                  got == mix[1::2], [len(data) for data in got])
            equal(f"{name}, {veth}: and the ESP between IKE is delivered",
                  len(read_all(out, 5, 10)), 10)
            detach()
            read_all(sock)
            sock.close()
    # GRO proper: single datagrams that arrive in one poll
    n("a", "ethtool", "-K", "a0", "tx-udp-segmentation", "on")


# -------------------------------------------------------------- lost sockets

def taken_back(out, monitor):
    source = sender("a", B4)
    for value in 0, 2:
        sock = bound()
        must_adopt(sock)
        check(f"before setsockopt UDP_ENCAP {value} the tunnel works", esp_arrives(source, out))
        before = monitor.count("socket-lost")
        peers = state()
        sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, value)
        start = time.monotonic()
        lost = forge.wait_for(10, lambda: monitor.count("socket-lost") > before)
        seconds = time.monotonic() - start
        check(f"setsockopt UDP_ENCAP {value} by the owner is a `socket lost' event within 5 s",
              lost and seconds <= 5, f"after {seconds:.1f} s")
        equal("there is one such event", monitor.count("socket-lost"), before + 1)
        equal("the device has no socket any more", sockets(), [])
        equal("peers and SAs are kept", state(), peers)
        if value == 0:
            read_all(sock)
            send(source, b"plain datagram")
            equal("the socket is an ordinary one again", read_all(sock, 3, 1), [b"plain datagram"])
            must_adopt(sock)
            check("and can be adopted again", esp_arrives(source, out))
            detach()
        sock.close()


def closed(out, monitor):
    source = sender("a", B4)
    sock = bound()
    must_adopt(sock)
    second = os.dup(sock.fileno())
    before = monitor.count("socket-lost")
    sock.close()
    time.sleep(0.3)
    check("closing one of two descriptors of a socket loses nothing", esp_arrives(source, out))
    peers = state()
    os.close(second)
    check("closing the last one is a `socket lost' event",
          forge.wait_for(5, lambda: monitor.count("socket-lost") == before + 1))
    equal("peers and SAs are kept", state(), peers)
    with netns("b"):
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.bind(("0.0.0.0", 4500))
        free = True
    except OSError as error:
        free = str(error)
    equal("the port is free", free, True)
    probe.close()
    before = settle("b")
    with netns("b"):
        inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inside.bind((forge.INNER_B, 0))
    forge.sa_add("b", "espudp0", 1, "out", Esp(0x2001))
    with contextlib.suppress(OSError):
        inside.sendto(b"x", (forge.INNER_A, 9))
    forge.wait_for(3, lambda: moved(before, forge.stats("b")).get("tx-no-socket"))
    check("what is sent without a socket is dropped as tx-no-socket",
          moved(before, settle("b")).get("tx-no-socket"), moved(before, settle("b")))
    n("b", "espudp", "sa", "del", "espudp0", "out", 1, "spi", "0x2001")


DAEMON = """
import socket, subprocess, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 4500))
done = subprocess.run(["espudp", "socket", "adopt", "espudp0", "fd", str(sock.fileno())],
                      pass_fds=[sock.fileno()], check=False)
print("adopted" if not done.returncode else "failed", flush=True)
while True:
    sock.recv(65536)
"""


def daemon():
    child = n_spawn("b", "/usr/bin/python3", "-c", DAEMON, stdout=subprocess.PIPE)
    if child.stdout.readline() != b"adopted\n":
        raise forge.Failed("the daemon's socket is not adopted")
    return child


def killed(out, monitor):
    source = sender("a", B4)
    for policy in "keep", "flush":
        n("b", "espudp", "set", "espudp0", "on-socket-loss", policy)
        child = daemon()
        check(f"on-socket-loss {policy}: a daemon's socket is adopted", esp_arrives(source, out))
        before = monitor.count("socket-lost")
        peers = state()
        child.send_signal(signal.SIGKILL)
        child.wait()
        free = True
        with netns("b"):
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            probe.bind(("0.0.0.0", 4500))
        except OSError as error:
            free = str(error)
        equal("the daemon is killed: its port is free at once", free, True)
        probe.close()
        check("and there is a `socket lost' event",
              forge.wait_for(5, lambda: monitor.count("socket-lost") == before + 1))
        if policy == "keep":
            equal("peers and SAs are kept", state(), peers)
            child = daemon()
            check("the next daemon's socket is adopted, and the same SAs work",
                  esp_arrives(source, out))
            child.kill()
            child.wait()
            forge.wait_for(5, lambda: not sockets())
        else:
            gone = forge.wait_for(5, lambda: state() == (0, 0))
            check("peers and SAs are flushed", gone, state())
    n("b", "espudp", "set", "espudp0", "on-socket-loss", "keep")


class Traffic:
    """Valid ESP, IKE and garbage at the port until it is stopped."""

    def __init__(self):
        self.pid = os.fork()
        if self.pid:
            return
        sock = sender("a", B4)
        packets = [esp.seal(inner(b"t" * 900), seq=seq) for seq in range(1, 60)]
        packets += [MARKER + b"i" * 100, b"\xff", b"garbage, and more of it"]
        while True:
            for packet in packets:
                with contextlib.suppress(OSError):
                    sock.send(packet)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def under_traffic():
    loops = 5 if forge.DEBUG_KERNEL else 60 if forge.FULL else 15
    traffic = Traffic()
    problem = ""
    for i in range(loops):
        sock = bound()
        done = adopt(sock)
        if done.returncode:
            problem = done.stderr
            break
        time.sleep(0.02 * (i % 3))
        if i % 4 == 3:
            detach()
        elif i % 4 == 2:
            sock.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, 0)
            detach()
        sock.close()
        if not forge.wait_for(5, lambda: not sockets()):
            problem = f"loop {i}: the socket is still attached"
            break
    check(f"{loops} times a socket is adopted and closed under traffic", not problem, problem)
    return traffic


def setup():
    run("ip", "-n", "b", "link", "add", "espudp0", "type", "espudp")
    n("b", "espudp", "peer", "add", "espudp0", "id", 1, "remote", "198.51.100.1", "routes", "none",
      "roaming", "off", "selector", "local", "10.2.0.0/24", "remote", "10.1.0.0/24")
    run("ip", "-n", "b", "addr", "add", f"{forge.INNER_B}/24", "dev", "espudp0")
    run("ip", "-n", "b", "link", "set", "espudp0", "up")
    run("ip", "-n", "b", "route", "add", "10.1.0.0/24", "dev", "espudp0")
    forge.sa_add("b", "espudp0", 1, "in", esp, "replay-window", 0)


def module_gone():
    """The module is removed while owners close their sockets."""
    loops = 1 if forge.DEBUG_KERNEL else 20 if forge.FULL else 3
    traffic = Traffic()
    problem = ""
    for i in range(loops):
        forge.genl_socks.clear()
        closers = []
        socks = [bound(), bound(family=socket.AF_INET6)]
        for sock in socks:
            must_adopt(sock)
        for sock in socks:
            pid = os.fork()
            if not pid:
                # the parent closes its own right away: this one is the last
                time.sleep(0.004 * i)
                os._exit(0)
            closers.append(pid)
            sock.close()
        removed = forge.attempt("rmmod", "espudp")
        for pid in closers:
            os.waitpid(pid, 0)
        if removed.returncode:
            problem = removed.stderr
            break
        forge.load_module()
        setup()
    traffic.stop()
    check(f"{loops} times the module is removed while sockets are being closed", not problem,
          problem)


def main():
    forge.load_module()
    forge.topo_direct()
    setup()
    out = forge.receiver("b", forge.INNER_B, 9999)
    refusals()
    ike(out)
    dual_stack(out)
    gro(out)
    monitor = Monitor()
    taken_back(out, monitor)
    closed(out, monitor)
    killed(out, monitor)
    monitor.end()
    run("ip", "-n", "b", "link", "del", "espudp0")
    setup()
    traffic = under_traffic()
    sock = bound()
    must_adopt(sock)
    run("ip", "-n", "b", "link", "del", "espudp0")
    read_all(sock)
    got = read_all(sock, 3, 1)
    check("the device is deleted under traffic: the owner has an ordinary socket", got)
    sock.close()
    traffic.stop()
    setup()
    module_gone()
    log = run("dmesg")
    bad = [line for line in log.splitlines()
           if any(word in line for word in ("WARNING:", "BUG:", "Oops", "refcount", "KASAN"))]
    equal("nothing of this is in the kernel's log", bad, [])
    forge.end()


main()
