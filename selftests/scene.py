# SPDX-License-Identifier: GPL-2.0
"""For scenes with IKE: traffic that is counted, what is seen outside, peers.

    traffic = scene.Traffic({"c1": (("c1", "10.8.0.1"), ("host", "10.99.0.2"))})
    ...
    traffic.stop()
    equal("no packet was lost", traffic.lost(), {})
"""

import ipaddress
import json
import time
from pathlib import Path

import forge
from forge import n, netns, wait_for

SLOW = 10 if forge.DEBUG_KERNEL else 1
RATE = 2 if forge.DEBUG_KERNEL else 10
start = time.monotonic()


def took(what):
    forge.diag(f"{time.monotonic() - start:.0f} s: {what}")


def batch(ns, *lines):
    """Several commands of ip(8) at once."""
    forge.run("ip", *(["-n", ns] if ns else []), "-batch", "-", stdin="\n".join(lines) + "\n")


def veth(ns, dev, ns2, dev2):
    batch(None, f"link add {dev} netns {ns} type veth peer name {dev2} netns {ns2}")
    batch(ns, f"link set {dev} up")
    batch(ns2, f"link set {dev2} up")


def forward(*names):
    for name in names:
        with netns(name):
            for knob in "ipv4/ip_forward", "ipv6/conf/all/forwarding":
                Path(f"/proc/sys/net/{knob}").write_text("1", encoding="ascii")


# -------------------------------------------------------------------- traffic

class Flow:
    """Numbered datagrams one way."""

    port = 6000

    def __init__(self, source, target, rate):
        Flow.port += 1
        self.source, self.target, self.rate, self.port = source, target, rate, Flow.port
        self.files = {}
        self.open("got", target[0], "recv", target[1], self.port)

    def open(self, part, ns, *words):
        path = forge.folder / f"flow.{self.port}.{part}"
        with open(path, "wb") as file:
            self.files[part] = path, forge.n_spawn(ns, "pump", *words, stdout=file)

    def bound(self):
        name = "udp6" if ":" in self.target[1] else "udp"
        with netns(self.target[0]):
            return f":{self.port:04X} " in Path(f"/proc/thread-self/net/{name}").read_text("ascii")

    def begin(self):
        self.open("sent", self.source[0], "send", "-r", self.rate, "-s", self.source[1],
                  self.target[1], self.port)

    def numbers(self, part):
        """Of the datagrams that were sent, or came; the last line may be cut."""
        lines = self.files[part][0].read_bytes().split(b"\n")[:-1]
        return [int(line.split()[0]) for line in lines]

    def count(self, part="got"):
        return self.files[part][0].read_bytes().count(b"\n")

    def end(self, part):
        child = self.files[part][1]
        child.terminate()
        child.wait()

    def lost(self):
        return sorted(set(self.numbers("sent")) - set(self.numbers("got")))

    def refused(self):
        """Numbers that sendto() did not take, with why."""
        return {int(line.split()[0]): int(line.split()[2])
                for line in self.files["sent"][0].read_bytes().splitlines()
                if line.count(b" ") == 2}


