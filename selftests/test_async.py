#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Asynchronous crypto: forced, in order, and everything deleted under it.

Binding an AF_ALG socket to cryptd(D) or pcrypt(D), where D is the driver of an
algorithm X, makes the crypto API build that, as another implementation of X
whose priority is above D's: every later request for X gets it. cryptd completes from a kernel thread, pcrypt from other processors.

There is one processor. While the test runs with a real-time priority and does
not sleep, no kernel thread does: what it sent is in flight when it deletes.

  a  espudp0 10.1.0.1 --- ESP in UDP --- b  espudp0 10.2.0.1
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 150
# FULL-ONLY: what can be made asynchronous differs from kernel to kernel

import contextlib
import errno
import os
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import Esp, check, equal, n, n_spawn, netns, read_all, run

LOOPS = 1 if forge.DEBUG_KERNEL else 30 if forge.FULL else 4


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
            except OSError as error:
                errors.append(f"{template}({inside}): {error.strerror}")
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
    """Two gateways and SAs both ways."""

    def __init__(self, enc, auth=None):
        self.enc, self.auth, self.spi = enc, auth, 0x1000
        for name, here, there, outer in ("a", 1, 2, "198.51.100.2"), ("b", 2, 1, "198.51.100.1"):
            self.device(name, here, there, outer)
        self.rekey()

    @staticmethod
    def device(name, here, there, outer):
        run("ip", "-n", name, "link", "add", "espudp0", "type", "espudp")
        run("ip", "-n", name, "addr", "add", f"10.{here}.0.1/24", "dev", "espudp0")
        run("ip", "-n", name, "link", "set", "espudp0", "up")
        run("ip", "-n", name, "route", "add", f"10.{there}.0.0/24", "dev", "espudp0")
        Pair.peer(name, here, there, outer)

    @staticmethod
    def peer(name, here, there, outer):
        with contextlib.suppress(forge.Failed):
            n(name, "espudp", "socket", "open", "espudp0")
        with contextlib.suppress(forge.Failed):
            n(name, "espudp", "peer", "add", "espudp0", "id", 1, "remote", outer, "routes", "none",
              "selector", "local", f"10.{here}.0.0/24", "remote", f"10.{there}.0.0/24")

    def rekey(self):
        """The old SAs are replaced; whatever was deleted is made again."""
        self.spi += 2
        for name, here, there, outer in ("a", 1, 2, "198.51.100.2"), ("b", 2, 1, "198.51.100.1"):
            if "espudp0" not in forge.attempt("ip", "-n", name, "link", "show").stdout:
                self.device(name, here, there, outer)
            self.peer(name, here, there, outer)
            n(name, "espudp", "flush", "espudp0", "sas")
            run("ip", "-n", name, "link", "set", "espudp0", "up")
            with contextlib.suppress(forge.Failed):
                run("ip", "-n", name, "route", "add", f"10.{there}.0.0/24", "dev", "espudp0")
        for source, sink, spi in ("a", "b", self.spi), ("b", "a", self.spi + 1):
            esp = Esp(spi, self.enc, self.auth, seed=str(spi).encode())
            forge.sa_add(sink, "espudp0", 1, "in", esp)
            forge.sa_add(source, "espudp0", 1, "out", esp)


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


