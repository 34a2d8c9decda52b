#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Generic netlink, spoken raw: every attribute missing, short, long, unknown
and out of range is refused in words that point at it, nothing half-done stays,
and keys come back in no reply and no echo.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 120
# DEBUG-TIER: short

import errno
import socket
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
from nlraw import (A, Attr, AUTH_KEY, C, KEY, NESTED, NLM_ACK, Refusals, addr, cbc, check, dev,
                   equal, flag, leaks, main, must, nest, num, peer, pid, sa, selector, snapshot,
                   string)

# Attributes that a request may have: their types, by nest.
SETTABLE = {
    "DEV": {"PORT": 2, "FWMARK": 4, "BOUND_IFINDEX": 4, "OUTER_CSUM": (1, 2), "DF": (1, 2),
            "FRAG": (1, 1), "DSCP": (1, 1), "TTL": 1, "PMTU_DISCOVERY": (1, 1),
            "ON_SOCKET_LOSS": (1, 1), "REPLAY_WINDOW": (4, 8192), "NAT_SCOPE": (1, 2),
            "POOL": ()},
    "POOL": {"ADDRESS": "addr", "PREFIX_LEN": 1},
    "SOCKET": {"FD": 4, "PORT": 2, "MARKER": (1, 1), "IPV4": 0, "IPV6": 0},
    "PEER": {"ID": 4, "NAME": "str", "COOKIE": 8, "MODE": (1, 1), "LOCAL": "addr",
             "REMOTE": "addr", "REMOTE_PORT": 2, "KEEPALIVE": 2, "ROAMING": (1, 2),
             "NAT_LOCAL": (1, 2), "NAT_REMOTE": (1, 2), "TFC": 2, "NO_SELECTORS": 0, "ROLE": (1, 2),
             "VIRTUAL": "addr", "TAKE_OVER": 4, "IKE": "str"},
    "SELECTOR": {"LOCAL_FROM": "addr", "LOCAL_TO": "addr", "REMOTE_FROM": "addr",
                 "REMOTE_TO": "addr", "PROTOCOL": 1, "LOCAL_PORT_FROM": 2, "LOCAL_PORT_TO": 2,
                 "REMOTE_PORT_FROM": 2, "REMOTE_PORT_TO": 2, "PRIORITY": 4},
    "SA": {"SPI": 4, "DIR": (1, 1), "PEER": 4, "ENC": "str", "AUTH": "str", "ICV_BITS": 2,
           "ESN": 0, "REPLAY_WINDOW": (4, 8192), "SEQ": 8, "REMOTE": "addr", "REMOTE_PORT": 2,
           "SOFT_SECONDS": 8, "HARD_SECONDS": 8, "SOFT_PACKETS": 8, "HARD_PACKETS": 8,
           "SOFT_BYTES": 8, "HARD_BYTES": 8, "OA_LOCAL": "addr", "OA_REMOTE": "addr",
           "STANDBY": (4, 30000)},
    "RESERVE": {"PEER": 4, "SPI_MIN": 4, "SPI_MAX": 4, "TIMEOUT": 4},
}
READONLY = {
    "DEV": {"PEERS": 4, "SAS": 4, "SOCKET": (), "STATS": (), "UNKNOWN_SPI": (),
            "FOREIGN_NETNS": 0},
    "POOL": {"USED": 4},
    "SOCKET": {"KIND": 1},
    "PEER": {"LOCAL_PORT": 2, "MTU": 4, "PMTU": 4, "SPI_IN": 4, "SPI_OUT": 4, "LAST_RX": 8,
             "LAST_TX": 8, "STATS": ()},
    "SA": {"STATE": 1, "AGE": 8, "PACKETS": 8, "BYTES": 8, "LAST_USED": 8, "STATS": (),
           "DRIVER": "str"},
    "RESERVE": {"SPI": 4},
}


def wrong_values(kind):
    """(what, payload) that no attribute of this kind has."""
    if kind == "addr":
        return [(f"of {n} octets", bytes(n)) for n in (0, 1, 3, 5, 8, 15, 17, 20)]
    if kind == ():
        return [("that is no nest", bytes(4))]
    if kind == "str":
        return [("without NUL", b"abc"), ("empty", b""), ("too long", b"x" * 64 + b"\0")]
    if isinstance(kind, tuple):
        size, top = kind
        return wrong_values(size) + [("too large", (top + 1).to_bytes(size, sys.byteorder))]
    return [(f"of {n} octets", bytes(n)) for n in {0, 1, 2, 3, 4, 5, 7, 8, 9} - {kind}]


