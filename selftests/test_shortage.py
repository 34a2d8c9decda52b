#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Memory shortage: on each control operation the n-th allocation fails, for
every n; on the datapath some fail, by the module's own fault point (debugfs
fail_espudp), since fail-nth does not reach softirqs.

An operation that fails has changed nothing, and works when tried again, or is
done and only its answer was lost; nothing leaks.
"""
#
# KERNELS: debug
# TIMEOUT: 60

import contextlib
import errno
import os
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import Esp, check, equal, n, netns, run
from genl import attr

DEBUGFS = Path("/sys/kernel/debug")
VOLATILE = {"ifindex", "stats", "age", "last-used", "last-rx", "last-tx", "unknown-spi", "packets",
            "bytes"}


def prepare():
    """Let failures reach all allocations, in silence."""
    for name in "failslab", "fail_page_alloc", "fail_usercopy", "fail_espudp":
        folder = DEBUGFS / name
        if not folder.is_dir():
            continue
        for setting, value in ("verbose", "0"), ("ignore-gfp-wait", "N"), ("min-order", "0"), \
                              ("ignore-gfp-highmem", "N"), ("probability", "0"):
            if (folder / setting).exists():
                (folder / setting).write_text(value, encoding="ascii")


class Rtnl:
    """Just enough to make, set and delete a link."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.sock.settimeout(60)

    @staticmethod
    def message(kind, dev, flags=0, change=0, data=b"", create=0):
        body = struct.pack("=BBHiII", 0, 0, 0, 0, flags, change) + \
            attr(3, dev.encode() + b"\0") + data       # IFLA_IFNAME
        return struct.pack("=IHHII", 16 + len(body), kind, 5 | create, 1, 0) + body

    def add(self, dev):
        return self.message(16, dev, data=attr(18, attr(1, b"espudp\0")), create=0x600)

    def delete(self, dev):
        return self.message(17, dev)

    def updown(self, dev, up):
        return self.message(16, dev, flags=up, change=1)

    def talk(self, message):
        self.sock.send(message)
        return -struct.unpack("=i", self.sock.recv(65536)[16:20])[0]


class Shortage:
    def __init__(self):
        self.fail = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        with netns("b"):
            self.rtnl = Rtnl()
        self.link = forge.netlink("b")
        self.spec = self.link.spec

    def state(self):
        """All there is, less what moves by itself."""
        def strip(value):
            if isinstance(value, dict):
                return {key: strip(part) for key, part in value.items() if key not in VOLATILE}
            if isinstance(value, list):
                return [strip(part) for part in value]
            return value
        devices = self.link.must("dev-get", True)
        result = [strip(devices)]
        for device in devices:
            for what in "peer-get", "sa-get":
                result.append(strip(self.link.must(what, True, ifname=device["ifname"])))
        return result

    def with_fault(self, number, action):
        """(errno, did an allocation fail?)"""
        os.pwrite(self.fail, b"%d" % number, 0)
        try:
            error = action()
        except OSError as failure:
            error = failure.errno
        # copying to and from user space fails, too, so that what is left of the
        # count may hit this
        try:
            hit = int(os.pread(self.fail, 16, 0).split(b"\0")[0]) == 0
        except OSError:
            hit = False
        with contextlib.suppress(OSError):
            os.pwrite(self.fail, b"0", 0)
        os.pwrite(self.fail, b"0", 0)
        return error, hit

    def every(self, description, action, undo=None, keeps=False, other=None):
        """action() returns an errno. keeps: it changes nothing anyway. other: what
        the kernel says for want of memory where it has another word for it.
        """
        before = after = self.state()
        if not keeps:
            action()
            after = self.state()
            undo()
        number = failures = 0
        problems = []
        while number < 2000:
            number += 1
            error, hit = self.with_fault(number, action)
            self.drain()
            if error:
                failures += 1
                if error not in (errno.ENOMEM, errno.EFAULT, errno.ENOBUFS, errno.EAGAIN,
                                 errno.EMSGSIZE, other):
                    problems.append(f"allocation {number}: {errno.errorcode.get(error, error)}")
                now, again = self.state(), 0
                if now == before:
                    again = action() if not keeps else 0
                elif now != after:
                    problems.append(f"allocation {number}: failed, and changed something")
                if again:
                    problems.append(f"allocation {number}: tried again: "
                                    f"{errno.errorcode.get(again, again)}")
            elif self.state() != after:
                problems.append(f"allocation {number}: accepted, and not done")
            if undo:
                undo()
                if self.state() != before:
                    problems.append(f"allocation {number}: undone, something stayed")
                    before = self.state()
            if not hit:
                break
        check(f"{description}: {number - 1} allocations failed, {failures} made it fail cleanly",
              number > 1 and not problems, *problems[:10])

    def drain(self):
        """Answers of a request whose reading failed."""
        for sock in self.link.sock, self.rtnl.sock:
            sock.setblocking(False)
            try:
                while sock.recv(1 << 18):
                    pass
            except OSError:
                pass
            sock.settimeout(60)

    def do(self, operation, dump=False, **values):
        """A request made ready, so that little else allocates."""
        number = self.spec.operations[operation]["number"]
        if not dump or operation != "dev-get":      # which is of all of them
            values["ifname"] = "espudp0"
        data = self.spec.encode("espudp", {key.replace("_", "-"): value
                                           for key, value in values.items()})
        flags = 0x300 if dump else 4

        def action():
            return self.link.exchange(number, data, flags)[0]
        return action


