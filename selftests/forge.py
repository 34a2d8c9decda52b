# SPDX-License-Identifier: GPL-2.0
"""For tests in Python: KTAP output, namespaces, and ESP packets made by hand.

ESP is sealed with the kernel's ciphers (AF_ALG), or with none and HMAC-SHA-256
by Python itself, which is fast. Only what is asked for is right: sequence
number, padding, next header and what the packet holds are the caller's.
"""

import atexit
import contextlib
import ctypes
import errno
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent
KO = os.environ.get("ESPUDP_KO") or TOP / "build" / f"{os.uname().release}-debug" / "espudp.ko"
FULL = os.environ.get("FULL") == "1"
DEBUG_KERNEL = os.environ.get("DEBUG_KERNEL") == "1"
os.environ["PATH"] = f"{TOP}/build/tools:{TOP}/build/helpers:{os.environ['PATH']}"

IPIP, IPV6, DUMMY = 4, 41, 59
UDP_ENCAP, UDP_SEGMENT, UDP_GRO = 100, 103, 104
SO_NO_CHECK = 11

# ---------------------------------------------------------------------- KTAP

points = failed = 0


def diag(*lines):
    for line in lines:
        for part in str(line).splitlines():
            print("#", part, flush=True)


def check(description, good, *why):
    """A point; what is in why is shown when it fails."""
    global points, failed
    points += 1
    print(f"{'' if good else 'not '}ok {points} {description}", flush=True)
    if not good:
        failed += 1
        diag(*why)
    return bool(good)


def equal(description, got, expected, *why):
    return check(description, got == expected, f"got {got!r}, expected {expected!r}", *why)


def skip(description, reason):
    global points
    points += 1
    print(f"ok {points} {description} # SKIP {reason}", flush=True)


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(4)


def end():
    print(f"1..{points}")
    sys.exit(1 if failed else 0)


# ---------------------------------------------------------- commands, waiting

class Failed(Exception):
    pass


def run(*command, stdin=None, **kwargs):
    """Standard output of a command that must succeed."""
    done = attempt(*command, stdin=stdin, **kwargs)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout


def attempt(*command, stdin=None, **kwargs):
    return subprocess.run([str(word) for word in command], input=stdin, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          **kwargs)


def wait_for(seconds, condition):
    """What condition() returns, once that is true; or the last it returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result or time.monotonic() > deadline:
            return result
        time.sleep(0.02)


# ----------------------------------------------------------------- namespaces

namespaces = []
children = []
libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def netns(name):
    """With netns("a"): what is opened here is opened in that namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000):
            raise OSError(ctypes.get_errno(), f"setns {name}")
        yield
    finally:
        libc.setns(here, 0x40000000)
        os.close(here)
        os.close(there)


def n(name, *command, **kwargs):
    return run("ip", "netns", "exec", name, *command, **kwargs)


def n_attempt(name, *command, **kwargs):
    return attempt("ip", "netns", "exec", name, *command, **kwargs)


def n_spawn(name, *command, **kwargs):
    """The same in the background; ended when the test ends."""
    child = subprocess.Popen(["ip", "netns", "exec", name, *map(str, command)], **kwargs)
    children.append(child)
    return child


def ns_add(*names):
    for name in names:
        run("ip", "netns", "add", name)
        namespaces.append(name)
        n(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0",
          "net.ipv6.conf.all.accept_dad=0")
        run("ip", "-n", name, "link", "set", "lo", "up")


def topo_direct():
    """Two neighbours, as lib.sh's.

    a                                     b
    a0 198.51.100.1/24  ---  b0 198.51.100.2/24
       2001:db8:2::1/64         2001:db8:2::2/64
    """
    ns_add("a", "b")
    run("ip", "-n", "a", "link", "add", "a0", "type", "veth", "peer", "name", "b0", "netns", "b")
    for name, dev, host in ("a", "a0", 1), ("b", "b0", 2):
        run("ip", "-n", name, "link", "set", dev, "up")
        run("ip", "-n", name, "addr", "add", f"198.51.100.{host}/24", "dev", dev)
        run("ip", "-n", name, "addr", "add", f"2001:db8:2::{host}/64", "dev", dev, "nodad")