def carriers(name, attrs):
    """Requests that may have a nest of this name: (command, attributes)."""
    if name == "DEV":
        yield "DEV_SET", [dev(), nest("DEV", *attrs)]
    elif name == "POOL":
        yield "DEV_SET", [dev(), nest("DEV", nest("DEV_POOL", addr("POOL_ADDRESS", "10.3.0.0"),
                                                  *attrs))]
    elif name == "SOCKET":
        yield "SOCKET_ATTACH", [dev(), nest("SOCKET", *attrs)]
    elif name == "PEER":
        yield "PEER_NEW", [dev(), peer(*attrs)]
        yield "PEER_SET", [dev(), peer(pid(1), *attrs)]
        yield "PEER_DEL", [dev(), peer(pid(1), *attrs)]
        yield "PEER_GET", [dev(), peer(pid(1), *attrs)]
        yield "FLUSH", [dev(), num("FLUSH", 0, 1), peer(pid(1), *attrs)]
    elif name == "SELECTOR":
        for cmd, others in (("PEER_NEW", []), ("PEER_SET", [pid(1)])):
            good = selector("10.7.0.0-10.7.0.1").value
            yield cmd, [dev(), peer(*others, nest("PEER_SELECTOR", *good, *attrs))]
    elif name == "SA":
        yield "SA_NEW", [dev(), sa(0x1000, *attrs)]
        for cmd in "SA_SET", "SA_DEL", "SA_GET":
            yield cmd, [dev(), sa(0x2000, *attrs, but=("ENC", "ENC_KEY"))]
    else:
        yield "SPI_RESERVE", [dev(), nest("RESERVE", *attrs)]


def test_attributes(nl):
    before = snapshot(nl)
    run = Refusals(nl)
    for name, attrs in SETTABLE.items():
        for attr, kind in attrs.items():
            for what, payload in wrong_values(kind):
                bad = Attr(A(f"{name}_{attr}"), payload)
                for cmd, request in carriers(name, [bad]):
                    run.bad(f"{attr} {what}", cmd, request, at=bad)
    run.end("attributes of a wrong size or value", before)

    for name, attrs in READONLY.items():
        for attr, kind in attrs.items():
            payload = b"x\0" if kind == "str" else [] if kind == () else bytes(kind)
            bad = Attr(A(f"{name}_{attr}"), payload)
            for cmd, request in carriers(name, [bad]):
                text = "read-only" if cmd in ("DEV_SET", "SOCKET_ATTACH", "PEER_NEW", "PEER_SET",
                                              "SPI_RESERVE", "SA_NEW") else ""
                run.bad(f"{attr} read-only", cmd, request, errno.EINVAL, text, bad)
    run.end("read-only attributes", before)

    for name in SETTABLE:
        top = max(A(f"{name}_{a}") for a in list(SETTABLE[name]) + list(READONLY.get(name, [])))
        for kind in (0, top + 1, 63, 0x3fff):
            bad = Attr(kind, bytes(4))
            for cmd, request in carriers(name, [bad]):
                run.bad(f"unknown attribute {kind} in {name}", cmd, request, errno.EINVAL,
                        "Unknown attribute", bad)
        bad = Attr(A(f"{name}_{next(iter(SETTABLE[name]))}"), bytes(4), NESTED)
        for cmd, request in carriers(name, [bad]):
            run.bad(f"number that says it is a nest in {name}", cmd, request, at=bad)
    run.end("unknown attributes", before)

    commands = [n[4:] for n in C if n.startswith("CMD_") and n not in ("CMD_UNSPEC", "CMD_EVENT")]
    for cmd in commands:
        for kind in (0, C["A_EVENT"], 0x3fff):
            bad = Attr(kind, bytes(4))
            run.bad(f"unknown attribute {kind}", cmd, [dev(), bad], errno.EINVAL, "Unknown", bad)
        for bad in (Attr(A("IFINDEX"), bytes(3)), Attr(A("IFINDEX"), bytes(8)),
                    Attr(A("IFNAME"), b"x" * 17 + b"\0"), Attr(A("IFNAME"), b"abc")):
            run.bad("device of a wrong size", cmd, [bad], at=bad)
        run.bad("without device", cmd, [], errno.EINVAL, "device", miss=(A("IFINDEX"), None))
        bad = dev("nosuch")
        run.bad("no such device", cmd, [bad], errno.ENODEV, "no such device", bad)
        bad = num("IFINDEX", 0x7fffffff, 4)
        run.bad("no such index", cmd, [bad], errno.ENODEV, "no such device", bad)
        bad = num("IFINDEX", 0, 4)
        run.bad("index 0", cmd, [bad], errno.ENODEV, "no such device", bad)
        bad = dev("lo")
        run.bad("lo", cmd, [bad], errno.EOPNOTSUPP, "not of kind espudp", bad)
        takes = {"DEV_SET": "DEV", "SOCKET_ATTACH": "SOCKET", "SPI_RESERVE": "RESERVE",
                 "FLUSH": "PEER"}.get(cmd, cmd.split("_")[0])
        for name in ("DEV", "SOCKET", "PEER", "SA", "RESERVE"):
            if name == takes and cmd != "DEV_GET":
                continue
            bad = sa(0x1000) if name == "SA" else nest(name)
            if name == "SA" or not (cmd.startswith("SOCKET") and name == "SOCKET") or \
                    cmd == "SOCKET_DETACH":
                run.bad(f"with {name}", cmd, [dev(), bad], errno.EINVAL, "no meaning", bad)
        run.bad("reserved octets", cmd, [dev()], errno.EINVAL, "reserved", reserved=1)
        run.bad("strange flags", cmd, [dev()], errno.EINVAL, "flags", flags=NLM_ACK | 0x400)
        run.bad("octets left over", cmd, [dev()], errno.EINVAL, "leftover", tail=b"\1\2\3")
    for cmd, name in (("DEV_SET", "DEV"), ("SOCKET_ATTACH", "SOCKET"), ("PEER_NEW", "PEER"),
                      ("SPI_RESERVE", "RESERVE"), ("SA_SET", "SA")):
        bad = Attr(A(name), b"", 0)
        run.bad("not a nest", cmd, [dev(), bad], errno.EINVAL, "NESTED", bad)
    bad = num("FLUSH", 2, 1)
    run.bad("of 2", "FLUSH", [dev(), bad], errno.ERANGE, at=bad)
    run.end("every command", before)