def addr(text):
    return forge.addr_bytes(text)


def selector(local, remote, **words):
    return {"local-from": addr(local), "local-to": addr(local), "remote-from": addr(remote),
            "remote-to": addr(remote), **{key.replace("_", "-"): value
                                          for key, value in words.items()}}


def control(short):
    do = short.do
    rtnl = short.rtnl

    def must(action):
        error = action()
        if error:
            raise OSError(error, os.strerror(error))

    short.every("making a device", lambda: rtnl.talk(rtnl.add("espudp0")),
                lambda: rtnl.talk(rtnl.delete("espudp0")),
                other=errno.EINVAL)     # device_add(), which then has no name
    short.rtnl.talk(rtnl.add("espudp0"))
    short.every("setting it up", lambda: rtnl.talk(rtnl.updown("espudp0", 1)),
                lambda: rtnl.talk(rtnl.updown("espudp0", 0)))
    short.rtnl.talk(rtnl.updown("espudp0", 1))
    short.every("opening its sockets", do("socket-attach", socket={}), do("socket-detach"),
                other=errno.ENFILE)     # __sock_create()
    with netns("b"):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.bind(("0.0.0.0", 4600))
    short.every("adopting a socket", do("socket-attach", socket={"fd": own.fileno()}),
                do("socket-detach"))
    must(do("socket-attach", socket={"fd": own.fileno()}))
    short.every("detaching it", do("socket-detach"),
                do("socket-attach", socket={"fd": own.fileno()}))
    must(do("socket-detach"))
    own.close()
    must(do("socket-attach", socket={}))
    short.every("settings", do("dev-set", dev={"fwmark": 5, "replay-window": 64}),
                do("dev-set", dev={"fwmark": 0, "replay-window": 1024}))

    peer = {"id": 1, "name": "short", "remote": addr("198.51.100.1"),
            "selector": [selector("10.2.0.1", "10.1.0.1"),
                         selector("10.2.0.2", "10.1.0.1", protocol=17, remote_port_from=1000,
                                  remote_port_to=2000),
                         dict(selector("10.2.0.3", "10.1.0.1"), **{"remote-to": addr("10.1.0.9")}),
                         selector("fd00:2::1", "fd00:1::1")]}
    short.every("a new peer with selectors", do("peer-new", peer=peer),
                do("peer-del", peer={"id": 1}))
    must(do("peer-new", peer=peer))
    other = {"id": 1, "remote": addr("198.51.100.9"),
             "selector": [selector("10.2.0.1", "10.1.0.1"), selector("10.2.9.1", "10.1.9.1")]}
    short.every("changing it", do("peer-set", peer=other),
                do("peer-set", peer={key: value for key, value in peer.items() if key != "name"}))
    must(do("peer-set", peer=peer))

    virtual_addresses(short)
    for what, esp, extra in ("AES-GCM", Esp(0x1000, "aes-gcm"), {}), \
                            ("AES-CBC, ESN", Esp(0x1001, "aes-cbc", "sha256", esn=True), {}), \
                            ("HMAC alone, lifetimes", Esp(0x1002), {"hard-seconds": 1000,
                                                                   "remote": addr("198.51.100.1"),
                                                                   "remote-port": 4500}):
        for direction in "in", "out":
            sa = {"spi": esp.spi, "dir": direction, "peer": 1, **esp.attributes(), **extra}
            gone = do("sa-del", sa={"spi": esp.spi, "dir": direction, "peer": 1})
            must(do("sa-new", sa=sa))       # modules are loaded, templates made
            must(gone)
            short.every(f"a new {direction}bound SA, {what}", do("sa-new", sa=sa), gone)
            must(do("sa-new", sa=sa))
    short.every("changing lifetimes", do("sa-set", sa={"spi": 0x1000, "dir": "in",
                                                       "hard-seconds": 500}),
                do("sa-set", sa={"spi": 0x1000, "dir": "in", "hard-seconds": 0}))
    reserve = {"spi-min": 0x5000, "spi-max": 0x5000, "timeout": 1000}
    short.every("reserving an SPI", do("spi-reserve", reserve=reserve),
                do("sa-del", sa={"spi": 0x5000, "dir": "in"}))
    must(do("spi-reserve", reserve=reserve))
    gcm = Esp(0x5000, "aes-gcm")
    full = {"spi": 0x5000, "dir": "in", "peer": 1, **gcm.attributes()}

    def reserve_again():
        do("sa-del", sa={"spi": 0x5000, "dir": "in"})()
        do("spi-reserve", reserve=reserve)()
    short.every("completing it", do("sa-new", sa=full), reserve_again)
    must(do("sa-del", sa={"spi": 0x5000, "dir": "in"}))

    for what in "dev-get", "peer-get", "sa-get":
        short.every(f"dump, {what}", do(what, True), keeps=True)
    short.every("reading the device", do("dev-get"), keeps=True)
    short.every("reading a peer", do("peer-get", peer={"id": 1}), keeps=True)
    short.every("reading an SA", do("sa-get", sa={"spi": 0x1000, "dir": "in"}), keeps=True)

    gcm = Esp(0x1000, "aes-gcm")

    def sa_again():
        must(do("sa-new", sa={"spi": 0x1000, "dir": "in", "peer": 1, **gcm.attributes()}))

    def newest():
        # the order of SAs is part of the state: the deleted one comes back first
        do("sa-del", sa={"spi": 0x1000, "dir": "in"})()
        sa_again()
    newest()
    short.every("deleting an SA", do("sa-del", sa={"spi": 0x1000, "dir": "in"}), newest)

    def all_again():
        do("peer-del", peer={"id": 1})()
        must(do("peer-new", peer=peer))
        sa_again()
    all_again()
    short.every("deleting a peer", do("peer-del", peer={"id": 1}), all_again)
    short.every("flushing SAs", do("flush", flush="sas"), all_again)
    short.every("flushing peers", do("flush", flush="peers"), all_again)

    def device_again():
        rtnl.talk(rtnl.delete("espudp0"))
        rtnl.talk(rtnl.add("espudp0"))
    device_again()
    short.every("deleting the device", lambda: rtnl.talk(rtnl.delete("espudp0")), device_again)
    rtnl.talk(rtnl.delete("espudp0"))


