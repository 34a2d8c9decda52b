#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""IKE in sight: an event for each IKE datagram while somebody listens, of its
header only, where the sockets are; the name of an IKE SA beside its peer.

  a  sender --- b  espudp0, own sockets or one that the test has adopted
                c  where the device is moved
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 120

import json
import os
import re
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import genl
from forge import (Esp, UDP_GRO, UDP_SEGMENT, check, equal, n, n_attempt, n_spawn, netns,
                   read_all, run, send, sender)

A, B = {4: "198.51.100.1", 6: "2001:db8:2::1"}, {4: "198.51.100.2", 6: "2001:db8:2::2"}
MARKER = bytes(4)
RATE = 100
SECRET = b"SECRETsecret"


def ike(version=0x10, exchange=2, flags=0, ident=0, payload=SECRET * 4,
        initiator=0x1122334455667788, responder=0x99aabbccddeeff00):
    return struct.pack("!QQBBBBII", initiator, responder, 0x21, version, exchange, flags, ident,
                       28 + len(payload)) + payload


def listener(name="b", group="ike", buf=8 << 20):
    with netns(name):
        sock = genl.Genl(forge.netlink("b").spec)
    sock.sock.setsockopt(socket.SOL_SOCKET, 33, buf)    # SO_RCVBUFFORCE
    sock.join(group)
    return sock


def expected(data, source, family, dev="espudp0", lport=4500):
    """The event that tells of an IKE message, all of it."""
    spec = forge.netlink("b").spec
    with netns("b"):
        index = socket.if_nametoindex(dev)
    event = {"type": spec.enums["event-type"].index("ike"),
             "remote": forge.addr_bytes(A[family]), "remote-port": source.getsockname()[1],
             "local": forge.addr_bytes(B[family]), "local-port": lport, "length": len(data)}
    if len(data) >= 28:
        initiator, responder, _, version, exchange, flags, ident = struct.unpack("!QQBBBBI",
                                                                                 data[:24])
        event.update({"initiator-spi": initiator, "responder-spi": responder, "version": version,
                      "exchange": exchange, "ike-flags": flags, "message-id": ident})
    return {"ifindex": index, "ifname": dev, "event": event}


def bound(family, port=4500):
    with netns("b"):
        sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        if family == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
        sock.bind(("::" if family == 6 else "0.0.0.0", port))
    sock.setblocking(False)
    return sock


def adopt(sock, marker="strip"):
    n("b", "espudp", "socket", "adopt", "espudp0", "fd", sock.fileno(), "marker", marker,
      pass_fds=[sock.fileno()])


def close():
    n("b", "espudp", "socket", "close", "espudp0")


# --------------------------------------------------------------------- content

MESSAGES = [
    ike(0x10, 2), ike(0x10, 32, 1, 0xdeadbeef), ike(0x20, 34, 8, payload=SECRET * 100),
    ike(0x20, 35, 0x20, 1), ike(0xff, 255, 255, 0xffffffff, b"", 0xffffffffffffffff, 0),
    ike(payload=b""), ike()[:27], ike()[:8], b"\xff", b"", ike(payload=SECRET * 3000),
]


def told(listening, source, family, messages):
    """Sends them, with others in between: is each told of, in order, and no other?"""
    esp = Esp(0x7777)
    for data in messages:
        send(source, MARKER + data)
        for other in esp.seal(forge.inner(b"esp")), b"\xff", b"\0\0\0", struct.pack("!II", 999, 1):
            send(source, other)
        # not more than are told in a second
        time.sleep(0.01)
    got = listening.events(5, len(messages)) + listening.events(0.2)
    want = [expected(data, source, family) for data in messages]
    equal("one event for each datagram, with what its header says", [e for e, _ in got], want)
    check("and nothing of what it carries", len(got) == len(messages) and not any(
        SECRET[i:i + 4] in raw for _, raw in got for i in range(len(SECRET) - 3)))