def test_missing(nl):
    before = snapshot(nl)
    run = Refusals(nl)
    run.bad("settings", "DEV_SET", [dev()], errno.EINVAL, "missing", miss=(A("DEV"), None))
    run.bad("what", "FLUSH", [dev()], errno.EINVAL, "missing", miss=(A("FLUSH"), None))
    inside = peer()
    run.bad("id", "FLUSH", [dev(), num("FLUSH", 0, 1), inside], errno.EINVAL, "missing",
            miss=(A("PEER_ID"), inside))
    for cmd in "PEER_SET", "PEER_DEL", "PEER_GET":
        run.bad("peer", cmd, [dev()], errno.EINVAL, "missing", miss=(A("PEER"), None))
        inside = peer()
        run.bad("id", cmd, [dev(), inside], errno.EINVAL, "missing", miss=(A("PEER_ID"), inside))
    for cmd in "SA_NEW", "SA_SET", "SA_DEL", "SA_GET":
        run.bad("SA", cmd, [dev()], errno.EINVAL, "missing", miss=(A("SA"), None))
        for attr in "SPI", "DIR":
            inside = sa(0x1000, but=(attr, "ENC", "ENC_KEY"))
            run.bad(attr, cmd, [dev(), inside], errno.EINVAL, "missing",
                    miss=(A("SA_" + attr), inside))
    for attr in "PEER", "ENC":
        inside = sa(0x1000, but=(attr,))
        run.bad(attr, "SA_NEW", [dev(), inside], errno.EINVAL, "missing",
                miss=(A("SA_" + attr), inside))
    for attr in "AUTH", "AUTH_KEY":
        inside = cbc(0x1000, but=(attr,))
        run.bad(attr, "SA_NEW", [dev(), inside], errno.EINVAL, "missing",
                miss=(A("SA_" + attr), inside))
    run.bad("ENC_KEY", "SA_NEW", [dev(), sa(0x1000, but=("ENC_KEY",))], errno.EINVAL, "key")
    for cmd in "SA_SET", "SA_DEL", "SA_GET":
        inside = sa(0x1000, direction=1, but=("PEER", "ENC", "ENC_KEY"))
        run.bad("PEER of an outbound SA", cmd, [dev(), inside], errno.EINVAL, "missing",
                miss=(A("SA_PEER"), inside))
    good = selector()
    for i, attr in enumerate(("LOCAL_FROM", "LOCAL_TO", "REMOTE_FROM", "REMOTE_TO")):
        inside = nest("PEER_SELECTOR", *(good.value[:i] + good.value[i + 1:]))
        run.bad(attr, "PEER_NEW", [dev(), peer(inside)], errno.EINVAL, "both ends",
                miss=(A("SELECTOR_" + attr), inside))
    for side in "LOCAL", "REMOTE":
        for given, absent in (("FROM", "TO"), ("TO", "FROM")):
            inside = selector(PROTOCOL=(17, 1), **{f"{side}_PORT_{given}": (7, 2)})
            run.bad(f"{side} {absent}", "PEER_NEW", [dev(), peer(inside)], errno.EINVAL,
                    "both ends", miss=(A(f"SELECTOR_{side}_PORT_{absent}"), inside))
    run.end("missing attributes", before)