def load_module(*parameters):
    if os.path.exists("/sys/module/espudp"):
        run("rmmod", "espudp")
    if not os.path.exists(KO):
        check("the module is loaded", False, f"{KO} is missing")
        sys.exit(1)
    for dep in run("modinfo", "-F", "depends", KO).strip().split(","):
        if dep:
            attempt("modprobe", dep)
    done = attempt("insmod", KO, *os.environ.get("PARAMETERS", "").split(), *parameters)
    if done.returncode:
        check("the module is loaded", False, done.stderr, *run("dmesg").splitlines()[-5:])
        sys.exit(1)


def left():
    """Objects that the log tells were created, and not destroyed."""
    found = set()
    for line in run("dmesg").splitlines():
        words = line.partition("espudp: ")[2].split()
        # the oldest lines may be gone
        if words[:1] == ["created"]:
            found.add(" ".join(words[1:3]))
        elif words[:1] == ["destroyed"]:
            found.discard(" ".join(words[1:3]))
    return found


def complaints():
    """Lines that should not be in the log; the runner looks for more."""
    return [line for line in run("dmesg").splitlines() if any(word in line for word in (
        "WARNING:", "BUG:", "Oops", "KASAN", "UBSAN", "refcount_t", "become free", "INFO: task",
        "locking", "suspicious RCU"))]


folder = Path(tempfile.mkdtemp())


@atexit.register
def cleanup():
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()
    for name in namespaces:
        for pid in attempt("ip", "netns", "pids", name).stdout.split():
            if int(pid) != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        attempt("ip", "netns", "del", name)
    # the runner unloads the module itself, and judges how that goes
    if not os.environ.get("ESPUDP_RUNNER") and os.path.exists("/sys/module/espudp"):
        attempt("rmmod", "espudp")
    shutil.rmtree(folder, ignore_errors=True)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


# ------------------------------------------------------------------ the device

genl_spec = None
genl_socks = {}


def netlink(name):
    """A generic netlink socket in a namespace, kept. Not after rmmod."""
    global genl_spec
    import genl
    if name not in genl_socks:
        genl_spec = genl_spec or genl.Spec()
        with netns(name):
            genl_socks[name] = genl.Genl(genl_spec)
    return genl_socks[name]


def tool_stats(name, dev="espudp0"):
    """The tool takes a while to start under emulation; see stats()."""
    return json.loads(n(name, "espudp", "stats", dev, "--json"))


def stats(name, dev="espudp0"):
    """The same over netlink, fast."""
    return netlink(name).stats(dev)


def drops(name, dev="espudp0"):
    return {reason: count for reason, count in stats(name, dev)["drop"].items() if count}


def settle(name, dev="espudp0"):
    """Counters, once they have stopped moving."""
    old = None
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        new = stats(name, dev)
        for record in new.get("unknown-spi", []):
            record.pop("age", None)
        if new == old:
            break
        old = new
        time.sleep(0.02)
    return old


def moved(before, after):
    """What was counted between two looks, zeros left out."""
    flat = []
    for counters in before, after:
        one = dict(counters["drop"])
        one.update({key: value for key, value in counters.items() if isinstance(value, int)})
        flat.append(one)
    result = {key: flat[1][key] - flat[0].get(key, 0) for key in flat[1]}
    return {key: value for key, value in result.items() if value}


def received(before, after):
    """What was counted on the receiving side, in packets."""
    return {key: count for key, count in moved(before, after).items()
            if key.startswith("rx-") and key != "rx-bytes"}


def sa_add(name, dev, peer, direction, esp, *words, check=True):
    words = ["espudp", "sa", "add", dev, peer, direction, "spi", hex(esp.spi), "enc", esp.enc,
             *esp.tool_words(), *words]
    return (n if check else n_attempt)(name, *words, stdin=esp.tool_keys())


def sa_new(name, dev, peer, direction, esp, **values):
    """As sa_add(), over netlink, fast. (errno, message)"""
    sa = {"spi": esp.spi, "dir": direction, "peer": peer, **esp.attributes(),
          **{key.replace("_", "-"): value for key, value in values.items()}}
    return netlink(name).request("sa-new", ifname=dev, sa=sa)[:2]


# -------------------------------------------------------------------- packets

def csum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def addr_bytes(addr):
    return socket.inet_pton(socket.AF_INET6 if ":" in addr else socket.AF_INET, addr)


def ip4(src, dst, proto, payload, ident=0, frag=0, tos=0, ttl=64, length=None, options=b""):
    ihl = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH4s4s", 0x40 | ihl, tos,
                         ihl * 4 + len(payload) if length is None else length,
                         ident, frag, ttl, proto, 0, addr_bytes(src), addr_bytes(dst)) + options
    return header[:10] + struct.pack("!H", csum(header)) + header[12:] + payload


