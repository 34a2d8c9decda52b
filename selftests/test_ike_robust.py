#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""charon and kernel-espudp when things go wrong.

    a                                 b
    198.51.100.1  ------------------  198.51.100.2
    inner 10.1.0.1, fd10:1::1         inner 10.2.0.1, fd10:2::1

a is strongSwan with the kernel's xfrm and comes back by itself (DPD, `dpd_action =
restart'). b is charon with kernel-espudp; its default route leads to a. Charons of
the kinds that cannot have the plugin run in x, y and z, connected to nobody.
"""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 300

import collections
import re
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import scene
from forge import attempt, check, diag, equal, n, netns, run, wait_for
from scene import SLOW, batch, took

OUTER = {"a": "198.51.100.1", "b": "198.51.100.2"}
INNER = {"a": ("10.1.0.1", "fd10:1::1"), "b": ("10.2.0.1", "fd10:2::1")}
SECOND = "10.2.0.9"             # b's, too
REKEYS = 10 if forge.DEBUG_KERNEL and not forge.FULL else 100
SMALL = forge.DEBUG_KERNEL
FLOOD = range(0x1000, 0x1010)   # peers
FREE = ("0.0.0.0", 4500)


def connection(ns, child, **more):
    other = "b" if ns == "a" else "a"
    return {"version": 2, "local_addrs": OUTER[ns], "remote_addrs": OUTER[other], "encap": True,
            "proposals": "aes256-sha256-ecp256", "keyingtries": 0,
            "local": {"auth": "psk", "id": f"{ns}.example"},
            "remote": {"auth": "psk", "id": f"{other}.example"},
            "children": child, **more}


def selectors(ns):
    other = "b" if ns == "a" else "a"
    return {"local_ts": INNER[ns], "remote_ts": INNER[other], "esp_proposals": "aes256gcm16"}


def second(ns):
    """Selectors to the same address of a's, from another of b's."""
    ends = {"a": INNER["a"][0], "b": SECOND}
    other = "b" if ns == "a" else "a"
    return {"local_ts": ends[ns], "remote_ts": ends[other], "esp_proposals": "aes256gcm16"}


# Children that b must not have: what is asked for, by a port of its own.
ODD = {
    "ah": {"ah_proposals": "sha256", "esp_proposals": None},
    "beet": {"mode": "beet"},
    "blowfish": {"esp_proposals": "blowfish128-sha1"},
    "opaque": {"local_ts": "dynamic[tcp/opaque]", "remote_ts": "dynamic[tcp/opaque]"},
}
PLAIN = {ns: {"encap": False, "local_addrs": f"2001:db8:2::{1 + i}",
              "remote_addrs": f"2001:db8:2::{2 - i}"} for i, ns in enumerate("ab")}
SAID = {"ah": "AH not supported", "beet": "BEET mode not supported",
        "blowfish": "BLOWFISH_CBC not supported", "opaque": "opaque ports",
        "ipcomp": "IPComp not supported",
        "plain": "without UDP encapsulation: set `encap = yes' in connection plain"}


def odd(ns):
    """Connections with one of them each; the one without encapsulation is over IPv6."""
    other = "b" if ns == "a" else "a"
    found = {}
    for name in (*ODD, "ipcomp", "plain"):
        child = {**selectors(ns), **ODD.get(name, {})}
        if name == "ipcomp":
            child["ipcomp"] = True
        found[name] = connection(
            ns, {name: child}, **(PLAIN[ns] if name == "plain" else {}),
            local={"auth": "psk", "id": f"{name}.{ns}.example"},
            remote={"auth": "psk", "id": f"{name}.{other}.example"})
    return found


def topology():
    forge.topo_direct()
    forge.ns_add("x", "y", "z")
    for name, other in ("a", "b"), ("b", "a"):
        batch(name, f"addr add {INNER[name][0]}/32 dev lo", f"addr add {INNER[name][1]}/128 dev lo",
              f"route add default via {OUTER[other]}",
              f"route add default via 2001:db8:2::{1 if other == 'a' else 2}")
    batch("b", f"addr add {SECOND}/32 dev lo")
    # a's IPsec fails open while it reconnects, which is not what this is about
    batch("a", "route add unreachable 10.2.0.0/24 metric 4294967295",
          "route add unreachable fd10:2::/64 metric 4294967295")


def charon(ns, **kwargs):
    """At b with the plugin, at a without."""
    return ike.Charon(ns, kernel="espudp" if ns == "b" else "xfrm", settings={
        "retransmit_tries": 2, "retransmit_timeout": 2 * min(SLOW, 4), "retransmit_base": 1,
        "delete_rekeyed_delay": 3 * min(SLOW, 4), "send_vendor_id": True,
        **kwargs.pop("settings", {})}, **kwargs)


def traffic_of():
    return scene.Traffic({f"IPv{4 + 2 * i}": (("a", INNER["a"][i]), ("b", INNER["b"][i]))
                          for i in range(2)})


def logs():
    return [f"--- {one.ns}\n{one.log()[-6000:]}" for one in (a, b)]


def spis():
    return [peer["spi-in"] for peer in scene.peers("b") if peer.get("sa")]


def sealed(what):
    """Traffic is being sent all the time."""
    time.sleep(1)
    equal(f"{what}: nothing is outside in the clear", outside.clear(), [])


def returns(what, traffic, seconds=60):
    """a comes back without being asked."""
    return equal(f"{what}: the client comes back by itself", traffic.still(seconds), [], *logs(),
                 scene.show("b"))


# ----------------------------------------------------------------------- scenes

def refusals():
    """What the module has not: named, in one line, and IKE goes on."""
    for name in list(ODD)[:2 if SMALL else None] + ["plain"]:
        mark = b.mark()
        try:
            a.initiate(name)
            refused = False
        except ike.Refused:
            refused = True
        lines = b.logged(re.escape(SAID[name]), mark) or []
        check(f"{name}: refused by its name", refused and lines, b.log(mark))
        check(f"{name}: in one line for each direction at most", len(lines) <= 2, lines)
        a.terminate(ike=name)
    mark = b.mark()
    a.initiate("ipcomp")
    check("ipcomp: the SA is without, and the log says so",
          b.logged(SAID["ipcomp"], mark) and
          not b.installed("ipcomp")[0].get("cpi-in"), b.log(mark), b.children())
    a.terminate(ike="ipcomp")
    check("a shunt is refused, and what to use is said",
          b.logged("no PASS policy.*use a more specific route") and
          b.logged("no DROP policy.*use an unreachable route"), b.log())
    check("so is a trap in transport mode, which would need a rule",
          b.logged("no trap .* in transport mode: use `start_action = start'"), b.log())
    equal("nothing of all that is left", wait_for(5 * SLOW, lambda: not scene.peers("b")), True,
          scene.peers("b"))


def reload(traffic):
    """charon reads its files again, which is nothing to its SAs."""
    old = [child["uniqueid"] for child in b.children()]
    b.load()
    b.load()
    b.child.send_signal(signal.SIGHUP)
    check("SIGHUP is heard", b.logged("SIGHUP|loading configuration|reloading", seconds=10),
          b.log()[-2000:])
    equal("load-all twice and SIGHUP: the SAs are the same",
          [child["uniqueid"] for child in b.children()], old)
    equal("and traffic flows", traffic.still(), [])


def guards():
    """Two pairs of SAs to one address: what blocks without the device stays for the last."""
    def blocked():
        return n("b", "ip", "route", "show", INNER["a"][0], "type", "unreachable")
    a.initiate("more")
    check("two pairs of SAs to one address have an unreachable route",
          len(b.children()) == 2 and blocked(), b.children())
    a.terminate(child="more")
    wait_for(10 * SLOW, lambda: not b.children("more"))
    check("which stays when one pair goes", len(b.children()) == 1 and blocked(), b.children())


def rekeys(traffic):
    kinds = objects()
    for i in range(REKEYS):
        end = (a, b)[i % 2]
        old = {child["uniqueid"] for child in end.installed("net")}
        end.rekey(child="net")
        if not wait_for(20 * SLOW, lambda: {
                child["uniqueid"] for child in end.installed("net")} - old):
            check(f"rekey {i}", False, *logs())
            break
    equal(f"after {REKEYS} rekeys no SA is left over",
          wait_for(20 * SLOW, lambda: scene.sas("b") == 2), True, scene.show("b"), *logs())
    equal("nor is an object of the module's, by its log",
          wait_for(10 * SLOW, lambda: objects() == kinds) and kinds, kinds, objects())
    equal("traffic flows", traffic.still(), [])
    return traffic


def objects():
    """What the module made and has, as its log says: how many of each kind."""
    return collections.Counter(line.split()[0] for line in forge.left())


def overrun():
    """Events that charon has no room for."""
    lost = netlink_drops()
    peer = scene.peers("b")[0]
    a.initiate("more")
    (more,) = (child["spi-in"] for child in b.children("more"))
    b.child.send_signal(signal.SIGSTOP)
    netlink = forge.netlink("b")
    for number in FLOOD:
        netlink.must("peer-new", ifname="espudp0", peer={
            "id": number, "remote": socket.inet_aton("192.0.2.1")})
        for spi in range(60):
            netlink.must("sa-new", ifname="espudp0", sa={
                "dir": "in", "peer": number, "spi": number << 8 | spi, "enc": "rfc4106(gcm(aes))",
                "enc-key": bytes(20), "soft-seconds": 1})
    check("events overran charon's socket", wait_for(
        30 * SLOW, lambda: netlink_drops() > lost), netlink_drops())
    # this is not told any more; the dump has the one and lacks the other
    n("b", "espudp", "sa", "set", "espudp0", "in", "spi", hex(peer["spi-in"]),
      "soft-seconds", 1)
    n("b", "espudp", "sa", "set", "espudp0", "in", "spi", hex(more), "hard-seconds", 1)
    time.sleep(2)
    mark = b.mark()
    b.child.send_signal(signal.SIGCONT)
    check("charon says that events were lost", b.logged("events were lost", mark, 20),
          b.log(mark)[-3000:])
    check("and finds what they told: an SA to be rekeyed", wait_for(20 * SLOW, lambda: [
        other for other in scene.peers("b") if other["id"] == peer["id"] and
        other["spi-in"] != peer["spi-in"]]), *logs())
    check("and one that expired for good, which charon replaces", wait_for(
        20 * SLOW, lambda: more not in spis() and [
            child for child in b.installed("more") if child["spi-in"] != more]), *logs())
    a.terminate(child="more")
    for number in FLOOD:
        netlink.must("peer-del", ifname="espudp0", peer={"id": number})


def netlink_drops():
    """Of charon's netlink sockets."""
    with netns("b"):
        lines = Path("/proc/thread-self/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    return sum(int(line.split()[8]) for line in lines)


def device_gone(traffic):
    """The device, then the whole module, is taken away and given back."""
    for what in "device", "module":
        mark = b.mark()
        if what == "device":
            batch("b", "link del espudp0")
        else:
            forge.genl_socks.clear()
            run("rmmod", "espudp")
        check(f"{what} gone: the log says so",
              b.logged("was unloaded" if what == "module" else "device espudp0 is gone", mark, 10),
              b.log(mark))
        check(f"{what} gone: charon answers", b.answers())
        sealed(f"{what} gone")
        if what == "device":
            batch("b", "link add espudp0 type espudp")
        else:
            forge.load_module()
        check(f"{what} back: the log says so", b.logged(
            "device espudp0 is back", mark, 20), b.log(mark))
        equal(f"{what} back: traffic flows anew", traffic.still(60), [], *logs(), scene.show("b"))
        equal(f"{what} back: one peer, one pair of SAs", wait_for(
            20 * SLOW, lambda: (len(scene.peers("b")), scene.sas("b")) == (1, 2)), True,
              scene.show("b"))


def crash(traffic):
    for setting in "keep", "flush":
        n("b", "espudp", "set", "espudp0", "on-socket-loss", setting)
        old = spis()
        b.kill()
        with netns("b"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(FREE)
                why = None
            except OSError as error:
                why = error
        equal(f"{setting}: charon killed: its port is free at once", why, None)
        if setting == "keep":
            equal("keep: its SAs are still there", spis(), old)
        else:
            equal("flush: its SAs are gone", wait_for(5, lambda: not scene.sas("b")), True,
                  scene.show("b"))
        sealed(setting)
        # a charon that has no connections yet refuses for good
        n("b", "nft", "-f", "-", stdin="""table inet starting {
            chain in {
                type filter hook input priority 0
                udp dport { 500, 4500 } drop
            }
        }""")
        b.start()
        n("b", "nft", "delete", "table", "inet", "starting")
        if setting == "keep":
            equal("keep: charon's start flushes what was left",
                  [spi for spi in spis() if spi in old], [])
        returns(setting, traffic)
    check("and old SAs do not come back", scene.sas("b") == 2, scene.show("b"))


def keepalive():
    """Behind a NAT, who keeps it awake?"""
    batch("b", "addr add 198.51.100.3/24 dev b0")
    n("b", "nft", "-f", "-", stdin="""table ip nat {
        chain post {
            type nat hook postrouting priority srcnat
            oifname b0 udp dport { 500, 4500 } snat to 198.51.100.3
        }
    }""")
    for sender in "charon", "module":
        gw = charon("b", plugin={"keepalive": sender}, settings={"keep_alive": 1})
        gw.configure({"site": connection("b", {"net": selectors("b")}, encap=False)}, ike.psk())
        gw.start()
        gw.initiate("net")
        (peer,) = scene.peers("b")
        equal(f"keepalive = {sender}: the peer's", (peer["nat-local"], peer["keepalive"]),
              ("yes", 20 if sender == "module" else 0))
        mark = gw.mark()
        if sender == "module":
            n("b", "espudp", "peer", "set", "espudp0", peer["id"], "keepalive", 1)
        sent = wait_for(10 * SLOW, lambda: gw.logged("sending keep alive", mark) or
                        forge.tool_stats("b")["tx-keepalive"])
        check(f"keepalive = {sender}: one is sent", sent, gw.log(mark))
        time.sleep(2)
        equal(f"keepalive = {sender}: and by nobody else",
              (bool(gw.logged("sending keep alive", mark)),
               bool(forge.tool_stats("b")["tx-keepalive"])),
              (sender == "charon", sender == "module"))
        gw.stop()


def unusable():
    """charon without the plugin: what it says, and what it does then."""
    def start(ns, **plugin):
        one = ike.Charon(ns, kernel="espudp", plugin=plugin)
        one.configure({}, ike.psk())
        one.spawn()
        return one

    def look(one, what, line):
        one.ready()
        lines = one.logged(line) or []
        equal(f"{what}: one line says so", len(lines), 1, one.log())
        diag(*lines)
        check(f"{what}: charon runs, on kernel-netlink", one.alive() and
              "kernel-netlink" in one.swanctl("--stats"), one.log())
        if "strongSwan" not in what:
            check(f"{what}: and it is said that it does", one.logged(
                "espudp: NOT IN USE, .* charon goes on with its next backend", seconds=5),
                  one.log())

    ike.install_plugin()
    others = [(start("x", device="other0", create=False), "no device, and none to be made",
               "there is no device other0: `ip link add")]
    batch("y", "link add espudp0 type dummy")
    others.append((start("y"), "the name is another kind of device's",
                   "device is not of kind espudp"))
    # all of a charon's plugins are looked at before it answers
    for one, what, line in others:
        look(one, what, line)
    plugin = ike.PLUGINS / ike.PLUGIN.name
    data = plugin.read_bytes()
    version = others[0][0].request("version")["version"].encode()
    changed = version[:-1] + (b"7" if version[-1:] != b"7" else b"6")
    check("the plugin says what it was built for", version + b"\0" in data, version)
    plugin.unlink()
    plugin.write_bytes(data.replace(version + b"\0", changed + b"\0"))
    one = start("z")
    look(one, "built for another strongSwan", "was built for strongSwan .*, this is another")
    for old, *_ in others:
        old.stop()
    one.stop()
    ike.install_plugin()
    forge.genl_socks.clear()
    run("rmmod", "espudp")
    one = start("z")
    look(one, "no module", "espudp.*module|espudp: .*not loaded")
    equal("no module: charon ends in order", one.stop(), 0)


ike.need()
for module in "xfrm_user esp4 esp6 nft_chain_nat nft_nat dummy".split():
    attempt("modprobe", module)
forge.load_module()
ike.install_plugin()
topology()
a = charon("a")
b = charon("b", plugin={})
REFUSED = {"shunts": {"children": {
    "pass": {"mode": "pass", "local_ts": "10.2.0.0/24", "remote_ts": "10.2.0.0/24",
             "start_action": "trap"},
    "drop": {"mode": "drop", "local_ts": "10.2.0.0/24", "remote_ts": "10.66.0.0/24",
             "start_action": "trap"}}},
          "trap": connection("b", {"trap": {
              "mode": "transport", "local_ts": "dynamic[udp/1701]",
              "remote_ts": "dynamic[udp/1701]", "start_action": "trap"}},
                             remote_addrs="198.51.100.9")}
a.configure({"site": connection("a", {"net": {**selectors("a"), "dpd_action": "restart"},
                                      "more": second("a")},
                                dpd_delay=2 * min(SLOW, 4)), **odd("a")}, ike.psk())
b.configure({"site": connection("b", {"net": selectors("b"), "more": second("b")}), **odd("b"),
             **REFUSED}, ike.psk())
ike.start_all([a, b])
took("charons run")
outside = scene.Outside("b", "b0", "10.1.0.0/24", "10.2.0.0/24", "fd10:1::/64", "fd10:2::/64")
try:
    refusals()
    took("refusals")
    a.initiate("net")
    traffic = traffic_of()
    equal("traffic flows", traffic.still(), [], *logs())
    guards()
    reload(traffic)
    took("reloaded")
    rekeys(traffic)
    traffic.stop()
    lost, own = traffic.lost(), scene.xfrm_errors("a")
    check(f"no packet of {traffic.sent()} was lost, but those that a's xfrm says it deleted the "
          "SA of before it sent them", sum(number for number, *_ in lost.values()) <=
          own.get("a XfrmOutStateInvalid", 0), lost, own, forge.drops("b"))
    equal("nor came twice", traffic.twice(), {})
    took("rekeyed")
    overrun()
    took("overrun")
    traffic = traffic_of()
    traffic.still()
    device_gone(traffic)
    took("device and module were gone")
    crash(traffic)
    traffic.stop()
    took("crashed")
    sealed("at the end")
    check("what was there was protected", outside.protected() > 50)
    for one in a, b:
        equal(f"{one.ns}: charon ends in order", one.stop(), 0)
    a.configure({"site": connection("a", {"net": selectors("a")}, encap=False,
                                    remote_addrs="%any")}, ike.psk())
    a.start()
    keepalive()
    took("keepalives")
    if not SMALL:
        unusable()
        took("unusable")
except Exception:
    check("the scenes play to their end", False, traceback.format_exc(), *logs())
forge.end()
