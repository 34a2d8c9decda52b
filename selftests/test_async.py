#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Asynchronous crypto: forced, in order, and everything deleted under it.

Binding an AF_ALG socket to cryptd(D) or pcrypt(D), where D is the driver of an
algorithm X, makes the crypto API build that, as another implementation of X
whose priority is above D's: every later request for X gets it. Both complete
from kernel threads. cryptd's AEADs fail the kernel's own tests before 6.3.

There is one processor. While the test and softirqs have a real-time priority
and do not sleep, no other thread runs: what was sent is in flight when the test
deletes.

  a  espudp0 10.1.0.1 --- ESP in UDP --- b  espudp0 10.2.0.1
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 400
# DEBUG-TIER: short

import contextlib
import errno
import functools
import os
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import Esp, check, equal, n, n_spawn, netns, read_all, run

LOOPS = 1 if forge.DEBUG_KERNEL else 30 if forge.FULL else 3
BURST = 150     # of each kind; cryptd's queue holds 1000


def drivers(name):
    """(driver, priority) of all implementations of an algorithm."""
    found = []
    with open("/proc/crypto", encoding="ascii") as file:
        for block in file.read().split("\n\n"):
            fields = dict(line.split(":", 1) for line in block.splitlines() if ":" in line)
            fields = {key.strip(): value.strip() for key, value in fields.items()}
            if fields.get("name") == name:
                found.append((fields["driver"], int(fields["priority"])))
    return found


class Forced:
    """While it lasts, name is served by template(driver)."""

    def __init__(self, template, name):
        self.template, self.name = template, name
        errors = []
        self.bind(name)
        # By a driver's name: by the algorithm's own the result is never found,
        # for it has the name of what it wraps. It is made nevertheless.
        for inside in [driver for driver, _ in drivers(name)] + [name]:
            try:
                self.bind(f"{template}({inside})")
            except (OSError, ValueError) as error:      # not there; too long
                errors.append(f"{template}({inside}): {error}")
            if self.best().startswith(f"{template}("):
                return
        raise OSError(errno.ENOENT, f"{'; '.join(errors)}; there are {drivers(name)}")

    @staticmethod
    def bind(name):
        with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as sock:
            sock.bind(("aead", name))

    def best(self):
        return max(drivers(self.name), key=lambda driver: driver[1])[0]

    def end(self):
        """CRYPTO_MSG_DELALG: other tests in this machine want their own."""
        mine = [driver for driver, _ in drivers(self.name)
                if driver.startswith(f"{self.template}(")]
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 21) as sock:
            for driver in sorted(mine, key=len, reverse=True):
                alg = struct.pack("=64s64s64sIIII", self.name.encode(), driver.encode(), b"",
                                  0, 0, 0, 0)
                for _ in range(200):
                    sock.send(struct.pack("=IHHII", 16 + len(alg), 0x11, 5, 1, 0) + alg)
                    error, = struct.unpack("=i", sock.recv(4096)[16:20])
                    if error != -errno.EBUSY:
                        break
                    time.sleep(0.05)
                if error:
                    forge.diag(f"{driver} stays: {os.strerror(-error)}")


