#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Dumps go on where they stopped, whatever is deleted meanwhile; a listener
that was overrun recovers with a dump; who lacks rights gets EPERM and sees
nothing; of a device that was moved, the new home sees nothing of the old one.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 120

import ctypes
import errno
import json
import os
import socket
import struct
import sys
import time
import traceback

sys.path.insert(0, __file__.rpartition("/")[0])
from nlraw import (A, C, NLM_ACK, NLM_DUMP, Netlink, addr, check, dev, equal, flag, leaks, main,
                   must, named, nest, num, peer, pid, sa, selector, sh, snapshot, string)

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def test_dumps(nl):
    sh("ip", "link", "add", "many", "type", "espudp")
    rows = list(range(1, 301))
    for i in rows:
        must(nl.call("PEER_NEW", dev("many"), peer(pid(i), string("PEER_NAME", f"p{i}"))))
    for i in range(64):
        must(nl.call("SPI_RESERVE", dev("many"), nest("RESERVE", num("RESERVE_PEER", 5, 4))))
    for i in range(100):
        must(nl.call("SPI_RESERVE", dev("many")))
    must(nl.call("SPI_RESERVE", dev("many"), nest("RESERVE", num("RESERVE_PEER", 300, 4))))

    def ids(reply):
        return [o["A_PEER"]["A_PEER_ID"] for o in reply.objects]

    def spis(reply, **want):
        return [o["A_SA"]["A_SA_SPI"] for o in reply.objects
                if want.get("owner") in (None, o["A_SA"].get("A_SA_PEER"))]

    small = Netlink(recv=4096)
    equal("a dump in small parts has every peer once", ids(small.dump("PEER_GET", dev("many"))),
          rows)
    got = small.dump("SA_GET", dev("many"))
    equal("and every SA", (len(got.objects), len(set(spis(got))), got.interrupted),
          (165, 165, False))
    got = small.dump("SA_GET", dev("many"), nest("SA", num("SA_PEER", 5, 4)))
    equal("or those of one peer", (len(got.objects), len(spis(got, owner=5))), (64, 64))
    got = small.dump("SA_GET", dev("many"), nest("SA", num("SA_PEER", 999, 4)))
    equal("an unknown peer's are refused", (got.err, got.text), (errno.ENOENT, "no such peer"))

    def disturbed(cmd, disturb):
        small.send(C["CMD_" + cmd], [dev("many")], NLM_DUMP | NLM_ACK)
        for i, reply in enumerate(small.parts()):
            if i == 1:
                disturb(reply)
        return reply

    def delete(reply):
        for i in [ids(reply)[-1]] + list(range(ids(reply)[-1] + 1, 200)):
            must(nl.call("PEER_DEL", dev("many"), peer(pid(i))))
    got = disturbed("PEER_GET", delete)
    left = ids(nl.dump("PEER_GET", dev("many")))
    check("a dump that peers are deleted from says so and goes on",
          got.interrupted and len(set(ids(got))) == len(ids(got)) and set(left) <= set(ids(got)) and
          max(set(ids(got)) - set(left)) < 200, ids(got))

    def expire(reply):
        for o in reply.objects[::2]:
            must(nl.call("SA_DEL", dev("many"), nest("SA", num("SA_DIR", 0, 1),
                                                     num("SA_SPI", o["A_SA"]["A_SA_SPI"], 4))))
    got = disturbed("SA_GET", expire)
    left = spis(nl.dump("SA_GET", dev("many")))
    check("and so does one of SAs", got.interrupted and len(set(spis(got))) == len(spis(got)) and
          set(left) <= set(spis(got)), len(got.objects))

    small.send(C["CMD_PEER_GET"], [dev("many")], NLM_DUMP | NLM_ACK)
    for i, reply in enumerate(small.parts()):
        if i == 0:
            sh("ip", "link", "del", "many")
    equal("a dump of a device that is deleted ends in words", (reply.err, reply.text),
          (errno.ENODEV, "no such device"))

    sh("ip", "link", "add", "many", "type", "espudp")
    ports = {"PROTOCOL": (17, 1), "PRIORITY": (7, 4), "LOCAL_PORT_FROM": (1, 2),
             "LOCAL_PORT_TO": (2, 2), "REMOTE_PORT_FROM": (3, 2), "REMOTE_PORT_TO": (4, 2)}
    sels = [selector(f"fd00:{i:x}::-fd00:{i:x}::ff", "fd01::-fd01::ffff", **ports)
            for i in range(256)]
    for i in (1, 2, 3):
        prio = [nest("PEER_SELECTOR", *[a for a in s.value if a.kind != A("SELECTOR_PRIORITY")],
                     num("SELECTOR_PRIORITY", i, 4)) for s in sels]
        must(nl.call("PEER_NEW", dev("many"), peer(pid(i), *prio)))
    fresh = Netlink()
    got = fresh.dump("PEER_GET", dev("many"))
    equal("peers with 256 selectors each are dumped",
          [len(o["A_PEER"]["A_PEER_SELECTOR"]) for o in got.objects], [256] * 3)
    one = fresh.call("PEER_GET", dev("many"), peer(pid(2))).objects[0]["A_PEER"]
    fresh = Netlink()
    fresh.send(C["CMD_PEER_GET"], [dev("many")], NLM_DUMP | NLM_ACK)
    for i, reply in enumerate(fresh.parts()):
        if i == 0:
            must(nl.call("PEER_SET", dev("many"), peer(pid(1), num("PEER_COOKIE", 1, 8))))
    check("a change is told where a peer begins a part and needs more room",
          reply.interrupted and ids(reply) == [1, 2, 3], ids(reply))
    equal("and read", one["A_PEER_SELECTOR"], got.objects[1]["A_PEER"]["A_PEER_SELECTOR"])
    equal("a selector is read as it was written", one["A_PEER_SELECTOR"][10], {
        "A_SELECTOR_LOCAL_FROM": socket.inet_pton(socket.AF_INET6, "fd00:a::"),
        "A_SELECTOR_LOCAL_TO": socket.inet_pton(socket.AF_INET6, "fd00:a::ff"),
        "A_SELECTOR_REMOTE_FROM": socket.inet_pton(socket.AF_INET6, "fd01::"),
        "A_SELECTOR_REMOTE_TO": socket.inet_pton(socket.AF_INET6, "fd01::ffff"),
        "A_SELECTOR_PROTOCOL": 17, "A_SELECTOR_PRIORITY": 2,
        "A_SELECTOR_LOCAL_PORT_FROM": 1, "A_SELECTOR_LOCAL_PORT_TO": 2,
        "A_SELECTOR_REMOTE_PORT_FROM": 3, "A_SELECTOR_REMOTE_PORT_TO": 4})
    sh("ip", "link", "del", "many")
    bad = nl.dump("PEER_GET", dev(), peer(pid(1)))
    equal("a dump refuses what it does not take", (bad.err, "no meaning" in bad.text),
          (errno.EINVAL, True))
    bad = nl.dump("SA_GET", dev(), sa(0x2000))
    check("a dump refuses keys and returns none", bad.err == errno.EINVAL and not leaks(bad.raw))
    names = [o["A_IFNAME"] for o in nl.dump("DEV_GET").objects]
    equal("the devices of the namespace are dumped", names, [b"espudp0\0"])
    bad = nl.dump("DEV_GET", dev())
    equal("a dump of one device is refused", (bad.err, "all" in bad.text), (errno.EINVAL, True))


