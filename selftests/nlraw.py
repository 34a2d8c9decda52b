# SPDX-License-Identifier: GPL-2.0
"""Generic netlink of espudp, spoken raw, for test_netlink*.py."""

import errno
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
NLM_REQUEST, NLM_ACK, NLM_DUMP, NLM_INTR = 1, 4, 0x300, 0x10
VOLATILE = {"A_SA_AGE", "A_PEER_LAST_RX", "A_PEER_LAST_TX", "A_UNKNOWN_AGE"}


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
TEXTS = {n for n in C if n.endswith(("NAME", "_ENC", "_AUTH", "_DRIVER", "_FROM", "_TO", "_LOCAL",
                                     "_REMOTE", "PEER_IKE", "_VIRTUAL")) and
         not re.search("_PORT_|_NAT_", n)}
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
        elif name not in TEXTS and len(payload) in (1, 2, 4, 8):
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
    def __init__(self, group=None, recv=1 << 18):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.sock.bind((0, 0))
        self.sock.setsockopt(270, 11, 1)        # NETLINK_EXT_ACK; errors echo the request
        self.sock.settimeout(20)
        self.recv = recv
        self.seq = 0
        self.family = 0x10                      # GENL_ID_CTRL
        reply = self.request(3, [Attr(2, b"espudp\0")], raw=True)
        attrs = dict(decode(reply.objects[0]))
        self.family, = struct.unpack("=H", attrs[1])
        for _, grp in decode(attrs[7]):
            grp = dict(decode(grp))
            if group and grp[1] == group.encode() + b"\0":
                self.sock.setsockopt(270, 1, int.from_bytes(grp[2], sys.byteorder))

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


def main(tests):
    """Runs tests on a fresh module with one device; returns the exit status."""
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
    for test in tests:
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