def test_peer(nl):
    before = snapshot(nl)
    run = Refusals(nl)
    bad = num("PEER_MODE", 1, 1)
    inside = peer(bad)
    run.bad("transport", "PEER_NEW", [dev(), inside], errno.EINVAL, "outer address",
            miss=(A("PEER_REMOTE"), inside))
    run.bad("transport", "PEER_SET", [dev(), peer(pid(1), bad)], errno.EBUSY, "keeps its mode",
            bad)
    bad = pid(0)
    run.bad("id 0", "PEER_NEW", [dev(), peer(bad)], errno.EINVAL, "0", bad)
    bad = pid(1)
    run.bad("id in use", "PEER_NEW", [dev(), peer(bad)], errno.EEXIST, "id", bad)
    for cmd in "PEER_SET", "PEER_DEL", "PEER_GET":
        bad = pid(99)
        run.bad("unknown", cmd, [dev(), peer(bad)], errno.ENOENT, "no such peer", bad)
    bad = pid(99)
    run.bad("unknown", "FLUSH", [dev(), num("FLUSH", 0, 1), peer(bad)], errno.ENOENT,
            "no such peer", bad)
    bad = peer(pid(1))
    run.bad("of one", "FLUSH", [dev(), num("FLUSH", 1, 1), bad], errno.EINVAL, "all", bad)
    for text in ("0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:192.0.2.1"):
        bad = addr("PEER_REMOTE", text)
        run.bad(text, "PEER_NEW", [dev(), peer(bad)], errno.EINVAL, "", bad)
        if text not in ("0.0.0.0", "::"):
            run.bad(text, "PEER_SET", [dev(), peer(pid(2), bad)], errno.EINVAL, "", bad)
    for text in ("224.0.0.1", "255.255.255.255", "ff02::1"):
        bad = addr("PEER_LOCAL", text)
        run.bad(text, "PEER_NEW", [dev(), peer(bad)], errno.EINVAL, "multicast", bad)
    bad = addr("PEER_LOCAL", "2001:db8::1")
    run.bad("families", "PEER_NEW", [dev(), peer(addr("PEER_REMOTE", "192.0.2.9"), bad)],
            errno.EINVAL, "families", bad)
    run.bad("families", "PEER_SET", [dev(), peer(pid(1), bad)], errno.EINVAL, "families", bad)
    bad = addr("PEER_REMOTE", "2001:db8::1")
    run.bad("families", "PEER_SET", [dev(), peer(pid(1), bad)], errno.EINVAL, "families", bad)
    bad = num("PEER_REMOTE_PORT", 0, 2)
    run.bad("port 0", "PEER_NEW", [dev(), peer(bad)], errno.EINVAL, "port 0", bad)
    run.bad("port 0", "PEER_SET", [dev(), peer(pid(1), bad)], errno.EINVAL, "port 0", bad)
    bad = flag("PEER_NO_SELECTORS")
    run.bad("selectors and none", "PEER_SET", [dev(), peer(pid(1), selector(), bad)],
            errno.EINVAL, "", bad)

    other = string("PEER_NAME", "changed"), num("PEER_COOKIE", 77, 8), \
        addr("PEER_REMOTE", "192.0.2.99"), num("PEER_TFC", 99, 2), num("PEER_KEEPALIVE", 9, 2)
    for what, bad, text in (
            ("mixed families", selector(remote="2001:db8::-2001:db8::1"), "mixes"),
            ("local range reversed", selector(local="10.1.0.9-10.1.0.1"), "before it begins"),
            ("remote range reversed", selector(remote="10.1.0.9-10.1.0.1"), "before it begins"),
            ("ports reversed", selector(PROTOCOL=(6, 1), LOCAL_PORT_FROM=(9, 2),
                                        LOCAL_PORT_TO=(8, 2)), "before it begins"),
            ("ports without protocol", selector(LOCAL_PORT_FROM=(9, 2), LOCAL_PORT_TO=(9, 2)),
             "protocol"),
            ("ports of ICMP", selector(PROTOCOL=(1, 1), REMOTE_PORT_FROM=(9, 2),
                                       REMOTE_PORT_TO=(9, 2)), "protocol")):
        run.bad(what, "PEER_NEW", [dev(), peer(*other, selector("10.9.0.0-10.9.0.1"), bad)],
                errno.EINVAL, text)
        run.bad(what, "PEER_SET", [dev(), peer(pid(1), *other, bad)], errno.EINVAL, text)
    run.bad("another peer's selector", "PEER_NEW", [dev(), peer(*other, selector())],
            errno.EEXIST, "equal selector")
    run.bad("another peer's selector", "PEER_SET", [dev(), peer(pid(2), *other, selector())],
            errno.EEXIST, "equal selector")
    many = [selector(f"10.3.{i // 250}.{i % 250}-10.3.{i // 250}.{i % 250}") for i in range(257)]
    run.bad("257 selectors", "PEER_NEW", [dev(), peer(*many)], errno.E2BIG, "256", many[-1])
    run.end("peers", before)

    must(nl.call("PEER_SET", dev(), peer(pid(2), selector("10.8.0.0-10.8.0.7"),
                                         addr("PEER_LOCAL", "198.51.100.9"))))
    got = nl.call("PEER_GET", dev(), peer(pid(2))).objects[0]["A_PEER"]
    equal("a change leaves what it does not name", (got["A_PEER_NAME"], got["A_PEER_REMOTE"]),
          (b"two\0", socket.inet_aton("192.0.2.2")))
    must(nl.call("PEER_SET", dev(), peer(pid(2), addr("PEER_REMOTE", "0.0.0.0"))))
    got = nl.call("PEER_GET", dev(), peer(pid(2))).objects[0]["A_PEER"]
    check("a remote address can be forgotten", "A_PEER_REMOTE" not in got, got)
    must(nl.call("PEER_SET", dev(), peer(pid(2), addr("PEER_REMOTE", "192.0.2.2"))))
    must(nl.call("PEER_SET", dev(), peer(pid(2), flag("PEER_NO_SELECTORS"),
                                         addr("PEER_LOCAL", "0.0.0.0"))))
    got = nl.call("PEER_GET", dev(), peer(pid(2))).objects[0]["A_PEER"]
    check("selectors and local address are taken away",
          not {"A_PEER_SELECTOR", "A_PEER_LOCAL"} & set(got), got)
    check("nothing was ever received or sent", not {"A_PEER_LAST_RX", "A_PEER_LAST_TX"} & set(got))
    ike = []
    for text in "l2tp[3]", "x" * 63, "":
        must(nl.call("PEER_SET", dev(), peer(pid(2), string("PEER_IKE", text))))
        must(nl.call("PEER_SET", dev(), peer(pid(2), num("PEER_COOKIE", 2222, 8))))
        ike.append(nl.call("PEER_GET", dev(), peer(pid(2))).objects[0]["A_PEER"].get("A_PEER_IKE"))
    equal("the name of the IKE SA stays until an empty one takes it away", ike,
          [b"l2tp[3]\0", b"x" * 63 + b"\0", None])
    equal("and that was all", snapshot(nl), before)

    got = must(nl.call("PEER_NEW", dev(), peer(num("PEER_NAT_LOCAL", 2, 1)))).objects[0]["A_PEER"]
    equal("a new peer's reply has its id alone", list(got), ["A_PEER_ID"])
    chosen = pid(got["A_PEER_ID"])
    values = []
    for change in ([], [num("PEER_NAT_LOCAL", 1, 1)], [num("PEER_KEEPALIVE", 7, 2)],
                   [num("PEER_NAT_LOCAL", 2, 1)]):
        if change:
            must(nl.call("PEER_SET", dev(), peer(chosen, *change)))
        values.append(nl.call("PEER_GET", dev(), peer(chosen)).objects[0]["A_PEER"]
                      ["A_PEER_KEEPALIVE"])
    equal("keepalives follow nat-local unless they were set", values, [20, 0, 7, 7])
    must(nl.call("PEER_DEL", dev(), peer(chosen)))
    equal("the peer is gone again", snapshot(nl), before)