def virtual_addresses(short):
    do = short.do
    pool = {"address": addr("100.100.0.0"), "prefix-len": 24}
    short.every("a pool", do("dev-set", dev={"pool": pool}),
                do("dev-set", dev={"pool": {"address": pool["address"]}}))
    do("dev-set", dev={"pool": pool})()
    peer = {"id": 5, "mode": "transport", "remote": addr("198.51.100.1"), "remote-port": 40000,
            "selector": [selector("198.51.100.2", "198.51.100.1")]}
    short.every("a new transport mode peer",
                do("peer-new", peer=dict(peer, virtual=addr("100.100.0.5"))),
                do("peer-del", peer={"id": 5}))
    short.every("one without a virtual address", do("peer-new", peer=dict(peer, virtual=bytes(4))),
                do("peer-del", peer={"id": 5}))
    first = do("peer-new", peer=dict(peer, virtual=addr("100.100.0.5")))
    first()

    def again():
        for number in 5, 6:
            do("peer-del", peer={"id": number})()
        first()
    short.every("taking over a virtual address", do("peer-new", peer={
        **peer, "id": 6, "take-over": 5, "remote-port": 40001}), again)
    do("peer-del", peer={"id": 5})()
    do("peer-new", peer=dict(peer, virtual=bytes(4)))()
    short.every("moving one without", do("peer-set", peer={
        "id": 5, "remote": addr("198.51.100.7"), "remote-port": 40000}), do("peer-set", peer={
            "id": 5, "remote": peer["remote"], "remote-port": 40000}))
    do("peer-del", peer={"id": 5})()
    do("dev-set", dev={"pool": {"address": pool["address"]}})()


