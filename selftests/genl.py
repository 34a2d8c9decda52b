# SPDX-License-Identifier: GPL-2.0
"""Generic netlink as uapi/espudp.yaml describes it, for tests in Python."""

import errno
import itertools
import os
import socket
import struct
import time
from pathlib import Path

import yaml

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 1, 10, 11
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
NESTED = 0x8000
SIZES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


def attr(number, data):
    size = 4 + len(data)
    return struct.pack("=HH", size, number) + data + bytes(-size % 4)


def attrs(data):
    """(number, content) of each attribute."""
    while len(data) >= 4:
        size, number = struct.unpack("=HH", data[:4])
        if size < 4:
            break
        yield number & 0x3fff, data[4:size]
        data = data[(size + 3) & ~3:]


class Spec:
    """The YAML file: attribute sets, enums, operations."""

    def __init__(self):
        path = Path(__file__).resolve().parent.parent / "uapi" / "espudp.yaml"
        with open(path, encoding="utf-8") as file:
            self.yaml = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.sets = {}
        for attr_set in self.yaml["attribute-sets"]:
            members = {}
            for number, member in enumerate(attr_set["attributes"]):
                members[member["name"]] = dict(member, number=number)
            self.sets[attr_set["name"]] = members
        self.enums = {}
        for definition in self.yaml["definitions"]:
            if definition["type"] == "enum":
                self.enums[definition["name"]] = [
                    entry["name"] if isinstance(entry, dict) else entry
                    for entry in definition["entries"]]
        self.operations = {operation["name"]: dict(operation, number=number) for number, operation
                           in enumerate(self.yaml["operations"]["list"])}

    def encode(self, set_name, values):
        """Attributes of a set from a dictionary; bytes stand for themselves."""
        data = b""
        for name, value in values.items():
            member = self.sets[set_name][name]
            for one in value if isinstance(value, list) else [value]:
                data += self.encode_one(member, one)
        return data

    def encode_one(self, member, value):
        kind, number = member["type"], member["number"]
        if isinstance(value, bytes):
            return attr(number, value)
        if kind == "nest":
            return attr(number | NESTED, self.encode(member["nested-attributes"], value))
        if kind == "flag":
            return attr(number, b"") if value else b""
        if kind == "string":
            return attr(number, value.encode() + b"\0")
        if isinstance(value, str) and "enum" in member:
            value = self.enums[member["enum"]].index(value)
        return attr(number, struct.pack("=" + SIZES[kind], value))

    def decode(self, set_name, data):
        numbers = {member["number"]: member for member in self.sets[set_name].values()}
        result = {}
        for number, content in attrs(data):
            member = numbers.get(number)
            if not member or member["type"] in ("pad", "unused"):
                continue
            kind = member["type"]
            if kind == "nest":
                content = self.decode(member["nested-attributes"], content)
            elif kind in SIZES:
                content, = struct.unpack("=" + SIZES[kind], content)
            elif kind == "string":
                content = content.rstrip(b"\0").decode()
            elif kind == "flag":
                content = True
            if member.get("multi-attr"):
                result.setdefault(member["name"], []).append(content)
            else:
                result[member["name"]] = content
        return result


class Genl:
    """A socket. Open it inside the namespace that holds the device."""

    def __init__(self, spec):
        self.spec = spec
        self.seq = itertools.count(1)
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.sock.bind((0, 0))
        self.sock.settimeout(60)
        self.family = GENL_ID_CTRL
        error, _, replies = self.exchange(CTRL_CMD_GETFAMILY, attr(2, b"espudp\0"))
        if error:
            raise OSError(error, "generic netlink family espudp")
        found = dict(attrs(replies[0][4:]))
        self.family, = struct.unpack("=H", found[1])
        self.groups = {}
        for _, group in attrs(found.get(7, b"")):
            members = dict(attrs(group))
            self.groups[members[1].rstrip(b"\0").decode()] = struct.unpack("=I", members[2])[0]

    def put(self, command, data, flags=NLM_F_ACK, version=1):
        """Sends only; returns the sequence number."""
        seq = next(self.seq) & 0x7fffffff
        body = struct.pack("=BBH", command, version, 0) + data
        self.sock.send(struct.pack("=IHHII", 16 + len(body), self.family, NLM_F_REQUEST | flags,
                                   seq, 0) + body)
        return seq

    def answer(self, seq):
        """(errno, extended message, replies from their generic header on)"""
        replies = []
        while True:
            data = self.sock.recv(1 << 18)
            while len(data) >= 16:
                size, kind, flags, got, _ = struct.unpack("=IHHII", data[:16])
                body, data = data[16:size], data[(size + 3) & ~3:]
                if got != seq:
                    continue
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    error, = struct.unpack("=i", body[:4])
                    tail = body[4:]
                    if kind == NLMSG_ERROR:
                        tail = body[20:] if flags & 0x100 else \
                            body[4 + struct.unpack("=I", body[4:8])[0]:]
                    message = dict(attrs(tail)).get(1, b"") if flags & 0x200 else b""
                    return -error, message.rstrip(b"\0").decode(), replies
                replies.append(body)

    def exchange(self, command, data, flags=NLM_F_ACK, version=1):
        return self.answer(self.put(command, data, flags, version))

    def request(self, operation, dump=False, **values):
        """(errno, message, decoded replies); dashes of names are underscores"""
        values = {name.replace("_", "-"): value for name, value in values.items()}
        error, message, replies = self.exchange(
            self.spec.operations[operation]["number"], self.spec.encode("espudp", values),
            NLM_F_DUMP if dump else NLM_F_ACK)
        return error, message, [self.spec.decode("espudp", reply[4:]) for reply in replies]

    def must(self, operation, dump=False, **values):
        error, message, replies = self.request(operation, dump, **values)
        if error:
            raise OSError(error, f"{operation}: {message or os.strerror(error)}")
        return replies

    def join(self, group):
        """From here on for events() alone."""
        self.sock.setblocking(False)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, self.groups[group])

    def events(self, seconds=0, number=None):
        """(decoded, as it came) of what a group was told, or is within so long"""
        got = []
        deadline = time.monotonic() + seconds
        while number is None or len(got) < number:
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.01)
                continue
            got.append((self.spec.decode("espudp", data[20:]), data))
        return got

    def stats(self, dev):
        """As `espudp stats DEV --json` has them."""
        error, message, replies = self.request("dev-get", ifname=dev)
        if error:
            raise OSError(error, message or errno.errorcode[error])
        device = replies[0]["dev"]
        result = dict(device["stats"])
        names = self.spec.enums["drop"]
        result["drop"] = {names[drop["reason"]]: drop["count"]
                          for drop in result.get("drop", [])}
        result["unknown-spi"] = device.get("unknown-spi", [])
        return result