def test_pool(nl):
    """Addresses that were given back are not free at once."""
    before = snapshot(nl)
    run = Refusals(nl)
    must(nl.call("DEV_SET", dev(), nest("DEV", nest("DEV_POOL", addr("POOL_ADDRESS", "10.66.0.0"),
                                                    num("POOL_PREFIX_LEN", 30, 1)))))
    held = snapshot(nl)
    client = num("PEER_MODE", 1, 1), addr("PEER_REMOTE", "192.0.2.50")
    split = [selector(f"10.{i}.0.1-10.{i}.255.254", "172.16.0.1-172.31.255.254")
             for i in range(16)]
    for _ in range(3):
        run.bad("ports without protocol", "PEER_NEW", [dev(), peer(*client, selector(
            LOCAL_PORT_FROM=(9, 2), LOCAL_PORT_TO=(9, 2)))], errno.EINVAL, "protocol")
        run.bad("many prefixes", "PEER_NEW", [dev(), peer(*client, *split)], errno.EINVAL,
                "too many pairs")
        run.bad("many prefixes", "PEER_SET", [dev(), peer(pid(1), *split)], errno.EINVAL,
                "too many pairs", split[-1])
    run.end("clients", held)
    for i in 1, 2:
        must(nl.call("PEER_NEW", dev(), peer(*client, pid(60 + i))))
    got = [nl.call("PEER_GET", dev(), peer(pid(60 + i))).objects[0]["A_PEER"]["A_PEER_VIRTUAL"]
           for i in (1, 2)]
    equal("which took no address of the pool", got,
          [socket.inet_aton("10.66.0.1"), socket.inet_aton("10.66.0.2")])
    for i in 1, 2:
        must(nl.call("PEER_DEL", dev(), peer(pid(60 + i))))
    must(nl.call("DEV_SET", dev(), nest("DEV", nest("DEV_POOL", addr("POOL_ADDRESS", "0.0.0.0")))))
    equal("and that was all", snapshot(nl), before)