def test_events(nl):
    listener = Netlink("events")

    def events(sock, seconds=5):
        sock.sock.settimeout(seconds)
        try:
            data = sock.sock.recv(1 << 18)
        except TimeoutError:
            return None
        size, = struct.unpack_from("=I", data)
        return named(data[20:size])
    spi = must(nl.call("SPI_RESERVE", dev(), nest(
        "RESERVE", num("RESERVE_TIMEOUT", 1, 4),
        num("RESERVE_PEER", 2, 4)))).objects[0]["A_RESERVE"]["A_RESERVE_SPI"]
    equal("a reservation that expires is told", events(listener), {
        "A_IFINDEX": socket.if_nametoindex("espudp0"), "A_IFNAME": b"espudp0\0", "A_EVENT": {
            "A_EVENT_TYPE": C["EVENT_TYPE_EXPIRE_HARD"], "A_EVENT_PEER": 2,
            "A_EVENT_NAME": b"two\0", "A_EVENT_COOKIE": 2222, "A_EVENT_SPI": spi,
            "A_EVENT_DIR": 0, "A_EVENT_CAUSE": C["EXPIRE_CAUSE_RESERVATION"]}})
    adopted = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    adopted.bind(("", 4522))
    must(nl.call("SOCKET_ATTACH", dev(), nest("SOCKET", num("SOCKET_FD", adopted.fileno(), 4),
                                              num("SOCKET_MARKER", 1, 1))))
    got = nl.call("DEV_GET", dev()).objects[0]["A_DEV"]["A_DEV_SOCKET"]
    equal("an adopted socket is shown", got, [{
        "A_SOCKET_PORT": 4522, "A_SOCKET_KIND": 1, "A_SOCKET_MARKER": 1, "A_SOCKET_IPV4": b""}])
    adopted.close()
    got = events(listener)
    equal("a lost socket is told", got and got["A_EVENT"],
          {"A_EVENT_TYPE": C["EVENT_TYPE_SOCKET_LOST"]})

    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(100):
        must(nl.call("SPI_RESERVE", dev(), nest("RESERVE", num("RESERVE_TIMEOUT", 1, 4))))
    end = time.monotonic() + 20
    while time.monotonic() < end and nl.call("DEV_GET", dev()).objects[0]["A_DEV"]["A_DEV_SAS"] > 3:
        time.sleep(0.05)
    overrun = 0
    seen = 0
    try:
        while events(listener, 0.5):
            seen += 1
    except OSError as e:
        overrun = e.errno
    equal("a listener that was overrun is told", overrun, errno.ENOBUFS)
    while events(listener, 0.2):
        seen += 1
    check("it missed some", seen < 100, seen)
    equal("a dump tells how things are", len(nl.dump("SA_GET", dev()).objects), 3)
    must(nl.call("SPI_RESERVE", dev(), nest("RESERVE", num("RESERVE_TIMEOUT", 1, 4))))
    check("events go on", events(listener) is not None)


