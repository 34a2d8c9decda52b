#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Everything at once: traffic, rekeys, expiry, deletions, mapping changes, dumps,
the link going down and up, a process for each, on two processors; then devices,
namespaces and the module made and removed under traffic.

  a                                 b
  espudp0 10.1.0.1   ==========     espudp0 10.2.0.1
  a0 198.51.100.1, .11, .12  ---    b0 198.51.100.2
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 180
# DEBUG-TIER: short
# SMP: 2
# THREAD: multi

import contextlib
import functools
import itertools
import json
import os
import select
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from forge import Esp, check, n, n_spawn, netns, run

SECONDS = 120 if forge.FULL else 30 if forge.DEBUG_KERNEL else 15
# Each kind of removal at least so often, and for so many seconds.
CYCLES, CYCLES_SECONDS = 1 if forge.DEBUG_KERNEL else 2, 300 if forge.FULL else 0
LEFT, RIGHT = "10.1.0.1", "10.2.0.1"
ENDS = ("a", 1, 2, "198.51.100.2"), ("b", 2, 1, "198.51.100.1")


def request(name, operation, dump=False, **values):
    return forge.netlink(name).request(operation, dump, ifname="espudp0", **values)


def must(name, operation, dump=False, **values):
    return forge.netlink(name).must(operation, dump, ifname="espudp0", **values)


def selectors(here, there, **more):
    """10.HERE.0.0/24 to 10.THERE.0.0/24, and fd10:HERE::/64 to fd10:THERE::/64."""
    found = []
    for form, size in ("10.{}.0.0", 1), ("fd10:{}::", 8):
        local, remote = (forge.addr_bytes(form.format(net))[:-size] for net in (here, there))
        found.append({"local-from": local + bytes(size), "local-to": local + b"\xff" * size,
                      "remote-from": remote + bytes(size), "remote-to": remote + b"\xff" * size,
                      **more})
    return found


def up(name, here, there):
    """Routes, and IPv6 addresses, went as the link went down."""
    run("ip", "-n", name, "-batch", "-", stdin=f"""
link set espudp0 up
addr replace 10.{here}.0.1/24 dev espudp0
addr replace fd10:{here}::1/64 dev espudp0 nodad
route replace 10.{there}.0.0/24 dev espudp0
route replace fd10:{there}::/64 dev espudp0
""")


def pair(right, left, **values):
    """SAs both ways."""
    for source, sink, spi in ("a", "b", right), ("b", "a", left):
        esp = Esp(spi, "aes-gcm", seed=str(spi).encode())
        for name, direction in (sink, "in"), (source, "out"):
            error, message = forge.sa_new(name, "espudp0", 1, direction, esp, **values)
            if error:
                raise OSError(error, message)


def tunnel():
    for name, here, there, outer in ENDS:
        run("ip", "-n", name, "link", "add", "espudp0", "type", "espudp")
        up(name, here, there)
        must(name, "socket-attach", socket={})
        must(name, "peer-new", peer={"id": 1, "remote": forge.addr_bytes(outer),
                                     "selector": selectors(here, there)})
    pair(0x1001, 0x2001)


def netns_gone():
    forge.genl_socks.clear()
    for name in "a", "b":
        run("ip", "netns", "del", name)
    forge.namespaces.clear()


def works():
    return all(forge.n_attempt(name, "ping", "-q", "-c", 2, "-i", 0.1, "-W", 10,
                               address).returncode == 0
               for name, address in (("a", RIGHT), ("b", "fd10:1::1")))


# ------------------------------------------------------------- what goes on

def rekey(number):
    """The pair before the last goes, as IKE daemons let it go; or expires."""
    spi = 0x10000 + 2 * number
    pair(spi, spi + 1, **({"hard_packets": 50} if number % 4 == 1 else
                          {"hard_seconds": 1} if number % 4 == 2 else {}))
    for name, direction, old in ("b", "in", spi - 4), ("a", "in", spi - 3), \
                                ("a", "out", spi - 4), ("b", "out", spi - 3):
        request(name, "sa-del", sa={"spi": old, "dir": direction, "peer": 1})
    time.sleep(0.02)


def flush(_):
    time.sleep(1 if forge.DEBUG_KERNEL else 0.3)
    must("b", "flush", flush="sas")
    must("a", "flush", flush="sas", peer={"id": 1})