class Pair:
    """Two gateways and SAs both ways; and one whose packets the test seals, into
    b, without a replay window: the same packets do for each round.
    """
    ENDS = ("a", 1, 2, "198.51.100.2"), ("b", 2, 1, "198.51.100.1")

    def __init__(self, enc, auth=None):
        self.enc, self.auth, self.spi = enc, auth, 0x1000
        self.wire = Esp(0x7000, enc, auth)
        inside = forge.udp("10.1.0.1", "10.2.0.1", 1, 9999, bytes(200))
        self.sealed = [self.wire.seal(inside) for _ in range(BURST)]
        self.rekey()

    def rekey(self):
        """The old SAs are replaced; whatever was deleted is made again."""
        self.spi += 2
        for name, here, there, outer in self.ENDS:
            link = forge.netlink(name)
            request = functools.partial(link.request, ifname="espudp0")
            if request("dev-get")[0]:
                run("ip", "-n", name, "link", "add", "espudp0", "type", "espudp")
                run("ip", "-n", name, "addr", "add", f"10.{here}.0.1/24", "dev", "espudp0")
            run("ip", "-n", name, "-batch", "-", stdin="link set espudp0 up\n"
                f"route replace 10.{there}.0.0/24 dev espudp0\n")
            request("socket-attach", socket={})
            local, remote = (forge.addr_bytes(f"10.{net}.0.0")[:3] for net in (here, there))
            request("peer-new", peer={
                "id": 1, "remote": forge.addr_bytes(outer), "selector": [{
                    "local-from": local + b"\0", "local-to": local + b"\xff",
                    "remote-from": remote + b"\0", "remote-to": remote + b"\xff"}]})
            link.must("flush", ifname="espudp0", flush="sas")
        for source, sink, spi in ("a", "b", self.spi), ("b", "a", self.spi + 1):
            esp = Esp(spi, self.enc, self.auth, seed=str(spi).encode())
            self.sa(sink, "in", esp)
            self.sa(source, "out", esp)
        self.sa("b", "in", self.wire, replay_window=0)

    @staticmethod
    def sa(name, direction, esp, **values):
        error, message = forge.sa_new(name, "espudp0", 1, direction, esp, **values)
        if error:
            raise OSError(error, message)


def inner_sender(name="a", dst="10.2.0.1", port=9999):
    with netns(name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, 32, 8 << 20)     # SO_SNDBUFFORCE
    sock.connect((dst, port))
    sock.setblocking(False)
    return sock


def order(what, out, count):
    source = inner_sender()
    read_all(out)
    got = []
    for number in range(count):
        forge.send(source, struct.pack("!I", number) + bytes(number * 7 % 900))
        if number % 100 == 99:          # cryptd's queue holds 1000, on each side
            got += read_all(out, 5, 100 - len(got) % 100)
    got += read_all(out, 2, count - len(got))
    numbers = [struct.unpack("!I", data[:4])[0] for data in got]
    equal(f"{what}: {count} datagrams arrive in the order they were sent in", numbers,
          list(range(count)), forge.drops("a"), forge.drops("b"))


def bulk(what, size):
    server = n_spawn("b", "iperf3", "-s", "-1", "-B", "10.2.0.1", stdout=-3, stderr=-3)
    forge.wait_for(5, lambda: "5201" in n("b", "ss", "-ltn"))
    done = forge.n_attempt("a", "iperf3", "-c", "10.2.0.1", "-n", size)
    check(f"{what}: {size} of TCP flow", done.returncode == 0, done.stdout, done.stderr,
          forge.drops("a"), forge.drops("b"))
    server.terminate()
    server.wait()


libc = forge.libc


def link_message(kind, dev, flags=0):
    """RTM_DELLINK or RTM_SETLINK, down, without starting a program."""
    with netns("b"):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
            index = socket.if_nametoindex(dev)
            body = struct.pack("=BBHiII", 0, 0, 0, index, flags, 1 if kind == 16 else 0)
            sock.send(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body)
            error, = struct.unpack("=i", sock.recv(4096)[16:20])
    if error:
        raise OSError(-error, "rtnetlink")


def remove_module():
    if libc.syscall(176, b"espudp", os.O_NONBLOCK):
        raise OSError(forge.ctypes.get_errno(), "delete_module")


@contextlib.contextmanager
def alone():
    """Only this process and softirqs run, as long as it does not sleep."""
    softirqd = int(run("pgrep", "-x", "ksoftirqd/0"))
    fifo, other = (os.SCHED_FIFO, os.sched_param(50)), (os.SCHED_OTHER, os.sched_param(0))
    os.sched_setscheduler(softirqd, os.SCHED_FIFO, os.sched_param(60))
    os.sched_setscheduler(0, *fifo)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *other)
        os.sched_setscheduler(softirqd, *other)