def content():
    for family in 4, 6:
        source = sender("a", B[family])
        forge.diag(f"IPv{family}, own socket")
        n("b", "espudp", "socket", "open", "espudp0")
        listening = listener()
        before = forge.settle("b")
        told(listening, source, family, MESSAGES)
        equal("they are dropped and counted as ever",
              forge.moved(before, forge.settle("b")).get("rx-ike-unowned"), len(MESSAGES))
        close()
        for marker in "strip", "keep":
            forge.diag(f"IPv{family}, adopted socket, marker {marker}")
            sock = bound(family)
            adopt(sock, marker)
            told(listening, source, family, MESSAGES)
            cut = b"" if marker == "strip" else MARKER
            equal("the owner reads them, octet for octet",
                  read_all(sock, 3, len(MESSAGES)) + read_all(sock, 0.1),
                  [cut + data for data in MESSAGES])
            close()
            sock.close()
        listening.sock.close()


def merged():
    """What comes merged, because the owner set UDP_GRO, is told one by one."""
    n("a", "ethtool", "-K", "a0", "tso", "off", "gso", "on", "tx-udp-segmentation", "on")
    n("b", "ethtool", "-K", "b0", "gro", "on")
    for family in 4, 6:
        sock = bound(family)
        adopt(sock, "keep")
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        source = sender("a", B[family])
        listening = listener()
        esp = Esp(0x7777).seal(forge.inner(b"x" * 300))
        messages = [ike(ident=i, payload=b"p" * (len(esp) - 4 - 28)) for i in range(20)]
        source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(esp))
        send(source, b"".join(MARKER + data + esp for data in messages))
        got = [e for e, _ in listening.events(5, 20) + listening.events(0.2)]
        equal(f"IPv{family}: IKE that came merged with ESP is told one by one", got,
              [expected(data, source, family) for data in messages])
        equal("and read so", read_all(sock, 3, 20), [MARKER + data for data in messages])
        close()
        sock.close()
        listening.sock.close()


# ------------------------------------------------------------ off, on, how often

PROBE = "/sys/kernel/tracing"


class Broadcasts:
    """Counts netlink broadcasts, of which IKE events are some."""

    def __enter__(self):
        if not os.path.exists(f"{PROBE}/kprobe_events"):
            run("mount", "-t", "tracefs", "tracefs", PROBE)
        with open("/proc/kallsyms", encoding="ascii") as file:
            # since 6.4 all go through it
            name = "_filtered" if " netlink_broadcast_filtered\n" in file.read() else ""
        self.write("kprobe_events", f"p:sight netlink_broadcast{name}")
        self.write("events/kprobes/sight/enable", "1")
        return self

    def __exit__(self, *_):
        self.write("events/kprobes/sight/enable", "0")
        self.write("kprobe_events", "-:sight")

    @staticmethod
    def write(path, text):
        fd = os.open(f"{PROBE}/{path}", os.O_WRONLY | os.O_APPEND)
        os.write(fd, text.encode() + b"\n")
        os.close(fd)

    @staticmethod
    def count():
        with open(f"{PROBE}/kprobe_profile", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.split()[0] == "sight")


def made(broadcasts, source, sock, number=60):
    """Broadcasts while so many IKE datagrams come; others may add a few."""
    time.sleep(1.1)
    before = broadcasts.count()
    for i in range(number):
        send(source, MARKER + ike(ident=i))
    if len(read_all(sock, 5, number)) != number:
        raise forge.Failed("IKE does not reach its owner")
    return broadcasts.count() - before


def off():
    sock = bound(4)
    adopt(sock)
    source = sender("a", B[4])
    others = listener(group="events")
    with Broadcasts() as broadcasts:
        check("nobody listens: nothing is made", made(broadcasts, source, sock) < 30)
        watch = Watch("ike")
        watch.wait(source)
        read_all(sock, 0.2)
        check("somebody does: it is", made(broadcasts, source, sock) >= 60)
        watch.child.kill()
        watch.child.wait()
        check("the monitor was killed: nothing is", made(broadcasts, source, sock) < 30)
    equal("who listens to other events hears nothing of IKE", others.events(0.2), [])
    others.sock.close()
    sock.close()
    forge.wait_for(5, lambda: not shown().get("socket"))


def burst(source, number):
    """Faster than Python can one by one."""
    data = MARKER + ike(payload=b"")
    source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(data))
    for _ in range(number // 50):
        send(source, data * 50)
    source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)