def mapping(number):
    address = f"198.51.100.{(11, 12, 1)[number % 3]}"
    must("a", "peer-set", peer={"id": 1, "local": forge.addr_bytes(address)})
    time.sleep(0.02)


def peers(_):
    must("b", "peer-new", peer={"id": 7, "remote": forge.addr_bytes("198.51.100.77"),
                                "keepalive": 1, "selector": selectors(2, 77)})
    esp = Esp(0x7777, "aes-gcm")
    for direction in "in", "out":
        error, message = forge.sa_new("b", "espudp0", 7, direction, esp)
        if error:
            raise OSError(error, message)
    must("b", "peer-set", peer={"id": 7, "no-selectors": True})
    must("b", "peer-set", peer={"id": 7, "selector": selectors(2, 77) +
                                selectors(2, 78, protocol=17)})
    time.sleep(0.02)
    must("b", "peer-del", peer={"id": 7})


def dumps(_):
    for name in "a", "b":
        forge.netlink(name).must("dev-get", True)
        for operation in "peer-get", "sa-get":
            must(name, operation, True)
    time.sleep(0.01)


def shown(_):
    for name in "a", "b":
        n(name, "espudp", "show", "--json")
    time.sleep(0.5)


def sockets(_):
    time.sleep(0.5)
    request("b", "socket-detach")
    must("b", "socket-attach", socket={})


def updown(_):
    time.sleep(0.7)
    run("ip", "-n", "b", "link", "set", "espudp0", "down")
    up("b", 2, 1)


def settings(number):
    for name in "a", "b":
        must(name, "dev-set", dev={"outer-csum": ("zero", "full", "auto")[number % 3]})
    # helpers on the other processor, while all the rest goes on
    with open("/sys/module/espudp/parameters/parallel", "w", encoding="ascii") as knob:
        knob.write(str(number % 2))
    time.sleep(0.05)


@functools.cache
def inner_sock(name):
    with netns(name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    return sock


def small(number):
    for address in "10.2.0.1", "10.77.0.1", "10.78.0.1":
        for name in ("a", "b") if address == RIGHT else ("b",):
            for _ in range(10):
                with contextlib.suppress(OSError):
                    inner_sock(name).sendto(bytes(number % 1000), (
                        LEFT if address == RIGHT and name == "b" else address, 9999))
    time.sleep(0.01)


def large(number):
    """Fragments, and one packet that is cut into several."""
    with contextlib.suppress(OSError):
        inner_sock("a").sendto(bytes(8000), (RIGHT, 9999))
    with contextlib.suppress(OSError):
        inner_sock("b").sendmsg([bytes(1200 * (1 + number % 20))], [
            (socket.IPPROTO_UDP, forge.UDP_SEGMENT, struct.pack("=H", 1200))], 0, (LEFT, 9999))
    time.sleep(0.01)


def bulk(number):
    """A connection, as far as it comes within two seconds."""
    deadline = time.monotonic() + 2
    with netns("b"):
        server = socket.create_server((RIGHT, 0))
    with netns("a"):
        client = socket.socket()
    with contextlib.ExitStack() as stack:
        stack.enter_context(server)
        stack.enter_context(client)
        server.setblocking(False)
        client.setblocking(False)
        client.connect_ex(server.getsockname())
        ready, _, _ = select.select([server], [], [], 2)
        if not ready:
            return
        sink = stack.enter_context(server.accept()[0])
        sink.setblocking(False)
        while time.monotonic() < deadline:
            ready, _, _ = select.select([sink], [client], [], 0.1)
            with contextlib.suppress(BlockingIOError):
                client.send(bytes(60000))
            with contextlib.suppress(BlockingIOError):
                sink.recv(1 << 20)


def all_at_once(*actions):
    """A process for each, that repeats it; how often that went well."""
    children = {}
    deadline = time.monotonic() + SECONDS
    for action in actions:
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            good, errors = 0, {}
            try:
                os.close(reader)
                forge.genl_socks.clear()
                for number in itertools.count(2):
                    if time.monotonic() > deadline:
                        break
                    try:
                        action(number)
                        good += 1
                    except (OSError, forge.Failed) as error:
                        errors[str(error)] = errors.get(str(error), 0) + 1
                os.write(writer, json.dumps([good, errors]).encode()[:4096])
            finally:
                os._exit(0)
        os.close(writer)
        children[action.__name__] = pid, reader
    for name, (pid, reader) in children.items():
        ready, _, _ = select.select([reader], [], [], max(0, deadline + 60 - time.monotonic()))
        text = os.read(reader, 65536) if ready else b""
        if not text:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stack", encoding="ascii") as file:
                forge.diag(f"{name} does not end:", file.read())
        try:
            good, errors = json.loads(text)
        except ValueError:
            good, errors = 0, {text: 1}
        check(f"all at once: {name}, {good} times", good > 0, errors)
        if errors:
            forge.diag(f"{name}: {errors}")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)