class Traffic:
    """Both ways between pairs of ends, all at once.

    pairs: name -> ((namespace, address), (namespace, address)); the flows are
    "name up" and "name down".
    """

    def __init__(self, pairs, rate=RATE):
        self.flows = {}
        for name, (near, far) in pairs.items():
            self.flows[f"{name} up"] = Flow(near, far, rate)
            self.flows[f"{name} down"] = Flow(far, near, rate)
        if not wait_for(20 * SLOW, lambda: all(flow.bound() for flow in self.flows.values())):
            raise forge.Failed("pump does not listen")
        for flow in self.flows.values():
            flow.begin()

    def still(self, seconds=20, packets=3, only=""):
        """Flows through which not so many packets come in that time."""
        watched = {name: (flow, flow.count() + packets) for name, flow in self.flows.items()
                   if name.startswith(only)}

        def waiting():
            return [name for name, (flow, goal) in watched.items() if flow.count() < goal]
        wait_for(seconds * SLOW, lambda: not waiting())
        return waiting()

    def stop(self, *names):
        """Ends senders, lets what is on its way arrive, ends receivers."""
        flows = [flow for name, flow in self.flows.items()
                 if not names or name.split()[0] in names]
        for flow in flows:
            flow.end("sent")
        wait_for(2 * SLOW, lambda: all(flow.count() >= flow.count("sent") for flow in flows))
        for flow in flows:
            flow.end("got")

    def lost(self):
        """name -> how many of how many were lost, first and last, errors; empty is good."""
        found = {}
        for name, flow in self.flows.items():
            lost = flow.lost()
            if lost or not flow.count():
                found[name] = (len(lost), flow.count("sent"), lost[:1], lost[-1:],
                               set(flow.refused().values()))
        return found

    def twice(self):
        return {name: flow.count() - len(set(flow.numbers("got")))
                for name, flow in self.flows.items()
                if flow.count() != len(set(flow.numbers("got")))}

    def sent(self):
        return sum(flow.count("sent") for flow in self.flows.values())


# ------------------------------------------------------------------- captures

class Capture:
    """tcpdump, until the test ends."""

    def __init__(self, ns, dev, what):
        self.path = forge.folder / f"{ns}.{dev}.{time.monotonic_ns()}.pcap"
        log = self.path.with_suffix(".log")
        with open(log, "wb") as file:
            self.child = forge.n_spawn(ns, "tcpdump", "-i", dev, "-Z", "root",
                                       "--immediate-mode", "-U", "-n", "-w", self.path, what,
                                       stdout=file, stderr=file)
        if not wait_for(20 * SLOW, lambda: b"listening on" in log.read_bytes()):
            raise forge.Failed(f"tcpdump: {log.read_text()}")

    def packets(self, *what):
        """As tcpdump prints them."""
        return forge.attempt("tcpdump", "-n", "-r", self.path, *what).stdout.splitlines()

    def stop(self):
        self.child.terminate()
        self.child.wait()


class Outside(Capture):
    """A place where nothing of these networks may be seen, and ESP-in-UDP must be."""

    def __init__(self, ns, dev, *networks):
        self.clear_text = " or ".join(f"net {network}" for network in networks)
        super().__init__(ns, dev, f"udp port 4500 or esp or ({self.clear_text})")

    def clear(self):
        return self.packets(self.clear_text)[:5] + self.packets("esp")[:5]

    def protected(self):
        return len(self.packets("udp port 4500 and greater 100"))


# ---------------------------------------------------------------------- peers

def show(ns, dev="espudp0"):
    return json.loads(n(ns, "espudp", "show", dev, "--json"))[0]


def peers(ns, **wanted):
    """Those of the device that have these values; underscores are hyphens."""
    wanted = {key.replace("_", "-"): value for key, value in wanted.items()}
    return [peer for peer in show(ns).get("peer", [])
            if all(peer.get(key) == value for key, value in wanted.items())]


def peer_to(ns, address):
    """The peers that a packet to this address could go to."""
    def covers(remote):
        if "-" in remote:
            low, high = map(ipaddress.ip_address, remote.split("-"))
            return low.version == wanted.version and low <= wanted <= high
        return wanted in ipaddress.ip_network(remote)
    wanted = ipaddress.ip_address(address)
    return [peer for peer in show(ns).get("peer", [])
            if any(covers(selector["remote"]) for selector in peer.get("selector", []))]


def sas(ns):
    return show(ns)["sas"]


def xfrm_errors(*names):
    """Counters of the kernel's own IPsec that are not zero."""
    found = {}
    for name in names:
        with netns(name):
            text = Path("/proc/thread-self/net/xfrm_stat").read_text(encoding="ascii")
        found.update({f"{name} {key}": int(value) for key, value in map(
            str.split, text.splitlines()) if int(value)})
    return found


def vanish(charon):
    """The whole machine goes, at once: nobody is told."""
    charon.kill()
    for what in "state", "policy":
        n(charon.ns, "ip", "xfrm", what, "flush")
