#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Generic netlink, spoken raw: every attribute missing, short, long, unknown
and out of range is refused in words that point at it, and nothing half-done
stays; keys come back in no reply and no echo; who lacks rights gets EPERM and
sees nothing; dumps go on where they stopped; a listener that was overrun
recovers with a dump.
"""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 120
# DEBUG-TIER: short

import ctypes
import errno
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
KO = os.environ.get("ESPUDP_KO") or f"{HERE}/../build/{os.uname().release}-debug/espudp.ko"
NESTED = 0x8000
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NLM_REQUEST, NLM_ACK, NLM_DUMP, NLM_INTR = 1, 4, 0x300, 0x10
libc = ctypes.CDLL(None, use_errno=True)


def constants():
    """The enums of the UAPI header."""
    out = {}
    with open(f"{HERE}/../uapi/linux/espudp.h", encoding="utf-8") as f:
        text = f.read()
    for body in re.findall(r"enum\s*\w*\s*\{(.*?)\}", text, re.S):
        names = re.findall(r"^\s*ESPUDP_(\w+)(?:\s*=\s*\d+)?,?$", body, re.M)
        out.update((name, i) for i, name in enumerate(names))
    return out


C = constants()


def A(name):
    return C["A_" + name]


# Attributes that a request may have: their types, by nest.
SETTABLE = {
    "DEV": {"PORT": 2, "FWMARK": 4, "BOUND_IFINDEX": 4, "OUTER_CSUM": (1, 2), "DF": (1, 2),
            "FRAG": (1, 1), "DSCP": (1, 1), "TTL": 1, "PMTU_DISCOVERY": (1, 1),
            "ON_SOCKET_LOSS": (1, 1), "REPLAY_WINDOW": (4, 8192)},
    "SOCKET": {"FD": 4, "PORT": 2, "MARKER": (1, 1), "IPV4": 0, "IPV6": 0},
    "PEER": {"ID": 4, "NAME": "str", "COOKIE": 8, "MODE": (1, 1), "LOCAL": "addr",
             "REMOTE": "addr", "REMOTE_PORT": 2, "KEEPALIVE": 2, "ROAMING": (1, 2),
             "NAT_LOCAL": (1, 2), "NAT_REMOTE": (1, 2), "TFC": 2, "NO_SELECTORS": 0},
    "SELECTOR": {"LOCAL_FROM": "addr", "LOCAL_TO": "addr", "REMOTE_FROM": "addr",
                 "REMOTE_TO": "addr", "PROTOCOL": 1, "LOCAL_PORT_FROM": 2, "LOCAL_PORT_TO": 2,
                 "REMOTE_PORT_FROM": 2, "REMOTE_PORT_TO": 2, "PRIORITY": 4},
    "SA": {"SPI": 4, "DIR": (1, 1), "PEER": 4, "ENC": "str", "AUTH": "str", "ICV_BITS": 2,
           "ESN": 0, "REPLAY_WINDOW": (4, 8192), "SEQ": 8, "REMOTE": "addr", "REMOTE_PORT": 2,
           "SOFT_SECONDS": 8, "HARD_SECONDS": 8, "SOFT_PACKETS": 8, "HARD_PACKETS": 8,
           "SOFT_BYTES": 8, "HARD_BYTES": 8},
    "RESERVE": {"PEER": 4, "SPI_MIN": 4, "SPI_MAX": 4, "TIMEOUT": 4},
}
READONLY = {
    "DEV": {"PEERS": 4, "SAS": 4, "SOCKET": (), "STATS": (), "UNKNOWN_SPI": (),
            "FOREIGN_NETNS": 0},
    "SOCKET": {"KIND": 1},
    "PEER": {"LOCAL_PORT": 2, "MTU": 4, "PMTU": 4, "SPI_IN": 4, "SPI_OUT": 4, "LAST_RX": 8,
             "LAST_TX": 8, "STATS": ()},
    "SA": {"STATE": 1, "AGE": 8, "PACKETS": 8, "BYTES": 8, "LAST_USED": 8, "STATS": (),
           "DRIVER": "str"},
    "RESERVE": {"SPI": 4},
}
VOLATILE = {"A_SA_AGE", "A_PEER_LAST_RX", "A_PEER_LAST_TX", "A_UNKNOWN_AGE"}

# ---------------------------------------------------------------------- KTAP

points = failed = 0


def check(description, good, *diagnostics):
    global points, failed
    points += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {points} {description}")
    if not good:
        for line in diagnostics:
            print("#", str(line).replace("\n", "\n# "))
    sys.stdout.flush()
    return good


def equal(description, got, expected):
    return check(description, got == expected, f"got      {got!r}", f"expected {expected!r}")


def sh(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# ------------------------------------------------------------------- messages

class Attr:
    """An attribute of a request; knows where it is once it was encoded."""

    def __init__(self, kind, value=b"", flags=None):
        self.kind = kind
        self.value = value
        self.flags = flags if flags is not None else NESTED if isinstance(value, list) else 0
        self.pos = None

    def encode(self, pos):
        self.pos = pos
        data = encode(self.value, pos + 4) if isinstance(self.value, list) else self.value
        return struct.pack("=HH", 4 + len(data), self.kind | self.flags) + data + \
            bytes(-len(data) % 4)


def encode(attrs, pos):
    out = b""
    for attr in attrs:
        out += attr.encode(pos + len(out))
    return out


def num(name, value, size):
    return Attr(A(name), value.to_bytes(size, sys.byteorder))


def addr(name, text):
    return Attr(A(name), socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET,
                                          text))


def string(name, text):
    return Attr(A(name), text.encode() + b"\0")


def flag(name):
    return Attr(A(name))


def nest(name, *attrs):
    return Attr(A(name), list(attrs))


class Malformed(Exception):
    pass


def decode(data):
    """[(type, payload)]; checks lengths and that padding is zero."""
    out, at = [], 0
    while at < len(data):
        if len(data) - at < 4:
            raise Malformed("octets left over")
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4 or at + size > len(data):
            raise Malformed(f"attribute of {size} octets")
        if any(data[at + size:at + (size + 3 & ~3)]):
            raise Malformed("padding is not zero")
        out.append((kind, data[at + 4:at + size]))
        at += size + 3 & ~3
    return out


NESTS = {"A_DEV": "DEV", "A_SOCKET": "SOCKET", "A_PEER": "PEER", "A_SA": "SA",
         "A_RESERVE": "RESERVE", "A_EVENT": "EVENT", "A_DEV_SOCKET": "SOCKET",
         "A_DEV_STATS": "STATS", "A_PEER_STATS": "STATS", "A_SA_STATS": "STATS",
         "A_DEV_UNKNOWN_SPI": "UNKNOWN", "A_PEER_SELECTOR": "SELECTOR", "A_STATS_DROP": "DROP"}
NAMES = {}
for _set in ("DEV", "SOCKET", "PEER", "SELECTOR", "SA", "RESERVE", "STATS", "DROP", "UNKNOWN",
             "EVENT"):
    NAMES[_set] = {i: n for n, i in C.items() if n.startswith(f"A_{_set}_")}
NAMES[""] = {C[n]: n for n in ("A_IFINDEX", "A_IFNAME", "A_DEV", "A_SOCKET", "A_PEER", "A_SA",
                               "A_RESERVE", "A_FLUSH", "A_EVENT")}


def named(data, attrs=""):
    """{name: value or [values]} of a reply, without padding attributes."""
    out = {}
    for kind, payload in decode(data):
        name = NAMES[attrs].get(kind & 0x3fff)
        if name is None:
            raise Malformed(f"unknown attribute {kind} in {attrs or 'message'}")
        if name.endswith("_PAD"):
            if payload:
                raise Malformed("padding attribute with octets")
            continue
        if name in NESTS:
            value = named(payload, NESTS[name])
        elif len(payload) in (1, 2, 4, 8) and not re.search("NAME|REMOTE$|LOCAL$|_FROM$|_TO$|ENC",
                                                            name.replace("PORT_", "PORT#")):
            value = int.from_bytes(payload, sys.byteorder)
        else:
            value = payload
        if name in ("A_DEV_SOCKET", "A_DEV_UNKNOWN_SPI", "A_PEER_SELECTOR", "A_STATS_DROP"):
            out.setdefault(name, []).append(value)
        else:
            out[name] = value
    return out


class Reply:
    def __init__(self):
        self.err = 0
        self.text = ""
        self.offset = self.miss_type = self.miss_nest = None
        self.raw = b""
        self.objects = []
        self.interrupted = False

    def __repr__(self):
        return (f"{errno.errorcode.get(self.err, self.err)} '{self.text}' at {self.offset} "
                f"missing {self.miss_type} in {self.miss_nest}")


class Netlink:
    def __init__(self, group=False, recv=1 << 18):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.sock.bind((0, 0))
        self.sock.setsockopt(270, 11, 1)        # NETLINK_EXT_ACK; errors echo the request
        self.sock.settimeout(20)
        self.recv = recv
        self.seq = 0
        self.family = 0x10                      # GENL_ID_CTRL
        reply = self.request(3, [Attr(2, b"espudp\0")], raw=True)
        attrs = dict(decode(reply.objects[0]))
        self.group = None
        for _, grp in decode(attrs[7]):
            grp = dict(decode(grp))
            self.group = int.from_bytes(grp[2], sys.byteorder)
        self.family, = struct.unpack("=H", attrs[1])
        if group:
            self.sock.setsockopt(270, 1, self.group)

    def send(self, cmd, attrs, flags=NLM_ACK, reserved=0, tail=b""):
        self.seq += 1
        data = struct.pack("=BBH", cmd, 1, reserved) + encode(attrs, 20) + tail
        self.sock.send(struct.pack("=IHHII", 16 + len(data), self.family, NLM_REQUEST | flags,
                                   self.seq, 0) + data)

    def parts(self, raw=False):
        """Messages that answer the last request, until the end."""
        reply = Reply()
        done = False
        while not done:
            data = self.sock.recv(self.recv)
            reply.raw += data
            while data and not done:
                size, kind, flags, seq, _ = struct.unpack_from("=IHHII", data)
                body, data = data[16:size], data[size + 3 & ~3:]
                if seq != self.seq:
                    continue
                reply.interrupted |= bool(flags & NLM_INTR)
                if kind in (2, 3):
                    self.end(reply, kind, flags, body)
                    done = True
                else:
                    reply.objects.append(body[4:] if raw else named(body[4:]))
            yield reply

    @staticmethod
    def end(reply, kind, flags, body):
        err, = struct.unpack_from("=i", body)
        reply.err = -min(err, 0)
        if not flags & 0x200:                   # NLM_F_ACK_TLVS
            return
        at = 4
        if kind == 2:
            size, = struct.unpack_from("=I", body, 4)
            at = 20 if flags & 0x100 else 4 + (size + 3 & ~3)
        for kind, payload in decode(body[at:]):
            if kind == 1:
                reply.text = payload.rstrip(b"\0").decode()
            elif kind in (2, 5, 6):
                value, = struct.unpack("=I", payload)
                setattr(reply, {2: "offset", 5: "miss_type", 6: "miss_nest"}[kind], value)

    def request(self, cmd, attrs, raw=False, **kw):
        self.send(cmd, attrs, **kw)
        for reply in self.parts(raw):
            pass
        return reply

    def call(self, cmd, *attrs, **kw):
        return self.request(C["CMD_" + cmd], list(attrs), **kw)

    def dump(self, cmd, *attrs):
        return self.call(cmd, *attrs, flags=NLM_DUMP | NLM_ACK)


def dev(name="espudp0"):
    return Attr(A("IFNAME"), name.encode() + b"\0")


def steady(value):
    if isinstance(value, dict):
        return {k: steady(v) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [steady(v) for v in value]
    return value


def snapshot(nl, name="espudp0"):
    return steady([nl.call("DEV_GET", dev(name)).objects, nl.dump("PEER_GET", dev(name)).objects,
                   nl.dump("SA_GET", dev(name)).objects])


KEY = bytes(range(0x61, 0x61 + 20))
AUTH_KEY = bytes(range(0x41, 0x41 + 20))


def leaks(raw):
    return any(key[i:i + 4] in raw for key in (KEY, AUTH_KEY) for i in range(0, len(key) - 3, 4))


class Refusals:
    """A run of requests that must be refused, told as one point."""

    def __init__(self, nl):
        self.nl = nl
        self.wrong = []
        self.count = 0

    def bad(self, what, cmd, attrs, err=None, text="", at=None, miss=None, **kw):
        self.count += 1
        try:
            reply = self.nl.request(C["CMD_" + cmd], attrs, **kw)
        except Malformed as e:
            self.wrong.append(f"{cmd} {what}: reply is malformed: {e}")
            return
        where = at.pos if at else None
        ok = reply.err and (err is None or reply.err == err) and reply.text and \
            re.search(text, reply.text) and (where is None or reply.offset == where)
        if miss:
            kind, inside = miss
            ok = ok and reply.miss_type == kind and \
                reply.miss_nest == (inside.pos if inside else None)
        if not ok:
            self.wrong.append(f"{cmd} {what}: {reply!r}; expected {err} '{text}' at {where} {miss}")
        if leaks(reply.raw):
            self.wrong.append(f"{cmd} {what}: key in the reply")

    def end(self, description, before):
        check(f"{description}: {self.count} refused in words", not self.wrong, *self.wrong)
        equal(f"{description}: nothing half-done stays", snapshot(self.nl), before)
        self.wrong, self.count = [], 0


# ------------------------------------------------------------------ good parts

def selector(local="10.1.0.0-10.1.0.255", remote="10.2.0.0-10.2.0.255", **more):
    ends = dict(zip(("LOCAL_FROM", "LOCAL_TO", "REMOTE_FROM", "REMOTE_TO"),
                    local.split("-") + remote.split("-")))
    return nest("PEER_SELECTOR", *[addr("SELECTOR_" + k, v) for k, v in ends.items()],
                *[num("SELECTOR_" + k, *v) for k, v in more.items()])


def peer(*attrs):
    return nest("PEER", *attrs)


def pid(value):
    return num("PEER_ID", value, 4)


def sa(spi, *more, direction=0, owner=1, but=()):
    attrs = {
        "SPI": num("SA_SPI", spi, 4), "DIR": num("SA_DIR", direction, 1),
        "PEER": num("SA_PEER", owner, 4), "ENC": string("SA_ENC", "rfc4106(gcm(aes))"),
        "ENC_KEY": Attr(A("SA_ENC_KEY"), KEY),
    }
    return nest("SA", *[a for name, a in attrs.items() if name not in but], *more)


def cbc(spi, *more, key=KEY[:16], but=()):
    attrs = {
        "SPI": num("SA_SPI", spi, 4), "DIR": num("SA_DIR", 0, 1), "PEER": num("SA_PEER", 1, 4),
        "ENC": string("SA_ENC", "cbc(aes)"), "ENC_KEY": Attr(A("SA_ENC_KEY"), key),
        "AUTH": string("SA_AUTH", "hmac(sha1)"), "AUTH_KEY": Attr(A("SA_AUTH_KEY"), AUTH_KEY),
    }
    return nest("SA", *[a for name, a in attrs.items() if name not in but], *more)


def must(reply):
    if reply.err:
        raise RuntimeError(f"refused: {reply!r}")
    return reply


# ---------------------------------------------------------------------- tests

def wrong_values(kind):
    """(what, payload) that no attribute of this kind has."""
    if kind == "addr":
        return [(f"of {n} octets", bytes(n)) for n in (0, 1, 3, 5, 8, 15, 17, 20)]
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
    elif name == "SOCKET":
        yield "SOCKET_ATTACH", [dev(), nest("SOCKET", *attrs)]
    elif name == "PEER":
        yield "PEER_NEW", [dev(), peer(*attrs)]
        yield "PEER_SET", [dev(), peer(pid(1), *attrs)]
        yield "PEER_DEL", [dev(), peer(pid(1), *attrs)]
        yield "PEER_GET", [dev(), peer(pid(1), *attrs)]
        yield "FLUSH", [dev(), num("FLUSH", 0, 1), peer(pid(1), *attrs)]
    elif name == "SELECTOR":
        yield "PEER_NEW", [dev(), peer(selector(), nest("PEER_SELECTOR", *attrs))]
        yield "PEER_SET", [dev(), peer(pid(1), nest("PEER_SELECTOR", *attrs))]
    elif name == "SA":
        for cmd in "SA_NEW", "SA_SET", "SA_DEL", "SA_GET":
            yield cmd, [dev(), sa(0x1000, *attrs)]
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
    run.bad("transport", "PEER_NEW", [dev(), peer(bad)], errno.EOPNOTSUPP, "not implemented", bad)
    run.bad("transport", "PEER_SET", [dev(), peer(pid(1), bad)], errno.EOPNOTSUPP,
            "not implemented", bad)
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
    must(nl.call("PEER_SET", dev(), peer(pid(2), flag("PEER_NO_SELECTORS"),
                                         addr("PEER_LOCAL", "0.0.0.0"))))
    got = nl.call("PEER_GET", dev(), peer(pid(2))).objects[0]["A_PEER"]
    check("selectors and local address are taken away",
          not {"A_PEER_SELECTOR", "A_PEER_LOCAL"} & set(got), got)
    check("nothing was ever received or sent", not {"A_PEER_LAST_RX", "A_PEER_LAST_TX"} & set(got))
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
    equal("that was all", snapshot(nl), before)


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
    listener = Netlink(group=True)

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
    try:
        Netlink(group=True)
        got["events"] = 0
    except OSError as e:
        got["events"] = e.errno
    return got


def test_privileges(nl):
    before = snapshot(nl)
    refused = {cmd: errno.EPERM for cmd in ALL_COMMANDS + ["dump PEER_GET", "dump SA_GET",
                                                           "dump DEV_GET", "events"]}
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


def setup(nl):
    must(nl.call("PEER_NEW", dev(), peer(
        pid(1), string("PEER_NAME", "one"), addr("PEER_LOCAL", "198.51.100.1"),
        addr("PEER_REMOTE", "192.0.2.1"), num("PEER_KEEPALIVE", 0, 2), selector())))
    must(nl.call("PEER_NEW", dev(), peer(
        pid(2), string("PEER_NAME", "two"), num("PEER_COOKIE", 2222, 8),
        addr("PEER_REMOTE", "192.0.2.2"))))
    must(nl.call("SA_NEW", dev(), sa(0x2000)))
    must(nl.call("SA_NEW", dev(), sa(0x2001, direction=1)))
    must(nl.call("SPI_RESERVE", dev(), nest(
        "RESERVE", num("RESERVE_PEER", 1, 4), num("RESERVE_SPI_MIN", 0x3000, 4),
        num("RESERVE_SPI_MAX", 0x3000, 4), num("RESERVE_TIMEOUT", 3600, 4))))


def main():
    print("TAP version 13")
    subprocess.run(["rmmod", "espudp"], capture_output=True, check=False)
    for dep in sh("modinfo", "-F", "depends", KO).strip().split(","):
        if dep:
            sh("modprobe", dep)
    sh("insmod", KO)
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "espudp0", "type", "espudp")
    nl = Netlink()
    setup(nl)
    for test in (test_attributes, test_missing, test_peer, test_sa, test_dev, test_dumps,
                 test_events, test_privileges, test_moved):
        try:
            test(nl)
        except Exception:           # pylint: disable=broad-except
            check(f"{test.__name__} runs to its end", False, traceback.format_exc())
    must(nl.call("FLUSH", dev(), num("FLUSH", 0, 1), peer(pid(1))))
    equal("a flush of a peer's SAs leaves none", nl.dump("SA_GET", dev()).objects, [])
    must(nl.call("FLUSH", dev(), num("FLUSH", 1, 1)))
    equal("a flush of peers leaves none", nl.dump("PEER_GET", dev()).objects, [])
    sh("ip", "link", "del", "espudp0")
    nl.sock.close()
    for _ in range(100):
        gone = subprocess.run(["rmmod", "espudp"], capture_output=True, check=False)
        if not gone.returncode:
            break
        time.sleep(0.05)
    check("the module is unloaded", not gone.returncode, gone.stderr)
    print(f"1..{points}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