def operations(pair):
    """What is deleted with requests in flight; each leaves nothing behind."""
    links = {name: forge.netlink(name) for name in ("a", "b")}

    def each(operation, **values):
        for link in links.values():
            link.must(operation, ifname="espudp0", **values)
    return {
        "the inbound SA": lambda: links["b"].must(
            "sa-del", ifname="espudp0", sa={"spi": pair.spi, "dir": "in"}),
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
    burst = 150
    seen = {}
    problems = []
    for _ in range(LOOPS):
        for name in operations(pair):
            pair.rekey()
            operation = operations(pair)[name]
            sources = [inner_sender(), inner_sender("b", "10.1.0.1")]
            before = forge.stats("a")["tx-packets"]
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
            try:
                for number in range(burst):
                    for source in sources:
                        with contextlib.suppress(OSError):
                            source.send(struct.pack("!I", number) + bytes(200))
                done = forge.stats("a")["tx-packets"] - before
                seen[name] = seen.get(name, 0) + burst - done
                operation()
            except OSError as error:
                problems.append(f"{name}: {error}")
            finally:
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            for source in sources:
                source.close()
    for name in operations(pair):
        check(f"{what}: {name} went with {seen[name]} requests in flight ({LOOPS} times)",
              seen[name] > 0 and not [text for text in problems if text.startswith(name)],
              *problems)
    pair.rekey()
    order(f"{what}: afterwards", out, 100)


def behind(what, pair, out):
    """A packet whose decryption is over waits, for the sake of order, behind
    packets of another SA whose decryption is not; meanwhile its SA is deleted.
    """
    link = forge.netlink("b")
    sock = forge.sender("a", "198.51.100.2")
    inside = forge.udp("10.1.0.1", "10.2.0.1", 1, 9999, bytes(1300))
    slow = Esp(0x8000, pair.enc, pair.auth)
    forge.sa_add("b", "espudp0", 1, "in", slow, "replay-window", 0)
    waiting = [slow.seal(inside) for _ in range(400)]
    quick = Esp(0x8001)
    packets = [quick.seal(inside, seq=number) for number in range(1, 21)]
    problems, count = [], 0
    for _ in range(LOOPS * 2):
        error, message = forge.sa_new("b", "espudp0", 1, "in", quick, replay_window=0)
        if error:
            problems.append(message)
        read_all(out)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        try:
            for packet in waiting + packets:
                forge.send(sock, packet)
            link.must("sa-del", ifname="espudp0", sa={"spi": quick.spi, "dir": "in"})
        except OSError as failure:
            problems.append(str(failure))
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        count += len(read_all(out, 5, len(waiting) + len(packets)))
    check(f"{what}: a synchronous SA is deleted whose packets wait behind them "
          f"({LOOPS * 2} times)", not problems and count, *problems)
    link.must("sa-del", ifname="espudp0", sa={"spi": slow.spi, "dir": "in"})


def namespace_and_module(what, enc, auth):
    problems = []
    flying = 0
    # the module's own tests make it slow to load
    times = 1 if forge.DEBUG_KERNEL else 10 if forge.FULL else 2
    for loop in range(times * 2):
        forge.genl_socks.clear()
        source = inner_sender()
        before = forge.stats("a")["tx-packets"]
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        try:
            for number in range(150):
                with contextlib.suppress(OSError):
                    source.send(struct.pack("!I", number) + bytes(200))
            flying += 150 - (forge.stats("a")["tx-packets"] - before)
            if loop % 2:
                # sockets keep their namespace
                source.close()
                forge.genl_socks.clear()
                for name in "a", "b":
                    run("ip", "netns", "del", name)
            else:
                remove_module()
        except OSError as error:
            problems.append(str(error))
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        source.close()
        forge.genl_socks.clear()
        if loop % 2:
            forge.namespaces.clear()
            # their devices go later, from a work queue
            forge.topo_direct()
        else:
            forge.load_module()
        Pair(enc, auth)
    check(f"{what}: namespaces and module went with {flying} requests in flight "
          f"({times} times each)", flying and not problems, *problems)


def left():
    """Created and not destroyed, by the kernel's log."""
    count = {}
    for line in run("dmesg").splitlines():
        words = line.partition("espudp: ")[2].split()
        if words[:1] in (["created"], ["destroyed"]):
            key = " ".join(words[1:3])
            count[key] = count.get(key, 0) + (1 if words[0] == "created" else -1)
    return {key for key, number in count.items() if number}


def main():
    forge.load_module()
    forge.topo_direct()
    # cryptd over GCM cannot be forced from here: a faster one has the name.
    variants = [("cryptd", "aes-cbc", "sha256", "authenc(hmac(sha256),cbc(aes))"),
                ("pcrypt", "aes-gcm", None, "rfc4106(gcm(aes))")]
    if forge.DEBUG_KERNEL and not forge.FULL:
        variants = variants[:1]
    for template, enc, auth, name in variants:
        what = f"{template}, {name}"
        try:
            forced = Forced(template, name)
        except OSError as error:
            check(f"{what} can be had", False, error)
            continue
        pair = Pair(enc, auth)
        shown = n("b", "espudp", "sa", "show", "espudp0", "--json")
        check(f"{what}: `sa show' names it as the driver", f"{template}(" in shown, shown,
              drivers(name))
        out = forge.receiver("b", "10.2.0.1", 9999)
        order(what, out, 300 if forge.DEBUG_KERNEL else 2000)
        bulk(what, "512K" if forge.DEBUG_KERNEL else "10M")
        in_flight(what, pair, out)
        behind(what, pair, out)
        out.close()
        namespace_and_module(what, enc, auth)
        for end in "a", "b":
            run("ip", "-n", end, "link", "del", "espudp0")
        forge.genl_socks.clear()
        equal(f"{what}: all that was created is destroyed",
              forge.wait_for(10, lambda: not left()) and set() or left(), set())
        forced.end()
    remove_module()
    equal("the log is quiet", [line for line in run("dmesg").splitlines()
                               if any(word in line for word in (
                                   "WARNING:", "BUG:", "Oops", "become free", "KASAN"))], [])
    forge.end()


main()