def datapath():
    fault = DEBUGFS / "fail_espudp"
    if not fault.is_dir():
        check("the module has a fault point", False, f"{fault} is missing")
        return
    for name, here, there, outer in ("a", 1, 2, "198.51.100.2"), ("b", 2, 1, "198.51.100.1"):
        run("ip", "-n", name, "link", "add", "espudp0", "type", "espudp")
        n(name, "espudp", "socket", "open", "espudp0")
        n(name, "espudp", "peer", "add", "espudp0", "id", 1, "remote", outer, "routes", "none",
          "keepalive", 1,
          "selector", "local", f"10.{here}.0.0/24", "remote", f"10.{there}.0.0/24")
        run("ip", "-n", name, "addr", "add", f"10.{here}.0.1/24", "dev", "espudp0")
        run("ip", "-n", name, "link", "set", "espudp0", "up")
        run("ip", "-n", name, "route", "add", f"10.{there}.0.0/24", "dev", "espudp0")
    for source, sink, spi in ("a", "b", 0x1001), ("b", "a", 0x1002):
        esp = Esp(spi, "aes-gcm", seed=str(spi).encode())
        forge.sa_add(sink, "espudp0", 1, "in", esp)
        forge.sa_add(source, "espudp0", 1, "out", esp)
    for probability in 10, 50, 100:
        (fault / "interval").write_text("1", encoding="ascii")
        (fault / "times").write_text("-1", encoding="ascii")
        (fault / "probability").write_text(str(probability), encoding="ascii")
        forge.n_attempt("a", "ping", "-q", "-f", "-c", 60, "-w", 6, "10.2.0.1")
        forge.n_attempt("a", "ping", "-q", "-f", "-c", 20, "-s", 9000, "-w", 6, "10.2.0.1")
        (fault / "probability").write_text("0", encoding="ascii")
        done = forge.n_attempt("a", "ping", "-q", "-c", 3, "-i", 0.1, "-W", 10, "10.2.0.1")
        check(f"after {probability} % of the datapath's allocations failed, the tunnel works",
              " 0% packet loss" in done.stdout, done.stdout)
    total = {}
    for name in "a", "b":
        for reason, count in forge.drops(name).items():
            total[reason] = total.get(reason, 0) + count
    check("and the drops are counted as rx-nomem and tx-nomem",
          total.get("rx-nomem") and total.get("tx-nomem"), total)
    equal("and as nothing else", {reason for reason in total} - {
        "rx-nomem", "tx-nomem", "rx-keepalive", "tx-no-selector"}, set())
    forge.diag(total)


def main():
    if not os.path.exists("/proc/self/fail-nth"):
        forge.skip_all("no fail-nth")
    forge.load_module()
    prepare()
    forge.topo_direct()
    control(Shortage())
    datapath()
    for name in "a", "b":
        run("ip", "-n", name, "link", "del", "espudp0")
    forge.genl_socks.clear()
    run("rmmod", "espudp")
    made = {}
    for line in run("dmesg").splitlines():
        words = line.partition("espudp: ")[2].split()
        if words[:1] in (["created"], ["destroyed"]):
            made.setdefault(" ".join(words[1:3]), []).append(words[0])
    left = [what for what, story in made.items() if sorted(story) != ["created", "destroyed"]]
    check(f"of {len(made)} objects that were created each is destroyed, once", made and not left,
          *left[:10])
    forge.end()


main()