def test_record(nl):
    trace = "/sys/kernel/tracing"
    if not os.path.exists(f"{trace}/events"):
        sh("mount", "-t", "tracefs", "tracefs", trace)
    with open(f"{trace}/events/espudp/espudp_drop/enable", "w", encoding="ascii") as f:
        f.write("1")
    sh("ip", "link", "set", "espudp0", "up")
    must(nl.call("SOCKET_ATTACH", dev(), nest("SOCKET", num("SOCKET_PORT", 4544, 2))))
    expected = []
    for family, to, spi, count in ((socket.AF_INET, "127.0.0.1", 0x12345678, 3),
                                   (socket.AF_INET6, "::1", 0x87654321, 2)):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((to, 0))
        for _ in range(count):
            sock.sendto(struct.pack("!II", spi, 1) + bytes(32), (to, 4544))
            time.sleep(0.02)
        expected.insert(0, {"A_UNKNOWN_SPI": spi, "A_UNKNOWN_REMOTE": socket.inet_pton(family, to),
                            "A_UNKNOWN_REMOTE_PORT": sock.getsockname()[1],
                            "A_UNKNOWN_COUNT": count})
    got = nl.call("DEV_GET", dev()).objects[0]["A_DEV"]
    equal("senders of unknown SPIs are remembered",
          [{k: v for k, v in r.items() if k != "A_UNKNOWN_AGE"}
           for r in got.get("A_DEV_UNKNOWN_SPI", [])], expected)
    equal("and counted by reason", got["A_DEV_STATS"].get("A_STATS_DROP"),
          [{"A_DROP_REASON": C["DROP_RX_SPI_UNKNOWN"], "A_DROP_COUNT": 5}])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for spi in range(300, 400):
        sock.sendto(struct.pack("!II", spi, 1) + bytes(32), ("127.0.0.1", 4544))
    time.sleep(0.2)
    got = nl.call("DEV_GET", dev()).objects[0]["A_DEV"]["A_DEV_UNKNOWN_SPI"]
    equal("the newest sixteen of them", sorted(r["A_UNKNOWN_SPI"] for r in got),
          list(range(384, 400)))
    with open(f"{trace}/trace", encoding="ascii") as f:
        lines = [line for line in f if "espudp_drop" in line and "spi" in line]
    check("a tracepoint names device and reason",
          len(lines) >= 105 and "dev=espudp0 peer=0" in lines[0] and
          "reason=rx-spi-unknown" in lines[0], lines[:3])
    with open(f"{trace}/events/espudp/enable", "w", encoding="ascii") as f:
        f.write("0")
    must(nl.call("SOCKET_DETACH", dev()))
    sh("ip", "link", "set", "espudp0", "down")


# ------------------------------------------------------------------ privileges