def test_sa(nl):
    before = snapshot(nl)
    run = Refusals(nl)
    for spi in 0, 1, 255:
        for cmd in "SA_NEW", "SA_SET", "SA_DEL", "SA_GET":
            inside = sa(spi, but=() if cmd == "SA_NEW" else ("ENC", "ENC_KEY"))
            run.bad(f"SPI {spi}", cmd, [dev(), inside], errno.EINVAL, "RFC 4303",
                    inside.value[0])
        for attr in "SPI_MIN", "SPI_MAX":
            bad = num("RESERVE_" + attr, spi, 4)
            run.bad(f"{attr} {spi}", "SPI_RESERVE", [dev(), nest("RESERVE", bad)], errno.EINVAL,
                    "RFC 4303", bad)
    inside = sa(0x2000)
    run.bad("SPI in use", "SA_NEW", [dev(), inside], errno.EEXIST, "SPI", inside.value[0])
    inside = sa(0x2001, direction=1)
    run.bad("outbound SPI in use", "SA_NEW", [dev(), inside], errno.EEXIST, "SPI",
            inside.value[0])
    inside = sa(0x1000, owner=99)
    run.bad("unknown peer", "SA_NEW", [dev(), inside], errno.ENOENT, "no such peer",
            inside.value[2])
    inside = sa(0x3000, owner=2)
    run.bad("SPI reserved for another", "SA_NEW", [dev(), inside], errno.EEXIST, "reserved",
            inside.value[0])
    bad = num("SA_REPLAY_WINDOW", 0, 4)
    run.bad("ESN without window", "SA_NEW", [dev(), sa(0x1000, flag("SA_ESN"), bad)],
            errno.EINVAL, "ESN", bad)
    bad = num("SA_REPLAY_WINDOW", 64, 4)
    run.bad("outbound window", "SA_NEW", [dev(), sa(0x1000, bad, direction=1)], errno.EINVAL,
            "inbound", bad)
    bad = num("SA_STANDBY", 5, 4)
    run.bad("inbound standby", "SA_NEW", [dev(), sa(0x1000, bad)], errno.EINVAL,
            "outbound", bad)
    bad = num("SA_SEQ", 1 << 32, 8)
    run.bad("long number without ESN", "SA_NEW", [dev(), sa(0x1000, bad)], errno.EINVAL,
            "32 bits", bad)
    for text in "0.0.0.0", "239.1.1.1":
        bad = addr("SA_REMOTE", text)
        run.bad(text, "SA_NEW", [dev(), sa(0x1000, bad)], errno.EINVAL, "", bad)
    bad = num("SA_REMOTE_PORT", 0, 2)
    run.bad("port 0", "SA_NEW", [dev(), sa(0x1000, bad)], errno.EINVAL, "port 0", bad)
    bad = addr("SA_REMOTE", "2001:db8::9")
    run.bad("families", "SA_NEW", [dev(), sa(0x1000, bad)], errno.EINVAL, "families", bad)

    move = addr("SA_REMOTE", "192.0.2.77"), num("SA_REMOTE_PORT", 7, 2)
    for bits in 0, 8, 32, 80, 136, 256, 65535:
        run.bad(f"ICV of {bits}", "SA_NEW", [dev(), sa(0x1000, num("SA_ICV_BITS", bits, 2), *move)],
                errno.EINVAL, "ICV")
    for n in list(range(20)) + [21, 24, 32, 36 + 1, 64]:
        run.bad(f"key of {n}", "SA_NEW",
                [dev(), sa(0x1000, Attr(A("SA_ENC_KEY"), (KEY * 4)[:n]), *move, but=("ENC_KEY",))],
                errno.EINVAL, "key")
    for name in "", "aes", "gcm(aes)", "rfc4106(gcm(aes)", "cbc(serpent)", "x" * 63:
        run.bad(f"algorithm '{name}'", "SA_NEW",
                [dev(), sa(0x1000, string("SA_ENC", name), *move, but=("ENC",))],
                errno.ENOENT, "unknown algorithm")
    run.bad("hash of an AEAD", "SA_NEW",
            [dev(), sa(0x1000, string("SA_AUTH", "hmac(sha1)"), Attr(A("SA_AUTH_KEY"), AUTH_KEY))],
            errno.EINVAL, "by itself")
    run.bad("no hash", "SA_NEW", [dev(), cbc(0x1000, but=("AUTH", "AUTH_KEY"))], errno.EINVAL,
            "keyed hash")
    run.bad("two SA nests", "SA_NEW", [dev(), sa(0x1000), sa(1)], errno.EINVAL, "RFC 4303")
    run.bad("cut off", "SA_NEW", [dev(), sa(0x1000, Attr(0x3fff, b"x"))], errno.EINVAL, "Unknown")
    for cmd in "SA_SET", "SA_DEL", "SA_GET":
        for what, inside in (("unknown", sa(0x9999, but=("ENC", "ENC_KEY"))),
                             ("outbound", sa(0x2000, direction=1, but=("ENC", "ENC_KEY"))),
                             ("another's", sa(0x2000, owner=2, but=("ENC", "ENC_KEY")))):
            run.bad(what, cmd, [dev(), inside], errno.ENOENT, "no such SA", inside.value[0])
        inside = sa(0x2000)
        run.bad("with keys", cmd, [dev(), inside], errno.EINVAL, "no meaning", inside.value[3])
    run.bad("of a reserved SPI", "SA_SET", [dev(), sa(0x3000, but=("ENC", "ENC_KEY"))],
            errno.EINVAL, "reserved")
    bad = num("RESERVE_TIMEOUT", 0, 4)
    run.bad("for ever", "SPI_RESERVE", [dev(), nest("RESERVE", bad)], errno.EINVAL, "expire", bad)
    bad = num("RESERVE_SPI_MIN", 5000, 4)
    run.bad("reversed", "SPI_RESERVE", [dev(), nest("RESERVE", bad,
                                                    num("RESERVE_SPI_MAX", 4999, 4))],
            errno.EINVAL, "larger", bad)
    bad = num("RESERVE_PEER", 99, 4)
    run.bad("unknown peer", "SPI_RESERVE", [dev(), nest("RESERVE", bad)], errno.ENOENT,
            "no such peer", bad)
    one = num("RESERVE_SPI_MIN", 0x2000, 4), num("RESERVE_SPI_MAX", 0x2000, 4)
    run.bad("none free", "SPI_RESERVE", [dev(), nest("RESERVE", *one)], errno.ENOSPC, "free")
    run.end("SAs", before)

    for i, text in (61, "192.0.2.61"), (62, "192.0.2.62"):
        must(nl.call("PEER_NEW", dev(), peer(pid(i), num("PEER_MODE", 1, 1), selector(),
                                             addr("PEER_REMOTE", text))))
    held = snapshot(nl)
    bad = addr("SA_REMOTE", "192.0.2.61")
    for direction in 0, 1:
        run.bad("another peer's address", "SA_NEW", [dev(), sa(0x1000, bad, owner=62,
                                                               direction=direction)],
                errno.EEXIST, "same outer address", bad)
    inside = sa(0x2000, bad, owner=62)
    run.bad("and SPI", "SA_NEW", [dev(), inside], errno.EEXIST, "SPI", inside.value[0])
    run.end("SAs that move their peer", held)
    for i in 61, 62:
        must(nl.call("PEER_DEL", dev(), peer(pid(i))))

    replies = nl.dump("SA_GET", dev()).raw + nl.dump("PEER_GET", dev()).raw + \
        nl.call("SA_GET", dev(), sa(0x2000, but=("ENC", "ENC_KEY"))).raw
    check("no key in any reply", not leaks(replies))
    good = sa(0x2001, direction=1, but=("ENC", "ENC_KEY"))
    got = nl.call("SA_GET", dev(), good).objects[0]["A_SA"]
    equal("an SA is read as it was installed",
          (got["A_SA_ENC"], got["A_SA_ICV_BITS"], got["A_SA_STATE"], got["A_SA_SEQ"],
           got.get("A_SA_LAST_USED"), "A_SA_REPLAY_WINDOW" in got),
          (b"rfc4106(gcm(aes))\0", 128, C["SA_STATE_VALID"], 0, None, False))
    must(nl.call("SA_SET", dev(), sa(0x2000, num("SA_HARD_SECONDS", 1000, 8),
                                     num("SA_SOFT_BYTES", 1 << 40, 8), but=("ENC", "ENC_KEY"))))
    must(nl.call("SA_SET", dev(), sa(0x2000, num("SA_SOFT_BYTES", 0, 8), but=("ENC", "ENC_KEY"))))
    got = nl.call("SA_GET", dev(), sa(0x2000, but=("ENC", "ENC_KEY"))).objects[0]["A_SA"]
    equal("lifetimes that are not named stay",
          (got.get("A_SA_HARD_SECONDS"), got.get("A_SA_SOFT_BYTES")), (1000, None))
    must(nl.call("SA_SET", dev(), sa(0x2000, num("SA_HARD_SECONDS", 0, 8),
                                     but=("ENC", "ENC_KEY"))))

    spi = must(nl.call("SPI_RESERVE", dev())).objects[0]["A_RESERVE"]["A_RESERVE_SPI"]
    check("a reserved SPI is 256 or more", spi >= 256, spi)
    got = nl.call("SA_GET", dev(), sa(spi, but=("PEER", "ENC", "ENC_KEY"))).objects[0]["A_SA"]
    equal("it is without peer", (got["A_SA_STATE"], "A_SA_PEER" in got), (0, False))
    must(nl.call("SA_NEW", dev(), sa(spi, but=())))
    got = nl.call("SA_GET", dev(), sa(spi, but=("ENC", "ENC_KEY"))).objects[0]["A_SA"]
    equal("keys complete it", got["A_SA_STATE"], C["SA_STATE_VALID"])
    must(nl.call("SA_DEL", dev(), sa(spi, but=("PEER", "ENC", "ENC_KEY"))))
    many(nl)
    equal("that was all", snapshot(nl), before)