class Burst:
    """Packets of all kinds for which nothing has been done but to submit them."""

    def __init__(self, pair):
        self.pair = pair
        self.inner = [("a", pair.spi, inner_sender()),
                      ("b", pair.spi + 1, inner_sender("b", "10.1.0.1"))]
        self.wire = forge.sender("a", "198.51.100.2")

    def send(self):
        """(outbound, inbound) requests in flight"""
        before = forge.stats("b")
        for number in range(BURST):
            for _, _, sock in self.inner:
                with contextlib.suppress(OSError):
                    sock.send(struct.pack("!I", number) + bytes(200))
            with contextlib.suppress(OSError):
                self.wire.send(self.pair.sealed[number])
        out = 0
        for name, spi, _ in self.inner:
            sa = forge.netlink(name).must("sa-get", ifname="espudp0", sa={
                "spi": spi, "dir": "out", "peer": 1})[0]["sa"]
            out += sa["seq"] - sa["stats"]["tx-packets"]
        return out, BURST - sum(forge.received(before, forge.stats("b")).values())

    def close(self):
        for sock in [sock for _, _, sock in self.inner] + [self.wire]:
            sock.close()


def operations(pair):
    """What is deleted with requests in flight; each leaves nothing behind."""
    links = {name: forge.netlink(name) for name in ("a", "b")}

    def each(operation, **values):
        for link in links.values():
            link.must(operation, ifname="espudp0", **values)
    return {
        "the inbound SA": lambda: links["b"].must(
            "sa-del", ifname="espudp0", sa={"spi": pair.wire.spi, "dir": "in"}),
        "the outbound SA": lambda: links["a"].must(
            "sa-del", ifname="espudp0", sa={"spi": pair.spi, "dir": "out", "peer": 1}),
        "the peers": lambda: each("peer-del", peer={"id": 1}),
        "all SAs": lambda: each("flush", flush="sas"),
        "the sockets": lambda: each("socket-detach"),
        "the link, set down": lambda: link_message(16, "espudp0"),
        "the device": lambda: link_message(17, "espudp0"),
    }