def fire():
    forge.topo_direct()
    for host in 11, 12:
        run("ip", "-n", "a", "addr", "add", f"198.51.100.{host}/24", "dev", "a0")
    tunnel()
    check("the tunnel works", works())
    monitor = n_spawn("b", "espudp", "monitor", stdout=-3)
    all_at_once(rekey, flush, mapping, peers, dumps, shown, sockets, updown, settings,
                small, large, bulk)
    monitor.kill()
    monitor.wait()
    stats = {name: forge.stats(name) for name in ("a", "b")}
    forge.diag(*({key: value for key, value in one.items() if key.endswith("packets")}
                 for one in stats.values()), forge.drops("a"), forge.drops("b"))
    check("packets were delivered meanwhile",
          stats["b"]["rx-packets"] > (20 if forge.DEBUG_KERNEL else 100))

    for name, here, there, outer in ENDS:
        must(name, "flush", flush="sas")
        request(name, "socket-attach", socket={})
        must(name, "peer-set", peer={"id": 1, "remote": forge.addr_bytes(outer),
                                     "remote-port": 4500})
        up(name, here, there)
    must("a", "peer-set", peer={"id": 1, "local": forge.addr_bytes("198.51.100.1")})
    pair(0x900001, 0x900002)
    check("afterwards the tunnel works", works(), forge.drops("a"), forge.drops("b"))
    forge.genl_socks.clear()
    run("rmmod", "espudp")
    check("all that was created is destroyed",
          forge.wait_for(10, lambda: not forge.left()), *forge.left())
    netns_gone()


# ------------------------------------------------------------------- cycles

def cycle(number):
    """Made, used, removed under traffic; what went wrong."""
    if not os.path.exists("/sys/module/espudp"):
        forge.load_module("")
    forge.topo_direct()
    tunnel()
    if not works():
        return "no answer"
    traffic = [n_spawn(name, "ping", "-q", "-f", "-s", size, "-w", 60, address,
                       stdout=-3, stderr=-3)
               for name, size, address in (("a", 56, RIGHT), ("b", 3000, LEFT))]
    time.sleep(0.3)
    forge.genl_socks.clear()
    kind = number % 4
    if kind == 0:
        run("ip", "-n", "b", "link", "set", "espudp0", "netns", "a", "name", "moved0")
    elif kind == 1:
        run("rmmod", "espudp")
    elif kind == 2:
        run("ip", "-n", "a", "link", "set", "espudp0", "netns", "1", "name", "moved0")
        run("ip", "link", "del", "moved0")
    for child in traffic:
        child.kill()
        child.wait()
    netns_gone()
    return None


def cycles():
    deadline = time.monotonic() + CYCLES_SECONDS
    problems, count = [], 0
    while count < 4 * CYCLES or time.monotonic() < deadline and not problems:
        try:
            problem = cycle(count)
        except (OSError, forge.Failed) as error:
            problem = str(error)
        if problem:
            problems.append(f"round {count}: {problem}")
        count += 1
    check(f"{count} times a device is made, used, and moved or removed, alone, with its "
          "namespace or with the module", not problems, *problems)
    if os.path.exists("/sys/module/espudp"):
        done = forge.attempt("rmmod", "espudp")
        check("the module unloads", done.returncode == 0, done.stderr)
    check("all that was created is destroyed, with the namespaces too",
          forge.wait_for(20, lambda: not forge.left()), *forge.left())


def main():
    forge.load_module("")
    fire()
    cycles()
    found = forge.complaints()
    check("the log is quiet, and nothing waits to become free", not found, *found[:20])
    forge.end()


main()