def many(nl):
    """IKEv1 leaves old SAs until they expire."""
    must(nl.call("PEER_NEW", dev(), peer(pid(77))))
    reserve = nest("RESERVE", num("RESERVE_PEER", 77, 4))
    for count in range(2048):
        reply = nl.call("SPI_RESERVE", dev(), reserve)
        if reply.err:
            break
    equal("a peer may have 2048 SAs", (reply.err, count), (0, 2047))
    reply = nl.call("SPI_RESERVE", dev(), reserve)
    equal("and no more", (reply.err, reply.text), (errno.ENOSPC, "too many SAs or reserved SPIs"))
    must(nl.call("PEER_DEL", dev(), peer(pid(77))))


def test_dev(nl):
    before = snapshot(nl)
    run = Refusals(nl)
    ttl = num("DEV_TTL", 77, 1)
    bad = num("DEV_PORT", 0, 2)
    run.bad("port 0", "DEV_SET", [dev(), nest("DEV", ttl, bad)], errno.EINVAL, "port 0", bad)
    bad = num("DEV_BOUND_IFINDEX", 0x7ffffff, 4)
    run.bad("no such device", "DEV_SET", [dev(), nest("DEV", ttl, bad)], errno.ENODEV, "", bad)
    bad = num("DEV_BOUND_IFINDEX", socket.if_nametoindex("espudp0"), 4)
    run.bad("itself", "DEV_SET", [dev(), nest("DEV", ttl, bad)], errno.ELOOP, "itself", bad)
    for attr in num("SOCKET_PORT", 9, 2), flag("SOCKET_IPV4"), flag("SOCKET_IPV6"):
        run.bad("own and adopted", "SOCKET_ATTACH",
                [dev(), nest("SOCKET", num("SOCKET_FD", 0, 4), attr)], errno.EINVAL, "", attr)
    bad = num("SOCKET_MARKER", 1, 1)
    run.bad("marker of an own one", "SOCKET_ATTACH", [dev(), nest("SOCKET", bad)], errno.EINVAL,
            "", bad)
    bad = num("SOCKET_PORT", 0, 2)
    run.bad("port 0", "SOCKET_ATTACH", [dev(), nest("SOCKET", bad)], errno.EINVAL, "port 0", bad)
    tcp = socket.socket()
    unbound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for what, fd in (("not open", 999), ("far out", 0xffffffff), ("a file", sys.stdin.fileno()),
                     ("TCP", tcp.fileno()), ("unbound", unbound.fileno())):
        bad = num("SOCKET_FD", fd, 4)
        run.bad(what, "SOCKET_ATTACH", [dev(), nest("SOCKET", bad)], None, "", bad)
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    bad = num("SOCKET_PORT", taken.getsockname()[1], 2)
    run.bad("in use", "SOCKET_ATTACH", [dev(), nest("SOCKET", bad)], errno.EADDRINUSE, "adopted",
            bad)
    run.end("devices and sockets", before)
    for s in tcp, unbound, taken:
        s.close()

    must(nl.call("SOCKET_ATTACH", dev(), nest("SOCKET", num("SOCKET_PORT", 4511, 2),
                                              flag("SOCKET_IPV4"))))
    held = snapshot(nl)
    got = held[0][0]["A_DEV"]
    equal("an own socket is shown", (got["A_DEV_PORT"], got["A_DEV_SOCKET"]), (4511, [
        {"A_SOCKET_PORT": 4511, "A_SOCKET_KIND": 0, "A_SOCKET_IPV4": b""}]))
    bad = num("DEV_PORT", 4512, 2)
    run.bad("port", "DEV_SET", [dev(), nest("DEV", ttl, bad)], errno.EBUSY, "socket", bad)
    bad = num("SOCKET_PORT", 4512, 2)
    run.bad("port", "SOCKET_ATTACH", [dev(), nest("SOCKET", bad, flag("SOCKET_IPV6"))],
            errno.EBUSY, "socket", bad)
    run.bad("again", "SOCKET_ATTACH", [dev()], errno.EEXIST, "already")
    run.end("with a socket", held)
    must(nl.call("SOCKET_DETACH", dev()))
    must(nl.call("DEV_SET", dev(), nest("DEV", num("DEV_PORT", 4500, 2))))
    equal("that was all", snapshot(nl), before)


if __name__ == "__main__":
    sys.exit(main([test_attributes, test_missing, test_peer, test_pool, test_sa, test_dev]))