def in_child(function, *setup):
    """Runs function() in a child after each of setup; its result as JSON."""
    r, w = os.pipe()
    child = os.fork()
    if not child:
        try:
            for step in setup:
                step()
            result = function()
        except Exception:           # pylint: disable=broad-except
            result = traceback.format_exc()
        os.write(w, json.dumps(result).encode())
        os._exit(0)
    os.close(w)
    with open(r, "rb") as f:
        data = f.read()
    os.waitpid(child, 0)
    return json.loads(data)


def unshare(flags):
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")


def setns(path):
    fd = os.open(path, os.O_RDONLY)
    if libc.setns(fd, 0):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


ALL_COMMANDS = ["DEV_GET", "DEV_SET", "SOCKET_ATTACH", "SOCKET_DETACH", "SPI_RESERVE", "PEER_NEW",
                "PEER_SET", "PEER_DEL", "PEER_GET", "SA_NEW", "SA_SET", "SA_DEL", "SA_GET", "FLUSH"]


def try_all():
    nl = Netlink()
    got = {cmd: nl.call(cmd, dev()).err for cmd in ALL_COMMANDS}
    got.update({"dump " + cmd: nl.dump(cmd, dev()).err for cmd in ("PEER_GET", "SA_GET")})
    got["dump DEV_GET"] = nl.dump("DEV_GET").err
    got["objects"] = len(nl.dump("DEV_GET").objects)
    for group in "events", "ike":
        try:
            Netlink(group)
            got[group] = 0
        except OSError as e:
            got[group] = e.errno
    return got


def test_privileges(nl):
    before = snapshot(nl)
    refused = {cmd: errno.EPERM for cmd in ALL_COMMANDS + ["dump PEER_GET", "dump SA_GET",
                                                           "dump DEV_GET", "events", "ike"]}
    refused["objects"] = 0
    equal("an ordinary user may nothing", in_child(try_all, lambda: os.setuid(65534)), refused)
    equal("nor who has rights in a user namespace only",
          in_child(try_all, lambda: unshare(CLONE_NEWUSER)), refused)
    equal("nothing changed", snapshot(nl), before)


class Container:
    """A child in user and network namespaces of its own, told what to run."""

    def __init__(self):
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            self.ours.close()
            self.serve(theirs)
        theirs.close()
        self.ours.recv(1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{self.pid}/{name}", "w", encoding="ascii") as f:
                f.write("0 0 1\n")

    @staticmethod
    def serve(conn):
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        conn.send(b".")
        while True:
            name = conn.recv(64).decode()
            if not name:
                os._exit(0)
            try:
                result = globals()[name]()
            except Exception:       # pylint: disable=broad-except
                result = traceback.format_exc()
            conn.send(json.dumps(result).encode())

    def run(self, function):
        self.ours.send(function.__name__.encode())
        return json.loads(self.ours.recv(1 << 16))

    def end(self):
        self.ours.close()
        os.waitpid(self.pid, 0)


def creators(nl, name):
    """What needs rights where the device was created: errno and words."""
    out = {}
    for what, cmd, attrs in (
            ("port", "DEV_SET", [nest("DEV", num("DEV_PORT", 4555, 2))]),
            ("fwmark", "DEV_SET", [nest("DEV", num("DEV_TTL", 3, 1), num("DEV_FWMARK", 7, 4))]),
            ("bound", "DEV_SET", [nest("DEV", num("DEV_BOUND_IFINDEX", 1, 4))]),
            ("detach", "SOCKET_DETACH", []), ("attach", "SOCKET_ATTACH", [])):
        reply = nl.call(cmd, dev(name), *attrs)
        out[what] = [reply.err, reply.text]
    return out


def shown(nl, name):
    got = nl.call("DEV_GET", dev(name)).objects[0]["A_DEV"]
    got.update(nl.dump("PEER_GET", dev(name)).objects[0]["A_PEER"])
    dumped = nl.dump("DEV_GET").objects
    dumped = [o["A_DEV"] for o in dumped if o["A_IFNAME"] == name.encode() + b"\0"][0]
    return sorted((set(got) | set(dumped)) &
                  {"A_DEV_PORT", "A_DEV_FWMARK", "A_DEV_BOUND_IFINDEX", "A_DEV_SOCKET",
                   "A_PEER_LOCAL_PORT", "A_DEV_FOREIGN_NETNS", "A_DEV_TTL"})


def as_tenant():
    nl = Netlink()
    out = {"shown": shown(nl, "moved"), "creators": creators(nl, "moved")}
    out["ttl"] = nl.call("DEV_SET", dev("moved"), nest("DEV", num("DEV_TTL", 5, 1))).err
    out["peer"] = nl.call("PEER_NEW", dev("moved"), peer(pid(9))).err
    out["sa"] = nl.call("SA_NEW", dev("moved"), sa(0x5000, owner=9)).err
    return out


def as_owner():
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "mine", "type", "espudp")
    nl = Netlink()
    must(nl.call("PEER_NEW", dev("mine"), peer(pid(1), addr("PEER_REMOTE", "192.0.2.1"))))
    errs = [nl.call("SOCKET_ATTACH", dev("mine")).err,
            nl.call("DEV_SET", dev("mine"), nest("DEV", num("DEV_FWMARK", 7, 4))).err]
    out = {"errs": errs, "shown": shown(nl, "mine")}
    sh("ip", "link", "del", "mine")
    return out