def ip6(src, dst, proto, payload, length=None, tclass=0):
    return struct.pack("!IHBB16s16s", 6 << 28 | tclass << 20,
                       len(payload) if length is None else length, proto, 64,
                       addr_bytes(src), addr_bytes(dst)) + payload


def ip(src, dst, proto, payload, **kwargs):
    return (ip6 if ":" in src else ip4)(src, dst, proto, payload, **kwargs)


def pseudo(src, dst, proto, length):
    if ":" in src:
        return addr_bytes(src) + addr_bytes(dst) + struct.pack("!II", length, proto)
    return addr_bytes(src) + addr_bytes(dst) + struct.pack("!HH", proto, length)


def udp(src, dst, sport, dport, payload, length=None, with_csum=True):
    length = 8 + len(payload) if length is None else length
    header = struct.pack("!HHHH", sport, dport, length, 0)
    if with_csum:
        value = csum(pseudo(src, dst, 17, 8 + len(payload)) + header + payload) or 0xffff
        header = header[:6] + struct.pack("!H", value)
    return ip(src, dst, 17, header + payload)


def tcp(src, dst, sport, dport, payload=b"", flags=2, wrong=False):
    header = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, flags, 1000, 0, 0)
    value = csum(pseudo(src, dst, 6, len(header) + len(payload)) + header + payload)
    header = header[:16] + struct.pack("!H", value ^ wrong) + header[18:]
    return ip(src, dst, 6, header + payload)


