# SPDX-License-Identifier: GPL-2.0
"""charon in namespaces: configured, started, asked and told over vici.

    gw = ike.Charon("gw", plugin={"pool": "10.254.0.0/24"})
    gw.configure({"rw": {"version": 2, ..., "children": {"net": {...}}}}, secrets)
    gw.start()
    client.initiate("net")
    gw.sas()

Settings are dictionaries, nested as strongswan.conf and swanctl.conf are; True is
yes, a list is its items with commas. Each charon has a folder, in it a /run, logs,
and what swanctl loads.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import forge
from forge import wait_for

CHARON = "/usr/lib/ipsec/charon"
PLUGINS = Path("/usr/lib/ipsec/plugins")
PLUGIN = forge.TOP / "build" / "strongswan" / "libstrongswan-kernel-espudp.so"
LOAD = ("random nonce openssl aes sha1 sha2 md5 hmac kdf gmp pem pkcs1 pkcs8 x509 pubkey "
        "revocation constraints {kernel} socket-default vici updown")
# Enough for a pre-shared key, and loaded in a third of the time.
SMALL = "random nonce openssl hmac kdf {kernel} socket-default vici"
SWANCTL_LOAD = "random openssl sha1 pem pkcs1 pkcs8 x509 pubkey"
SLOW = 10 if forge.DEBUG_KERNEL else 1


class Refused(forge.Failed):
    """charon said no."""


def need():
    for command in CHARON, "swanctl", "openssl":
        if not shutil.which(command):
            forge.skip_all(f"no {command}")


def install_plugin():
    """kernel-espudp, to where charon looks. In a throw-away machine only."""
    if not PLUGIN.exists():
        raise forge.Failed(f"{PLUGIN} is missing")
    shutil.copy(PLUGIN, PLUGINS)


def render(settings, depth=0):
    """strongSwan's syntax."""
    lines = []
    indent = "    " * depth
    for key, value in settings.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key} {{", *render(value, depth + 1), f"{indent}}}"]
        elif value is not None:
            if isinstance(value, bool):
                value = "yes" if value else "no"
            elif isinstance(value, (list, tuple)):
                value = ", ".join(map(str, value))
            lines.append(f"{indent}{key} = {value}")
    return lines


def psk(secret="sharedpsk", **ids):
    """Secrets for configure(). psk("x", id="a") or psk("x", id_1="a", id_2="b")."""
    return {"ike-1": {"secret": f'"{secret}"',
                      **{key.replace("_", "-"): value for key, value in ids.items()}}}


class Vici:
    """A connection. One request at a time."""

    (REQUEST, RESPONSE, UNKNOWN, REGISTER, UNREGISTER, CONFIRM, NO_EVENT, EVENT) = range(8)
    (SECTION, SECTION_END, VALUE, LIST, ITEM, LIST_END) = range(1, 7)

    def __init__(self, path, timeout):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    @classmethod
    def encode(cls, message):
        out = b""
        for key, value in message.items():
            name = struct.pack("B", len(key)) + key.encode()
            if isinstance(value, dict):
                out += bytes((cls.SECTION,)) + name + cls.encode(value) + bytes((cls.SECTION_END,))
            elif isinstance(value, (list, tuple)):
                items = [str(item).encode() for item in value]
                out += bytes((cls.LIST,)) + name + b"".join(
                    bytes((cls.ITEM,)) + struct.pack("!H", len(item)) + item
                    for item in items) + bytes((cls.LIST_END,))
            else:
                if isinstance(value, bool):
                    value = "yes" if value else "no"
                value = str(value).encode()
                out += bytes((cls.VALUE,)) + name + struct.pack("!H", len(value)) + value
        return out

    @classmethod
    def decode(cls, data):
        at = 0

        def take(size):
            nonlocal at
            at += size
            return data[at - size:at]

        def name():
            return take(take(1)[0]).decode()

        def text():
            return take(struct.unpack("!H", take(2))[0]).decode(errors="replace")

        stack = [{}]
        while at < len(data):
            kind = take(1)[0]
            if kind == cls.SECTION:
                stack.append(stack[-1].setdefault(name(), {}))
            elif kind == cls.VALUE:
                key, value = name(), text()
                if key in ("spi-in", "spi-out"):
                    value = int(value, 16)
                elif value.isdigit() and not key.endswith(("-spi", "-id")):
                    value = int(value)
                stack[-1][key] = value
            elif kind == cls.LIST:
                items = stack[-1].setdefault(name(), [])
            elif kind == cls.ITEM:
                items.append(text())
            elif kind == cls.SECTION_END:
                stack.pop()
        return stack[0]

    def send(self, kind, name, message=None):
        body = bytes((kind, len(name))) + name.encode() + self.encode(message or {})
        self.sock.sendall(struct.pack("!I", len(body)) + body)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise ConnectionResetError("charon is gone")
            data += part
        return data

    def receive(self):
        """(kind, name of an event, message)"""
        data = self.exactly(*struct.unpack("!I", self.exactly(4)))
        if data[0] == self.EVENT:
            end = 2 + data[1]
            return data[0], data[2:end].decode(), self.decode(data[end:])
        return data[0], "", self.decode(data[1:])

    def request(self, name, message=None, event=None):
        """(the answer, the events of that name that came before it)"""
        if event:
            self.send(self.REGISTER, event)
            self.receive()
        self.send(self.REQUEST, name, message)
        events = []
        while True:
            kind, _, answer = self.receive()
            if kind == self.EVENT:
                events.append(answer)
            else:
                return answer, events