def visit():
    nl = Netlink()
    return {"shown": shown(nl, "moved"),
            "fwmark": nl.call("DEV_SET", dev("moved"),
                              nest("DEV", num("DEV_FWMARK", 9, 4))).err}


def test_moved(nl):
    creator = ["A_DEV_BOUND_IFINDEX", "A_DEV_FWMARK"]
    everything = creator + ["A_DEV_PORT", "A_DEV_SOCKET", "A_DEV_TTL", "A_PEER_LOCAL_PORT"]
    foreign = sorted(everything + ["A_DEV_FOREIGN_NETNS"])
    sh("ip", "link", "add", "moved", "type", "espudp")
    must(nl.call("SOCKET_ATTACH", dev("moved"), nest("SOCKET", num("SOCKET_PORT", 4533, 2))))
    must(nl.call("DEV_SET", dev("moved"), nest("DEV", num("DEV_FWMARK", 1, 4))))
    must(nl.call("PEER_NEW", dev("moved"), peer(pid(1), addr("PEER_REMOTE", "192.0.2.1"))))
    equal("at home everything is shown", shown(nl, "moved"), everything)

    box = Container()
    equal("a container may do all with a device of its own", box.run(as_owner),
          {"errs": [0, 0], "shown": everything})
    sh("ip", "link", "set", "moved", "netns", str(box.pid))
    got = box.run(as_tenant)
    if not isinstance(got, dict):
        check("a tenant may ask", False, got)
        return
    equal("of a device that was moved there it sees nothing of home", got["shown"],
          ["A_DEV_FOREIGN_NETNS", "A_DEV_TTL"])
    check("nor may it touch that, in words",
          all(err == errno.EPERM and "CAP_NET_ADMIN" in text
              for err, text in got["creators"].values()), got["creators"])
    equal("but peers and the rest are its own", (got["ttl"], got["peer"], got["sa"]), (0, 0, 0))
    reply = nl.call("DEV_GET", dev("moved"))
    equal("at home the device is gone", reply.err, errno.ENODEV)
    got = in_child(visit, lambda: setns(f"/proc/{box.pid}/ns/net"))
    equal("who has rights in both sees and may everything", got, {"shown": foreign, "fwmark": 0})
    box.end()

    sh("ip", "netns", "add", "nlhome")
    sh("ip", "-n", "nlhome", "link", "add", "moved", "type", "espudp")
    sh("ip", "-n", "nlhome", "link", "set", "moved", "netns", "1")
    must(nl.call("PEER_NEW", dev("moved"), peer(pid(1))))
    must(nl.call("SOCKET_ATTACH", dev("moved")))
    equal("a device may come here from elsewhere", shown(nl, "moved"), foreign)
    sh("ip", "netns", "del", "nlhome")
    end = time.monotonic() + 20
    while time.monotonic() < end and "A_DEV_PORT" in shown(nl, "moved"):
        time.sleep(0.05)
    got = creators(nl, "moved")
    check("when its home is gone, that is what is said",
          all(err == errno.ENETDOWN and "gone" in text for err, text in got.values()), got)
    equal("and nothing of it is shown", shown(nl, "moved"), ["A_DEV_FOREIGN_NETNS", "A_DEV_TTL"])
    sh("ip", "link", "del", "moved")


if __name__ == "__main__":
    sys.exit(main([test_dumps, test_events, test_record, test_privileges, test_moved]))