def in_flight(what, pair, out):
    """Sends without letting kernel threads run, and deletes."""
    for name in operations(pair):
        seen, problems = [], []
        for _ in range(LOOPS):
            pair.rekey()
            operation = operations(pair)[name]
            burst = Burst(pair)
            try:
                with alone():
                    seen.append(burst.send())
                    operation()
            except OSError as error:
                problems.append(str(error))
            burst.close()
        check(f"{what}: {name} went with requests in flight, out and in: {seen}",
              all(min(flying) > BURST // 2 for flying in seen) and not problems, *problems)
    pair.rekey()
    order(f"{what}: afterwards", out, 100)


def behind(what, pair, out):
    """A packet whose decryption is over waits, for the sake of order, behind
    packets of another SA whose decryption is not; meanwhile its SA is deleted.
    """
    link = forge.netlink("b")
    sock = forge.sender("a", "198.51.100.2")
    quick = Esp(0x7001)
    inside = forge.udp("10.1.0.1", "10.2.0.1", 1, 9999, bytes(200))
    packets = [quick.seal(inside, seq=number) for number in range(1, 21)]
    problems, count = [], []
    for _ in range(LOOPS):
        Pair.sa("b", "in", quick, replay_window=0)
        read_all(out)
        try:
            with alone():
                for packet in pair.sealed + packets:
                    forge.send(sock, packet)
                link.must("sa-del", ifname="espudp0", sa={"spi": quick.spi, "dir": "in"})
        except OSError as failure:
            problems.append(str(failure))
        count.append(len(read_all(out, 5, BURST + len(packets))))
    check(f"{what}: a synchronous SA is deleted whose packets wait behind them, "
          f"and are delivered: {count}",
          not problems and count == [BURST + len(packets)] * LOOPS, *problems)


def backlog(what, pair, out):
    """Many more packets than an asynchronous driver may be given at a time wait their
    turn: cryptd's queue holds 1000, and refuses what is more.
    """
    sock = forge.sender("a", "198.51.100.2")
    rounds = 4 if forge.DEBUG_KERNEL else 20
    before = forge.drops("b")
    read_all(out)
    with alone():
        for packet in pair.sealed * rounds:
            forge.send(sock, packet)
    got = len(read_all(out, 30, BURST * rounds))
    equal(f"{what}: of {BURST * rounds} packets that came at once none was lost",
          (got, forge.drops("b")), (BURST * rounds, before))


def stranded(what, pair):
    """What is in flight when the link goes down is let go although it stays down."""
    operation = operations(pair)["the link, set down"]
    counts = []
    for _ in range(LOOPS):
        pair.rekey()
        before = forge.drops("b").get("rx-dev-down", 0)
        burst = Burst(pair)
        with alone():
            flying = burst.send()[1]
            operation()
        burst.close()
        counts.append((forge.drops("b").get("rx-dev-down", 0) - before, flying))
    check(f"{what}: the link is set down, and what was in flight is gone: {counts}",
          all(gone > BURST // 2 for gone, _ in counts))
    pair.rekey()


def namespace_and_module(what, pair):
    for name in "the module", "namespaces":
        seen, problems = [], []
        # the module's own tests make it slow to load
        for _ in range(1 if forge.DEBUG_KERNEL else 10 if forge.FULL else 2):
            burst = Burst(pair)
            try:
                with alone():
                    seen.append(burst.send())
                    # sockets keep their namespace
                    forge.genl_socks.clear()
                    if name == "the module":
                        remove_module()
                    else:
                        burst.close()
                        for end in "a", "b":
                            run("ip", "netns", "del", end)
            except OSError as error:
                problems.append(str(error))
            burst.close()
            if name == "the module":
                forge.load_module()
            else:
                forge.namespaces.clear()
                # their devices go later, from a work queue
                forge.topo_direct()
            pair.rekey()
        check(f"{what}: {name} went with requests in flight, out and in: {seen}",
              all(min(flying) > BURST // 2 for flying in seen) and not problems, *problems)


def main():
    forge.load_module()
    forge.topo_direct()
    # cryptd wraps nothing that may be asynchronous already, as AES may be.
    cryptd = "pcrypt" if os.uname().release.startswith("6.1.") else "cryptd"
    variants = [(cryptd, "chacha20-poly1305", None, "rfc7539esp(chacha20,poly1305)"),
                ("pcrypt", "aes-cbc", "sha256", "authenc(hmac(sha256),cbc(aes))"),
                ("pcrypt", "aes-gcm", None, "rfc4106(gcm(aes))")]
    if forge.DEBUG_KERNEL:
        del variants[1:]        # lockdep does not understand padata's locks
    elif not forge.FULL:
        del variants[2]
    for template, enc, auth, name in variants:
        what = f"{template}, {enc}"
        try:
            forced = Forced(template, name)
        except OSError as error:
            check(f"{what} can be had", False, error)
            continue
        pair = Pair(enc, auth)
        shown = {sa["sa"].get("driver", "")
                 for sa in forge.netlink("b").must("sa-get", True, ifname="espudp0")}
        check(f"{what}: the driver of all SAs",
              all(driver.startswith(f"{template}(") for driver in shown), shown, drivers(name))
        out = forge.receiver("b", "10.2.0.1", 9999)
        order(what, out, 300 if forge.DEBUG_KERNEL else 1000)
        bulk(what, "512K" if forge.DEBUG_KERNEL else "5M")
        in_flight(what, pair, out)
        stranded(what, pair)
        behind(what, pair, out)
        backlog(what, pair, out)
        out.close()
        namespace_and_module(what, pair)
        for end in "a", "b":
            run("ip", "-n", end, "link", "del", "espudp0")
        forge.genl_socks.clear()
        check(f"{what}: all that was created is destroyed",
              forge.wait_for(10, lambda: not forge.left()), *forge.left())
        pair.wire.sock.close()
        forced.end()
    remove_module()
    found = forge.complaints()
    check("the log is quiet", not found, *found[:20])
    forge.end()


main()