class Logged:
    """A daemon in a namespace, with a folder of its own: a /run, and a log."""

    def __init__(self, ns, what):
        self.ns, self.child = ns, None
        self.folder = forge.folder / f"{what}.{ns}.{time.monotonic_ns()}"
        self.run = self.folder / "run"
        self.log_file = self.folder / "log"
        self.run.mkdir(parents=True)

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def log(self, since=0):
        """All that it logged, of all its lives; since as mark() gave it."""
        with contextlib.suppress(FileNotFoundError):
            with open(self.log_file, "rb") as file:
                file.seek(since)
                return file.read().decode(errors="replace")
        return ""

    def mark(self):
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self.log_file).st_size
        return 0

    def logged(self, pattern, since=0, seconds=0):
        """Lines that match, once there are some."""
        return wait_for(seconds * SLOW, lambda: [
            line for line in self.log(since).splitlines() if re.search(pattern, line)])


class Charon(Logged):
    """One, in a namespace.

    kernel: "xfrm", "libipsec", or "espudp" for the plugin, whose settings are in plugin.
    settings: more of strongswan.conf's charon section.
    log: levels of strongswan.conf's filelog section.
    """

    def __init__(self, ns, kernel="xfrm", plugin=None, settings=None, log=None, load=LOAD):
        super().__init__(ns, "charon")
        self.kernel = kernel
        self.swanctl_dir = self.folder / "swanctl"
        self.socket = self.run / "charon.vici"
        for part in "x509", "x509ca", "private":
            (self.swanctl_dir / part).mkdir(parents=True)
        kernels = "kernel-netlink" if kernel == "xfrm" else f"kernel-{kernel} kernel-netlink"
        charon = {"load_modular": False, "load": load.format(kernel=kernels),
                  "filelog": {"f": {"path": self.log_file, "default": 1, "knl": 2,
                                    "time_format": "%H:%M:%S", "flush_line": True, **(log or {})}},
                  **(settings or {})}
        if plugin:
            charon["plugins"] = {**charon.get("plugins", {}), "kernel-espudp": plugin}
        self.strongswan_conf = self.folder / "strongswan.conf"
        self.write(self.strongswan_conf, {"charon": charon,
                                          "swanctl": {"load": SWANCTL_LOAD}})

    @staticmethod
    def write(path, settings):
        path.write_text("\n".join(render(settings)) + "\n", encoding="utf-8")

    def configure(self, connections, secrets=None, **sections):
        """swanctl.conf; load() or start() makes charon read it."""
        self.write(self.swanctl_dir / "swanctl.conf",
                   {"connections": connections, "secrets": secrets or {}, **sections})

    def conf(self):
        """swanctl.conf, as it is."""
        return (self.swanctl_dir / "swanctl.conf").read_text(encoding="utf-8")

    def command(self, *words):
        """Words of a command that sees this charon's /run and configuration."""
        return ["env", f"STRONGSWAN_CONF={self.strongswan_conf}",
                f"SWANCTL_DIR={self.swanctl_dir}", "sh", "-c",
                'mount --bind "$0" /run; exec "$@"', self.run, *words]

    # -------------------------------------------------------------------- life

    def spawn(self):
        """Starts charon. Others can be started before ready() is called."""
        for old in "charon.vici", "charon.pid", "charon.ctl":
            (self.run / old).unlink(missing_ok=True)
        with open(self.folder / "output", "ab") as output:
            self.child = forge.n_spawn(self.ns, *self.command(CHARON), stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output)

    def ready(self, load=True):
        """Waits until charon answers, and loads what was configured."""
        if not wait_for(60 * SLOW, self.answers):
            raise forge.Failed(f"charon in {self.ns}: {self.log()}"
                               f"{(self.folder / 'output').read_text()}")
        if load and (self.swanctl_dir / "swanctl.conf").exists():
            self.load()

    def start(self, load=True):
        self.spawn()
        self.ready(load)

    def answers(self):
        if self.child.poll() is not None:
            raise forge.Failed(f"charon in {self.ns} ended: {self.log()}")
        with contextlib.suppress(OSError):
            return self.request("version")["daemon"] == "charon"
        return False

    def stop(self, how=signal.SIGTERM, seconds=20):
        """Its status. SIGTERM makes it tell its peers; see kill()."""
        self.child.send_signal(how)
        try:
            return self.child.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise forge.Failed(f"charon in {self.ns} does not end: {self.log()[-2000:]}") from None

    def kill(self):
        return self.stop(signal.SIGKILL)

    def restart(self):
        self.kill()
        self.start()

    def swanctl(self, *words, check=True):
        """Its output."""
        done = forge.n_attempt(self.ns, *self.command("swanctl", *words))
        if check and done.returncode:
            raise forge.Failed(f"{self.ns}: swanctl {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def load(self):
        return self.swanctl("--load-all")

    def tell(self, connections, secret):
        """What load() would of connections and a pre-shared key, without swanctl: fast.

        Lists must be lists.
        """
        for name, connection in connections.items():
            self.request("load-conn", {name: connection})
        self.request("load-shared", {"type": "IKE", "data": secret})

    # -------------------------------------------------------------------- vici

    def request(self, name, message=None, event=None, timeout=10):
        """An answer; with an event, the list of those."""
        with Vici(self.socket, timeout * SLOW) as vici:
            answer, events = vici.request(name, message, event)
        if answer.get("success") == "no":
            raise Refused(f"{self.ns}: {name} {message}: {answer.get('errmsg')}")
        return events if event else answer

    def initiate(self, child, ike=None, timeout=60, wait=True):
        """Up, or Refused. Without wait charon is only told."""
        message = {"child": child, "timeout": timeout * SLOW * 1000 if wait else -1}
        if ike:
            message["ike"] = ike
        return self.request("initiate", message, timeout=timeout + 5)

    def terminate(self, timeout=20, wait=True, force=False, **what):
        """what: child="name", ike="name", child_id=, ike_id="""
        message = {key.replace("_", "-"): value for key, value in what.items()}
        message["timeout"] = timeout * SLOW * 1000 if wait else -1
        return self.request("terminate", {**message, "force": force}, timeout=timeout + 5)

    def rekey(self, reauth=False, **what):
        """As terminate(). Returns at once; rekeyed() waits."""
        message = {key.replace("_", "-"): value for key, value in what.items()}
        return self.request("rekey", {**message, "reauth": reauth})

    def rekeyed(self, child=None, ike=None, seconds=20, **kwargs):
        """rekey(), and until no SA of before is there, and one that is new."""
        def ids():
            if child:
                return {sa["uniqueid"] for sa in self.children(child)
                        if sa["state"] == "INSTALLED"}
            return {sa["uniqueid"] for sa in self.sas(ike) if sa["state"] == "ESTABLISHED"}

        def there():
            return self.children(child) if child else self.sas(ike)
        old = ids()
        self.rekey(**({"child": child} if child else {"ike": ike}), **kwargs)
        return bool(wait_for(seconds * SLOW, lambda: ids() and not ids() & old and
                             not {sa["uniqueid"] for sa in there()} & old))

    def sas(self, ike=None):
        """IKE SAs as vici has them, a list; "name" and "child-sas" (a dictionary) inside.

        Numbers are numbers. Algorithms: "encr-alg", "dh-group" and so on.
        """
        found = self.request("list-sas", {"ike": ike} if ike else {}, event="list-sa")
        return [{"name": name, **sa} for item in found for name, sa in item.items()]

    def children(self, name=None):
        """All CHILD_SAs, each with its IKE SA at "ike"."""
        return [{**child, "ike": sa} for sa in self.sas()
                for child in sa.get("child-sas", {}).values()
                if name is None or child["name"] == name]

    def installed(self, name=None):
        return [child for child in self.children(name) if child["state"] == "INSTALLED"]


def start_all(charons, at_once=4):
    """Several; more at once than processors only makes each of them late."""
    charons = list(charons)
    for i in range(0, len(charons), at_once):
        for charon in charons[i:i + at_once]:
            charon.spawn()
        for charon in charons[i:i + at_once]:
            charon.ready()


class Authority:
    """A CA; certificates for charons, of ECDSA keys."""

    def __init__(self, name="espudp test CA"):
        self.folder = forge.folder / f"ca.{time.monotonic_ns()}"
        self.folder.mkdir()
        self.key, self.cert = self.folder / "ca.key", self.folder / "ca.pem"
        forge.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                  "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj", f"/CN={name}",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.key,
                  "-out", self.cert)

    def issue(self, charon, name, *alternative):
        """A key and a certificate for CN=name to a charon's folder, and the CA's.

        alternative: as openssl has them, DNS:x, IP:x, email:x; DNS:name by default.
        The certificate's file is certs = name.pem.
        """
        private = charon.swanctl_dir / "private" / f"{name}.pem"
        cert = charon.swanctl_dir / "x509" / f"{name}.pem"
        request, ext = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        ext.write_text(f"subjectAltName={','.join(alternative or [f'DNS:{name}'])}\n"
                       "extendedKeyUsage=serverAuth,clientAuth\n", encoding="ascii")
        forge.run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-nodes", "-subj", f"/CN={name}", "-keyout", private, "-out", request)
        forge.run("openssl", "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey",
                  self.key, "-CAcreateserial", "-days", "3650", "-extfile", ext, "-out", cert)
        shutil.copy(self.cert, charon.swanctl_dir / "x509ca" / "ca.pem")
        return cert