class Esp:
    """One SA's keys. seal() makes ESP packets, from SPI to ICV."""

    # enc, auth -> key, salt, IV, block, ICV octets; AF_ALG name
    ENC = {"null": (0, 0, 0, 1), "aes-gcm": (16, 4, 8, 1), "chacha20-poly1305": (32, 4, 8, 1),
           "aes-cbc": (16, 0, 16, 16), "aes-ctr": (16, 4, 8, 1)}
    AUTH = {"sha1": (20, 12), "sha256": (32, 16), "sha512": (64, 32)}
    ALG = {"aes-gcm": "rfc4106(gcm(aes))", "chacha20-poly1305": "rfc7539esp(chacha20,poly1305)",
           "aes-cbc": "cbc(aes)", "aes-ctr": "rfc3686(ctr(aes))"}

    def __init__(self, spi, enc="null", auth=None, esn=False, seed=b"espudp"):
        if enc in ("null", "aes-cbc", "aes-ctr") and not auth:
            auth = "sha256"
        self.spi, self.enc, self.auth, self.esn, self.seq = spi, enc, auth, esn, 0
        key, salt, self.iv_len, self.block = self.ENC[enc]
        self.key = hashlib.shake_128(seed + b"enc").digest(key + salt)
        self.auth_key = b""
        self.icv = 16
        if auth:
            length, self.icv = self.AUTH[auth]
            self.auth_key = hashlib.shake_128(seed + b"auth").digest(length)
        self.sock = None

    def tool_words(self):
        words = ["key-file", "-"] if self.key else []
        if self.auth:
            words += ["auth", self.auth, "auth-key-file", "-"]
        return words + (["esn"] if self.esn else [])

    def tool_keys(self):
        return "".join(f"{key.hex()}\n" for key in (self.key, self.auth_key) if key)

    def attributes(self):
        """The same for netlink."""
        found = {"enc": self.ALG.get(self.enc, "ecb(cipher_null)")}
        if self.key:
            found["enc-key"] = self.key
        if self.auth:
            found["auth"] = f"hmac({self.auth})"
            found["auth-key"] = self.auth_key
        if self.esn:
            found["esn"] = True
        return found

    def min_len(self):
        """Shortest ESP packet that could be one."""
        return 8 + self.iv_len + (2 + max(self.block, 4) - 1) // max(self.block, 4) * \
            max(self.block, 4) + self.icv

    def pad(self, payload, next_header, pad=None):
        if pad is None:
            block = max(self.block, 4)
            pad = bytes(range(1, 1 + -(len(payload) + 2) % block))
        return payload + pad + bytes((len(pad), next_header))

    def seal(self, payload, next_header=IPIP, seq=None, pad=None, plain=None):
        """plain replaces payload, padding and trailer altogether."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        text = self.pad(payload, next_header, pad) if plain is None else plain
        head = struct.pack("!II", self.spi, seq & 0xffffffff)
        aad = struct.pack("!II", self.spi, seq >> 32) + head[4:] if self.esn else head
        if self.enc == "null":
            # RFC 4303 section 2.2.1: the upper half follows the payload
            high = struct.pack("!I", seq >> 32) if self.esn else b""
            icv = hmac.digest(self.auth_key, head + text + high, self.auth)
            return head + text + icv[:self.icv]
        iv = struct.pack("!Q", seq) if self.iv_len == 8 else os.urandom(16)
        return head + iv + self._alg(aad + iv, iv, text)

    def _alg(self, assoc, iv, text):
        if not self.sock:
            self.sock = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
            key, name = self.key, self.ALG[self.enc]
            if self.auth:
                name = f"{'authencesn' if self.esn else 'authenc'}(hmac({self.auth}),{name})"
                key = struct.pack("=HHI", 8, 1, socket.htonl(len(key))) + self.auth_key + key
            self.sock.bind(("aead", name))
            self.sock.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, key)
            self.sock.setsockopt(socket.SOL_ALG, socket.ALG_SET_AEAD_AUTHSIZE, None, self.icv)
        op, _ = self.sock.accept()
        with op:
            op.sendmsg_afalg([assoc + text], op=socket.ALG_OP_ENCRYPT, iv=iv,
                             assoclen=len(assoc))
            return op.recv(len(assoc) + len(text) + self.icv)[len(assoc):]


def sender(name, dst, port=4500, src=None, sport=0, zero_csum=False):
    """A UDP socket in a namespace, connected."""
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    with netns(name):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if zero_csum and family == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        if src or sport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((src or ("::" if ":" in dst else "0.0.0.0"), sport))
        sock.connect((dst, port))
    return sock


def receiver(name, addr, port, buf=8 << 20):
    """A UDP socket that what comes out of the tunnel is read from."""
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    with netns(name):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, 33, buf)     # SO_RCVBUFFORCE
        sock.bind((addr, port))
    sock.setblocking(False)
    return sock


def send(sock, data, flags=0):
    """Past an ICMP error that an earlier datagram drew."""
    for _ in range(10):
        try:
            return sock.send(data, flags)
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ENOBUFS, errno.EHOSTUNREACH):
                raise
            if error.errno == errno.ENOBUFS:
                time.sleep(0.01)
    return 0


def read_all(sock, seconds=0, number=None):
    """Datagrams that are there, or come within so long."""
    got = []
    deadline = time.monotonic() + seconds
    while True:
        try:
            got.append(sock.recv(65536, socket.MSG_DONTWAIT))
        except BlockingIOError:
            if time.monotonic() > deadline or (number is not None and len(got) >= number):
                return got
            time.sleep(0.01)


INNER_A, INNER_B = "10.1.0.1", "10.2.0.1"
INNER6_A, INNER6_B = "fd00:1::1", "fd00:2::1"


def gateway(esp, *sa_words, name="b", family=4, roaming="off", extra=()):
    """The device in b, and one inbound SA whose packets the test forges.

    What comes out is for INNER_B, from INNER_A.
    """
    run("ip", "-n", name, "link", "add", "espudp0", "type", "espudp")
    n(name, "espudp", "socket", "open", "espudp0")
    n(name, "espudp", "peer", "add", "espudp0", "id", 1, "name", "a",
      "remote", "198.51.100.1" if family == 4 else "2001:db8:2::1", "roaming", roaming,
      "selector", "local", "10.2.0.0/24", "remote", "10.1.0.0/24",
      "selector", "local", "fd00:2::/64", "remote", "fd00:1::/64", *extra)
    run("ip", "-n", name, "addr", "add", f"{INNER_B}/24", "dev", "espudp0")
    run("ip", "-n", name, "addr", "add", f"{INNER6_B}/64", "dev", "espudp0", "nodad")
    run("ip", "-n", name, "link", "set", "espudp0", "up")
    sa_add(name, "espudp0", 1, "in", esp, *sa_words)


def inner(payload, dport=9999, v6=False, sport=1111):
    """An inner UDP datagram from INNER_A to INNER_B."""
    if v6:
        return udp(INNER6_A, INNER6_B, sport, dport, payload)
    return udp(INNER_A, INNER_B, sport, dport, payload)