def rate():
    sock = bound(4)
    adopt(sock)
    source = sender("a", B[4])
    burst(source, 1000)
    equal("a flood that nobody listens to reaches the owner", len(read_all(sock, 10, 1000)), 1000)
    listening = listener()
    send(source, MARKER + ike())
    got = listening.events(5, 1)
    check("who listens later missed nothing of it", len(got) == 1 and
          "lost" not in got[0][0]["event"], got)

    time.sleep(1.1)
    start = time.monotonic()
    burst(source, 1000)
    seconds = time.monotonic() - start
    equal("a flood reaches the owner", len(read_all(sock, 10, 1001)), 1001)
    got = listening.events(0.5)
    time.sleep(1.1)
    send(source, MARKER + ike(ident=7))
    last = listening.events(5, 1)
    got += last
    lost = [e["event"].get("lost", 0) for e, _ in got]
    check(f"of a flood of {seconds:.1f} s at most {RATE} a second are told",
          RATE <= len(got) - 1 <= RATE * (seconds // 1 + 2), len(got))
    equal("those that were not are counted", len(got) + sum(lost), 1001)
    check("the next event tells how many", last and last[0][0]["event"].get("lost", 0) >= 1 and
          last[0][0]["event"]["message-id"] == 7, last)
    send(source, MARKER + ike(ident=8))
    check("once", "lost" not in listening.events(5, 1)[0][0]["event"])
    listening.sock.close()
    sock.close()
    forge.wait_for(5, lambda: not shown().get("socket"))


# -------------------------------------------------------------------- who is told

def moved():
    """Of IKE in b, c hears nothing, though the device is there."""
    n("b", "espudp", "socket", "open", "espudp0")
    here, there = listener("b"), listener("c")
    source = sender("a", B[4])
    want = expected(ike(), source, 4)
    run("ip", "-n", "b", "link", "set", "espudp0", "netns", "c")
    run("ip", "-n", "c", "link", "set", "espudp0", "name", "theirs", "up")
    send(source, MARKER + ike())
    got = [e for e, _ in here.events(5, 1)]
    del want["ifindex"]
    want["ifname"] = "theirs"
    equal("of a device that was moved, IKE is told where its sockets are, without an index", got,
          [want])
    equal("and not where it is", there.events(0.3), [])
    watch = Watch("ike")
    watch.wait(source)
    check("the tool says so", ", of a moved device\n" in watch.text(), watch.text())
    watch.end()
    # the tenant takes the name of a device that is here
    run("ip", "-n", "b", "link", "add", "espudp0", "type", "espudp")
    run("ip", "-n", "c", "link", "set", "theirs", "down")
    run("ip", "-n", "c", "link", "set", "theirs", "name", "espudp0")
    watch = Watch("ike", "espudp0")
    time.sleep(1)
    here.events()
    send(source, MARKER + ike())
    equal("it may take the name of one that is here", here.events(5, 1)[0][0]["ifname"], "espudp0")
    time.sleep(0.3)
    equal("which the tool does not take it for", watch.text(), "")
    watch.end()
    here.sock.close()
    there.sock.close()
    run("ip", "-n", "b", "link", "del", "espudp0")
    run("ip", "-n", "c", "link", "del", "espudp0")
    run("ip", "-n", "b", "link", "add", "espudp0", "type", "espudp")


def refused():
    with netns("b"):
        pid = os.fork()
        if not pid:
            os.setuid(65534)
            try:
                genl.Genl(forge.netlink("b").spec).join("ike")
            except PermissionError:
                os._exit(7)
            os._exit(0)
    equal("who lacks CAP_NET_ADMIN may not listen",
          os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 7)
    os.chmod(forge.folder, 0o755)
    done = n_attempt("b", "setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set", "-all",
                     "--inh-caps", "-all", "timeout", 20, "espudp", "monitor", "ike")
    check("nor by the tool, in words", done.returncode == 1 and "CAP_NET_ADMIN" in done.stderr,
          done.stderr)


# ---------------------------------------------------------------------- the tool

class Watch:
    def __init__(self, *words):
        self.path = forge.folder / f"watch-{time.monotonic_ns()}"
        with open(self.path, "w", encoding="utf-8") as file:
            self.child = n_spawn("b", "espudp", "monitor", *words, stdout=file)

    def text(self):
        return self.path.read_text(encoding="utf-8")

    def lines(self, number):
        forge.wait_for(5, lambda: self.text().count("\n") >= number)
        time.sleep(0.1)
        return self.text().splitlines()

    def wait(self, source):
        """Until it listens, which IKE of its own shows; what that left is cut off."""
        def seen():
            send(source, MARKER + ike())
            time.sleep(0.05)
            return self.text()
        forge.wait_for(20, seen)
        time.sleep(0.3)

    def end(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        return self.child.wait()


def shown(*words):
    return json.loads(n("b", "espudp", "show", "espudp0", *words, "--json"))[0]


LINES = (
    (ike(0x10, 2, initiator=0xa1, responder=0),
     "v1 main-mode i=0x00000000000000a1 r=0x0000000000000000 id 0x00000000 length 76"),
    (ike(0x10, 32, 1, 0xdeadbeef),
     "v1 quick-mode i=0x1122334455667788 r=0x99aabbccddeeff00 id 0xdeadbeef length 76"),
    (ike(0x20, 34, 8),
     "v2 IKE_SA_INIT request i=0x1122334455667788 r=0x99aabbccddeeff00 id 0x00000000 length 76"),
    (ike(0x20, 35, 0x20, 1),
     "v2 IKE_AUTH response i=0x1122334455667788 r=0x99aabbccddeeff00 id 0x00000001 length 76"),
    (ike(0x10, 77),
     "v1 exchange 77 i=0x1122334455667788 r=0x99aabbccddeeff00 id 0x00000000 length 76"),
    (ike()[:20], "too short for IKE length 20"),
)


def tool():
    n("b", "espudp", "socket", "open", "espudp0")
    # so many programs take long to start under emulation: all at once
    run("ip", "-n", "b", "link", "add", "ike", "type", "espudp")
    n("b", "espudp", "set", "ike", "port", 4600)
    n("b", "espudp", "socket", "open", "ike")
    watches = {words: Watch(*words.split()) for words in (
        "ike", "ike --json", "ike espudp0", "ike dev ike", "dev ike", "espudp0")}
    sources = {family: sender("a", B[family]) for family in (4, 6)}
    other = sender("a", B[4], 4600)
    for words, source in ("ike", sources[4]), ("ike --json", sources[4]), \
            ("ike espudp0", sources[4]), ("ike dev ike", other):
        watches[words].wait(source)
    time.sleep(1.1)
    at = {words: len(watch.text()) for words, watch in watches.items()}
    ends = []
    for family, source in sources.items():
        for data, words in LINES:
            send(source, MARKER + data)
            time.sleep(0.01)
            host = "[%s]:%u" if family == 6 else "%s:%u"
            ends.append(f" espudp0 ike from {host % source.getsockname()[:2]} to "
                        f"{host % (B[family], 4500)} {words}")
    send(other, MARKER + LINES[0][0])
    forge.wait_for(5, lambda: watches["ike"].text()[at["ike"]:].count("\n") > len(ends))
    time.sleep(0.5)
    got = {words: watch.text()[at[words]:].splitlines() for words, watch in watches.items()}
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}")
    check("each line begins with the time", all(stamp.match(line) for line in got["ike"]), got)
    equal("a line for each datagram", [stamp.sub("", line, 1) for line in got["ike espudp0"]], ends)
    equal("of each device, unless one is named", len(got["ike"]), len(ends) + 1)
    equal("a device may be called ike", [line.split()[1] for line in got["ike dev ike"]], ["ike"])
    equal("without `ike', IKE is not told", (got["espudp0"], watches["dev ike"].text()), ([], ""))
    first, short = json.loads(got["ike --json"][0]), json.loads(got["ike --json"][5])
    for one in first, short:
        check("JSON has the time", stamp.fullmatch(one.pop("time", "")))
    event = expected(LINES[0][0], sources[4], 4)
    event = dict(event["event"], type="ike", ifname="espudp0", ifindex=event["ifindex"],
                 remote=A[4], local=B[4])
    equal("and the attributes by their names", first, event)
    event["length"] = 20
    for name in ("initiator-spi", "responder-spi", "version", "exchange", "ike-flags",
                 "message-id"):
        del event[name]
    equal("of a short one those that there are", short, event)
    # no way to tell of what was lost but that it was
    watches["ike espudp0"].child.send_signal(signal.SIGSTOP)
    for _ in range(40):
        burst(sources[4], 100)
        time.sleep(1.05)
        if forge.wait_for(0.05, dropped):
            break
    watches["ike espudp0"].child.send_signal(signal.SIGCONT)
    check("events that were lost are told", forge.wait_for(10, lambda: re.search(
        "^[^ ]* overrun: events were lost$", watches["ike espudp0"].text(), re.M)))

    def goes_on():
        send(sources[4], MARKER + LINES[1][0])
        time.sleep(0.1)
        return "quick-mode" in watches["ike espudp0"].text().rpartition("overrun")[2]
    check("and it goes on", forge.wait_for(10, goes_on))
    check("with nothing of peers", "resync" not in watches["ike espudp0"].text())
    equal("SIGTERM ends it with 0", watches["ike"].end(), 0)
    equal("and so does SIGINT", watches["ike --json"].end(signal.SIGINT), 0)
    for words in "ike espudp0", "ike dev ike", "dev ike", "espudp0":
        watches[words].end()
    for words, error in (["ike", "espudp0", "more"], "unexpected word"), \
            (["ike", "nosuch"], "nosuch"):
        done = n_attempt("b", "espudp", "monitor", *words)
        check(f"monitor {' '.join(words)} is refused", done.returncode and error in done.stderr,
              done.stderr)
    run("ip", "-n", "b", "link", "del", "ike")


def dropped():
    """Whether a listener's buffer has overrun."""
    with netns("b"), open("/proc/thread-self/net/netlink", encoding="ascii") as file:
        return any(int(line.split()[8]) for line in file.readlines()[1:])


def names():
    n("b", "espudp", "peer", "add", "espudp0", "id", 5, "name", "alice", "ike", "l2tp[3]",
      "remote", "192.0.2.5", "routes", "none")
    text = n("b", "espudp", "show", "espudp0", "5")
    check("show has the name of the IKE SA beside the peer", "\n  ike: l2tp[3]\n" in text, text)
    equal("and so has JSON", shown("5")["peer"][0].get("ike"), "l2tp[3]")
    n("b", "espudp", "peer", "set", "espudp0", 5, "ike", "7")
    equal("it can be changed, to a number, too", shown("5")["peer"][0].get("ike"), "7")
    conf = n("b", "espudp", "showconf", "espudp0")
    check("a configuration file has no word of it", "alice" in conf and "ike" not in conf.lower(),
          conf)
    path = forge.folder / "conf"
    path.write_text(conf.replace("[Peer]", "[Peer]\nTFC = 64", 1), encoding="utf-8")
    for command in "syncconf", "setconf":
        n("b", "espudp", command, "espudp0", path)
        peer = shown("5")["peer"][0]
        equal(f"{command} leaves it as it is", (peer.get("ike"), peer["tfc"]), ("7", 64))
    path.write_text(conf.replace("[Peer]", "[Peer]\nIke = x", 1), encoding="utf-8")
    done = n_attempt("b", "espudp", "syncconf", "espudp0", path)
    check("and does not take it", done.returncode and "Ike" in done.stderr, done.stderr)
    done = n_attempt("b", "espudp", "peer", "set", "espudp0", 5, "ike", "x" * 64)
    check("64 octets are refused in words", done.returncode == 1 and "63 octets" in done.stderr,
          done.stderr)
    n("b", "espudp", "peer", "set", "espudp0", 5, "ike", "a\x1b[31m")
    check("what is no text is told as such", "\n  ike: a\\x1b[31m\n" in
          n("b", "espudp", "show", "espudp0", "5"))
    n("b", "espudp", "peer", "set", "espudp0", 5, "ike", "")
    check("an empty name takes it away", "ike" not in shown("5")["peer"][0] and
          "ike:" not in n("b", "espudp", "show", "espudp0", "5"))
    n("b", "espudp", "flush", "espudp0", "peers")


def main():
    forge.load_module()
    forge.topo_direct()
    forge.ns_add("c")
    run("ip", "-n", "b", "link", "add", "espudp0", "type", "espudp")
    content()
    merged()
    off()
    rate()
    refused()
    moved()
    tool()
    names()
    equal("nothing of this is in the kernel's log", forge.complaints(), [])
    forge.end()


main()
