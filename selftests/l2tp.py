# SPDX-License-Identifier: GPL-2.0
"""For tests of L2TP/IPsec: two NATs, clients with equal addresses behind both.

    c11 .. c1n                 nat1                         gw           host
    192.168.1.11 .. --- 192.168.1.1 masquerades
                               203.0.113.11 ---+
                               nat2            +--- 203.0.113.1
    c21 .. c2n                 203.0.113.12 ---+    10.99.0.1 --- 10.99.0.2
    192.168.1.11 .. --- 192.168.1.1 masquerades

Clients are the kernel's xfrm, xl2tpd and pppd; xl2tpd and pppd are also at the
gateway. Inside PPP the gateway is 10.8.0.1, clients are 10.8.0.10 and up.
"""

import atexit
import collections
import contextlib
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import forge
from forge import n, netns, run, wait_for

GATEWAY, HOST, PRIVATE = "203.0.113.1", "10.99.0.2", "192.168.1.1"
SLOW = 10 if forge.DEBUG_KERNEL else 1
SO_RCVBUFFORCE, ESPINUDP = 33, 2

# What Windows proposes, and AES-GCM; ICV in bits for the kernel's xfrm.
ALGS = [("cbc(aes)", 32, "hmac(sha1)", 20, 96), ("cbc(aes)", 16, "hmac(sha256)", 32, 128),
        ("cbc(des3_ede)", 24, "hmac(sha1)", 20, 96), ("rfc4106(gcm(aes))", 20, None, 0, 128)]


def need(*commands):
    for command in commands:
        if not shutil.which(command):
            forge.skip_all(f"no {command}")


def nat_address(nat):
    return f"203.0.113.{10 + nat}"


def bound(ns, addr, port, kind=socket.SOCK_DGRAM):
    with netns(ns):
        sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    sock.bind((addr, port))
    return sock


def batch(ns, *lines):
    """Several commands of ip(8) at once."""
    run("ip", *(["-n", ns] if ns else []), "-batch", "-", stdin="\n".join(lines) + "\n")


class Sa:
    """A direction's keys; an algorithm for each client."""

    def __init__(self, number, spi):
        self.spi = spi
        self.enc, enc, self.auth, auth, self.icv = ALGS[number % len(ALGS)]
        self.key, self.auth_key = os.urandom(enc), os.urandom(auth)

    def xfrm(self):
        if not self.auth:
            return f"aead {self.enc} 0x{self.key.hex()} {self.icv}"
        return (f"enc {self.enc} 0x{self.key.hex()} "
                f"auth-trunc {self.auth} 0x{self.auth_key.hex()} {self.icv}")

    def attributes(self):
        found = {"spi": self.spi, "enc": self.enc, "enc-key": self.key}
        if self.auth:
            found.update({"auth": self.auth, "auth-key": self.auth_key})
        return found


class Client:
    """One behind a NAT. What IKE would do is done by up(), rekey() and down()."""

    spi_in = 0x1000

    def __init__(self, site, nat, index):
        self.site, self.nat, self.index = site, nat, index
        self.name = f"c{nat}{index}"
        self.number = (nat - 1) * site.per_nat + index - 1
        self.addr = f"{PRIVATE}{index}"
        self.generation = 0
        self.peer = self.virtual = self.natt = None
        self.sas = []

    # ------------------------------------------------------------------- IPsec

    def xfrm_policies(self):
        for one in "out", "in":
            ends = [(self.addr, GATEWAY), (GATEWAY, self.addr)][one == "in"]
            yield (f"xfrm policy add src {ends[0]}/32 dst {ends[1]}/32 proto udp sport 1701 "
                   f"dport 1701 dir {one} tmpl src {ends[0]} dst {ends[1]} proto esp reqid 1 "
                   "mode transport")

    def new_sas(self):
        """A pair. All clients choose the same SPIs, as well they may."""
        self.generation += 1
        Client.spi_in += 1
        return Sa(self.number, Client.spi_in), Sa(self.number, 0xc0000000 + self.generation)

    def xfrm_state(self, sa, src, dst):
        batch(self.name, f"xfrm state add src {src} dst {dst} proto esp spi {sa.spi} reqid 1 "
              f"mode transport replay-window 32 {sa.xfrm()} "
              "encap espinudp 4500 4500 0.0.0.0")

    def wake(self):
        """The socket that ESP comes to, and policies; a keepalive, for the NAT to know us."""
        if not self.natt:
            self.natt = bound(self.name, "0.0.0.0", 4500)
            self.natt.setsockopt(socket.IPPROTO_UDP, forge.UDP_ENCAP, ESPINUDP)
            batch(self.name, *self.xfrm_policies())
        self.natt.sendto(b"\xff", (GATEWAY, 4500))

    def up(self, port):
        """SAs at both ends. The NAT's port is what an IKE daemon has seen."""
        to, back = self.new_sas()
        self.site.peer_new(self, port)
        self.site.sa_new(self, "in", to)
        self.site.sa_new(self, "out", back)
        self.xfrm_state(back, GATEWAY, self.addr)
        self.xfrm_state(to, self.addr, GATEWAY)
        self.sas = [(to, back)]

    def rekey(self):
        """As IKE does it: first all can be received, then the new pair is sent on."""
        time.sleep(1.1)         # xfrm prefers the newer SA, in seconds
        to, back = self.new_sas()
        self.site.sa_new(self, "in", to)
        self.xfrm_state(back, GATEWAY, self.addr)
        self.xfrm_state(to, self.addr, GATEWAY)
        self.site.sa_new(self, "out", back)
        self.sas.append((to, back))
        time.sleep(0.5 * SLOW)
        to, back = self.sas.pop(0)
        self.site.sa_del(self, "in", to)
        self.site.sa_del(self, "out", back)
        batch(self.name,
              f"xfrm state delete src {self.addr} dst {GATEWAY} proto esp spi {to.spi}",
              f"xfrm state delete src {GATEWAY} dst {self.addr} proto esp spi {back.spi}")

    # -------------------------------------------------------------------- L2TP

    def start(self):
        """xl2tpd; it does not dial yet."""
        self.site.xl2tpd(self.name)

    def dial(self):
        with open(self.site.control(self.name), "w", encoding="ascii") as control:
            control.write("c vpn\n")

    def sessions(self):
        """What ip-up was told, each time: device, own address, other, process."""
        with contextlib.suppress(FileNotFoundError):
            return [line.split() for line in
                    (self.site.folder / f"up.{self.name}").read_text().splitlines()]
        return []

    def downs(self):
        with contextlib.suppress(FileNotFoundError):
            return len((self.site.folder / f"down.{self.name}").read_text().splitlines())
        return 0

    @property
    def ppp(self):
        """Its address inside PPP."""
        sessions = self.sessions()
        return sessions[-1][1] if sessions else None

    def kill(self):
        """The whole machine, at once."""
        for pid in run("ip", "netns", "pids", self.name).split():
            if int(pid) != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        self.natt.close()
        self.natt = None
        batch(self.name, "xfrm state flush", "xfrm policy flush")


class Site:
    """The topology and the gateway. Its IPsec is the subclass's."""

    client = Client

    def __init__(self, per_nat=4, kernel=True, listen=False, nats=(1, 2)):
        self.per_nat, self.kernel, self.listen, self.nats = per_nat, kernel, listen, nats
        self.folder = forge.folder / f"l2tp-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.pcap = self.folder / "clear.pcap"
        self.topology()
        self.clients = [self.client(self, nat, index) for nat in self.nats
                        for index in range(1, per_nat + 1)]

    # ---------------------------------------------------------------- topology

    def topology(self):
        names = [f"c{nat}{index}" for nat in self.nats for index in range(1, self.per_nat + 1)]
        batch(None, *(f"netns add {name}" for name in ["wan", "nat1", "nat2", "gw", "host",
                                                       *names]))
        forge.namespaces += ["wan", "nat1", "nat2", "gw", "host", *names]
        links = [("gw", "g0", "wan", "gw"), ("gw", "g1", "host", "h0")]
        for nat in 1, 2:
            links.append((f"nat{nat}", "n1", "wan", f"nat{nat}"))
            links += [(name, "c0", f"nat{nat}", name) for name in names if name[1] == str(nat)]
        batch(None, *(f"link add {dev} netns {ns} type veth peer name {dev2} netns {ns2}"
                      for ns, dev, ns2, dev2 in links))
        batch("wan", "link add wan type bridge", "link set wan up",
              *(line for name in ("gw", "nat1", "nat2")
                for line in (f"link set {name} master wan", f"link set {name} up")))
        batch("gw", "link set lo up", "link set g0 up", "link set g1 up",
              f"addr add {GATEWAY}/24 dev g0", "addr add 10.99.0.1/24 dev g1")
        batch("host", "link set lo up", "link set h0 up", f"addr add {HOST}/24 dev h0",
              "route add default via 10.99.0.1")
        for nat in 1, 2:
            mine = [name for name in names if name[1] == str(nat)]
            batch(f"nat{nat}", "link set lo up", "link add n0 type bridge", "link set n0 up",
                  f"addr add {PRIVATE}/24 dev n0", "link set n1 up",
                  f"addr add {nat_address(nat)}/24 dev n1",
                  *(line for name in mine
                    for line in (f"link set {name} master n0", f"link set {name} up")))
            n(f"nat{nat}", "nft", "-f", "-", stdin="""table ip nat {
                chain moved { }
                chain post {
                    type nat hook postrouting priority srcnat
                    jump moved
                    oifname n1 masquerade
                }
            }""")
        for name in names:
            batch(name, "link set lo up", "link set c0 up",
                  f"addr add {PRIVATE}{name[2:]}/24 dev c0", f"route add default via {PRIVATE}")
        for name in "gw", "nat1", "nat2":
            with netns(name):
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")

    def ports(self):
        """Those that the NATs have for the clients' ESP, as conntrack says."""
        found = {}
        for nat in self.nats:
            text = n(f"nat{nat}", "conntrack", "-L", "-p", "udp", "--orig-port-dst", "4500")
            for addr, port in re.findall(
                    rf"src=({PRIVATE}\d+) dst={GATEWAY} .*dst={nat_address(nat)} "
                    r"sport=4500 dport=(\d+)", text):
                found[nat, addr] = int(port)
        return {client: found[client.nat, client.addr] for client in self.clients
                if (client.nat, client.addr) in found}

    def mappings(self, clients):
        """The same, once all of these are known to their NATs."""
        for client in clients:
            client.wake()
        if not wait_for(10 * SLOW, lambda: set(clients) <= set(self.ports())):
            raise forge.Failed(f"no mappings: {self.ports()}")
        return self.ports()

    def remap(self, client):
        """The NAT forgets a client's mapping, and has another port for it next."""
        nat = f"nat{client.nat}"
        n(nat, "nft", "add", "rule", "ip", "nat", "moved", "oifname", "n1", "ip", "saddr",
          client.addr, "meta", "l4proto", "udp", "masquerade", "to", ":30000-30999")
        n(nat, "conntrack", "-D", "-p", "udp", "-s", client.addr, "--dport", "4500")

    # ----------------------------------------------------------------- daemons

    def control(self, name):
        return self.folder / f"control.{name}"

    def configure(self, name, xl2tpd, options):
        """Files that `ip netns exec` puts in place of /etc's."""
        etc = Path("/etc/netns") / name
        etc.mkdir(parents=True)
        atexit.register(shutil.rmtree, etc, ignore_errors=True)
        for part in "xl2tpd", "ppp":
            (etc / part).mkdir()
        (etc / "xl2tpd" / "xl2tpd.conf").write_text(xl2tpd, encoding="ascii")
        (etc / "xl2tpd" / "l2tp-secrets").write_text("", encoding="ascii")
        ppp = etc / "ppp"
        (ppp / "options").write_text("", encoding="ascii")
        (ppp / "options.l2tp").write_text(options, encoding="ascii")
        (ppp / "chap-secrets").write_text("* * pw *\n", encoding="ascii")
        (ppp / "chap-secrets").chmod(0o600)
        for event in "up", "down":
            script = ppp / f"ip-{event}"
            script.write_text(f"""#!/bin/sh
[ {name} = gw ] || [ {event} = down ] || ip route add 10.99.0.0/24 dev "$1"
echo "$1 $4 $5 $PPPD_PID $PEERNAME" >>{self.folder}/{event}.{name}
""", encoding="ascii")
            script.chmod(0o755)

    def own_run(self, name, *command):
        """A command that sees a /run of the namespace's own."""
        own = self.folder / f"run.{name}"
        (own / "xl2tpd").mkdir(parents=True, exist_ok=True)
        return ["sh", "-c", 'mount --bind "$0" /run; exec "$@"', own, *command]

    def xl2tpd(self, name):
        (self.folder / f"run.{name}" / "xl2tpd.pid").unlink(missing_ok=True)
        control = self.control(name)
        control.unlink(missing_ok=True)
        with open(self.folder / f"xl2tpd.{name}", "ab") as log:
            forge.n_spawn(name, *self.own_run(
                name, "xl2tpd", "-D", "-c", "/etc/xl2tpd/xl2tpd.conf", "-s",
                "/etc/xl2tpd/l2tp-secrets", "-p", "/run/xl2tpd.pid", "-C", control),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if not wait_for(20 * SLOW, control.exists):
            raise forge.Failed(f"xl2tpd in {name}: {self.log(name)}")

    def log(self, name):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"xl2tpd.{name}").read_text(errors="replace")
        return ""

    def pppd_log(self, name):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"pppd.{name}").read_text(errors="replace")
        return ""

    def configure_all(self):
        mode = "" if self.kernel else "force userspace = yes\n"
        common = f"noccp noipv6 mtu 1400 mru 1400 nodefaultroute\nlogfile {self.folder}/pppd."
        listen = f"listen-addr = {GATEWAY}\n" if self.listen else ""
        self.configure("gw", f"""[global]
port = 1701
{listen}{mode}[lns default]
ip range = 10.8.0.10-10.8.0.100
local ip = 10.8.0.1
require authentication = no
refuse pap = yes
pppoptfile = /etc/ppp/options.l2tp
length bit = yes
""", f"""auth require-mschap-v2 name gw lcp-echo-interval 10 lcp-echo-failure 6
{common}gw
""")
        for client in self.clients:
            self.configure(client.name, f"""[global]
port = 1701
{mode}[lac vpn]
lns = {GATEWAY}
pppoptfile = /etc/ppp/options.l2tp
length bit = yes
""", f"""noauth name {client.name} password pw ipcp-accept-local ipcp-accept-remote
{common}{client.name}
""")

    def start(self):
        self.xl2tpd("gw")

    # ----------------------------------------------------------- what is counted

    def capture(self):
        """Clear-text L2TP on the outside, and fragments, which could hide it."""
        with open(self.folder / "tcpdump", "wb") as log:
            forge.n_spawn("gw", "tcpdump", "-i", "g0", "-Z", "root", "--immediate-mode", "-U",
                          "-n", "-w", self.pcap, "udp port 1701 or (ip[6:2] & 0x3fff != 0)",
                          stdout=log, stderr=log)
        wait_for(20 * SLOW, lambda: b"listening on" in (self.folder / "tcpdump").read_bytes())

    def clear(self):
        """Packets in the capture, as tcpdump prints them."""
        return [line for line in
                forge.attempt("tcpdump", "-n", "-r", self.pcap).stdout.splitlines() if line]

    def watch_owners(self):
        """Counts what comes out of PPP for, or from, somebody else."""
        for client in self.clients:
            n(client.name, "nft", "-f", "-", stdin=f"""table ip owner
            delete table ip owner
            table ip owner {{
                counter wrong {{ }}
                chain pre {{
                    type filter hook prerouting priority -300
                    iifname "ppp*" ip daddr != {client.ppp} counter name wrong
                }}
            }}
            """)
        rules = "\n".join(f"iifname {dev} ip saddr != {other} counter name wrong"
                          for dev, other in self.gw_sessions().values())
        n("gw", "nft", "-f", "-", stdin=f"""table ip owner
        delete table ip owner
        table ip owner {{
            counter wrong {{ }}
            chain pre {{
                type filter hook prerouting priority -300
                {rules}
            }}
        }}
        """)

    def gw_sessions(self):
        """The gateway's sessions: user -> device and address."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / "up.gw").read_text().splitlines():
                dev, _, other, _, name = line.split()
                found[name] = dev, other
        return found

    def wrong(self):
        """Packets that came to somebody else, by place; nothing when all is well."""
        found = {}
        for name in ["gw", *(client.name for client in self.clients)]:
            text = forge.n_attempt(name, "nft", "-j", "list", "counters").stdout or "{}"
            for item in json.loads(text).get("nftables", []):
                if item.get("counter", {}).get("packets"):
                    found[name] = item["counter"]["packets"]
        return found

    def complaints(self):
        """Lines of xl2tpd's that tell of packets for others."""
        pattern = re.compile("(?i)can not find tunnel|unable to find call or tunnel|bad packet|"
                             "can't find call|not open yet|retries exceeded|max retries")
        return [f"{name}: {line}" for name in ["gw", *(client.name for client in self.clients)]
                for line in self.log(name).splitlines() if pattern.search(line)]

    def xfrm_errors(self):
        """Clients' xfrm counters that are not zero."""
        found = {}
        for client in self.clients:
            with netns(client.name):
                text = Path("/proc/thread-self/net/xfrm_stat").read_text(encoding="ascii")
            for key, value in (line.split() for line in text.splitlines()):
                if int(value):
                    found[f"{client.name} {key}"] = int(value)
        return found

    def end(self):
        for client in self.clients:
            if client.natt:
                client.natt.close()
        for name in ["wan", "nat1", "nat2", "gw", "host", *(c.name for c in self.clients)]:
            for pid in forge.attempt("ip", "netns", "pids", name).stdout.split():
                if int(pid) != os.getpid():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
        batch(None, *(f"netns del {name}" for name in forge.namespaces))
        forge.namespaces.clear()


class Gateway(Site):
    """espudp at the gateway."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        batch("gw", "link add espudp0 type espudp", "link set espudp0 up")
        n("gw", "espudp", "socket", "open", "espudp0")
        n("gw", "espudp", "set", "espudp0", "pool", "10.254.0.0/24")
        # a socket of a namespace of before is of no use
        forge.genl_socks.pop("gw", None)
        self.netlink = forge.netlink("gw")

    def peer_new(self, client, port):
        nat = nat_address(client.nat)
        client.peer = int(n(
            "gw", "espudp", "peer", "add", "espudp0", "name", client.name, "mode", "transport",
            "role", "responder", "local", GATEWAY, "remote", f"{nat}:{port}", "nat-remote",
            "yes", "selector", "local", GATEWAY, "remote", nat, "proto", "udp", "local-port",
            1701, "remote-port", 1701))
        client.virtual = socket.inet_ntoa(self.peer(client)["virtual"])

    def peer_del(self, number):
        n("gw", "espudp", "peer", "del", "espudp0", number)

    def sa_new(self, client, direction, sa):
        self.netlink.must("sa-new", ifname="espudp0", sa={"dir": direction, "peer": client.peer,
                                                          **sa.attributes()})

    def sa_del(self, client, direction, sa):
        more = {"peer": client.peer} if direction == "out" else {}
        self.netlink.must("sa-del", ifname="espudp0", sa={"dir": direction, "spi": sa.spi, **more})

    def peers(self):
        return {reply["peer"]["id"]: reply["peer"]
                for reply in self.netlink.must("peer-get", dump=True, ifname="espudp0")}

    def peer(self, client):
        return self.peers()[client.peer]

    def endpoint(self, client):
        peer = self.peer(client)
        return socket.inet_ntoa(peer["remote"]), peer["remote-port"]


# -------------------------------------------------------------------- traffic

def pattern(client, direction, size):
    return random.Random(f"{client.name} {direction}").randbytes(size)


class End:
    """One end of a TCP connection in exchange()."""

    def __init__(self, sock, client, at_host, first, size):
        self.sock, self.client, self.at_host, self.first = sock, client, at_host, first
        self.out = pattern(client, "down" if at_host else "up", size)
        self.sent = 0
        self.got = bytearray()
        self.error = ""
        sock.setblocking(False)

    def reads(self):
        return len(self.got) < len(self.out) and not self.error

    def writes(self):
        """Who is not first sends when it has all of the other's."""
        return self.sent < len(self.out) and not self.error and (self.first or not self.reads())

    def read(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionResetError("closed early")
        self.got += data

    def write(self):
        self.sent += self.sock.send(self.out[self.sent:self.sent + (1 << 18)])

    def wrong(self):
        """What is wrong in the end, or nothing."""
        expected = pattern(self.client, "up" if self.at_host else "down", len(self.out))
        where = "at the host" if self.at_host else "at the client"
        if bytes(self.got) == expected[:len(self.got)]:
            missing = len(expected) - len(self.got)
            return f"{missing} octets missing {where} {self.error}" if missing else ""
        return f"somebody else's octets {where}"


def exchange(clients, size, clients_first, seconds, during=None):
    """All clients and the host send patterns of their own to each other at once.

    Who is first also connects. during() is called when
    an eighth has come everywhere. Returns what
    went wrong, by client.
    """
    wrong, ends, listeners = {}, [], {}
    port = 7001 if clients_first else 7002
    if clients_first:
        listeners[bound("host", HOST, port, socket.SOCK_STREAM)] = None
    else:
        for client in clients:
            listeners[bound(client.name, client.ppp, port, socket.SOCK_STREAM)] = client
    for sock in listeners:
        sock.listen(64)
    for client in clients:
        own, other = ((client.name, client.ppp), ("host", HOST))[::1 if clients_first else -1]
        sock = bound(*own, 0, socket.SOCK_STREAM)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect((other[1], port))
        ends.append(End(sock, client, not clients_first, True, size))

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reading = {end.sock: end for end in ends if end.reads()}
        writing = {end.sock: end for end in ends if end.writes()}
        if not reading and not writing and len(ends) == 2 * len(clients):
            break
        ready = select.select([*listeners, *reading], list(writing), [], 0.5)
        for sock in ready[0]:
            if sock in listeners:
                conn, who = sock.accept()
                client = listeners[sock] or {c.ppp: c for c in clients}.get(who[0])
                if client:
                    ends.append(End(conn, client, clients_first, False, size))
                else:
                    wrong[who[0]] = "who is that?"
        for socks, members, work in (ready[0], reading, End.read), (ready[1], writing, End.write):
            for sock in socks:
                if sock in members:
                    try:
                        work(members[sock])
                    except BlockingIOError:
                        pass
                    except OSError as error:
                        members[sock].error = str(error)
        if during and len(ends) == 2 * len(clients) and \
                all(len(end.got) >= size // 8 for end in ends):
            during()
            during = None
    for end in ends:
        if end.wrong():
            wrong.setdefault(end.client.name, end.wrong())
    for sock in [*listeners, *(end.sock for end in ends)]:
        sock.close()
    return wrong


class Pump(threading.Thread):
    """Numbered datagrams both ways between the host and each client, all the time."""

    def __init__(self, clients, interval):
        super().__init__(daemon=True)
        self.interval = interval
        self.ending = threading.Event()
        self.sent = collections.Counter()
        self.got = collections.defaultdict(set)
        self.astray = []
        self.host = bound("host", HOST, 7003)
        self.socks = {}
        self.clients = {}
        for client in clients:
            self.add(client)
        self.start()

    def add(self, client):
        addr = client.ppp
        self.socks[client.name] = bound(client.name, addr, 7003), addr

    def drain(self, seconds):
        by_addr = {addr: name for name, (_, addr) in self.socks.items()}
        readable = {sock: name for name, (sock, _) in self.socks.items()}
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.host, *readable], [], [],
                                        max(0, deadline - time.monotonic()))
            for sock in ready:
                with contextlib.suppress(OSError):
                    data, who = sock.recvfrom(2048)
                    way, name, number = data.decode().split()[:3]
                    owner = by_addr.get(who[0]) if sock is self.host else readable[sock]
                    if owner != name or way != ("up" if sock is self.host else "down"):
                        self.astray.append(f"{way} {name} {number} came to {owner}")
                    else:
                        self.got[way, name].add(int(number))
            if not ready:
                return

    def run(self):
        while not self.ending.is_set():
            begin = time.monotonic()
            for name, (sock, addr) in list(self.socks.items()):
                for way, one, to in (("up", sock, HOST), ("down", self.host, addr)):
                    number = self.sent[way, name]
                    self.sent[way, name] += 1
                    with contextlib.suppress(OSError):
                        one.sendto(f"{way} {name} {number} ".encode().ljust(200, b"."),
                                   (to, 7003))
            self.drain(max(0.001, self.interval - (time.monotonic() - begin)))

    def more(self, number):
        """Waits until so many more were sent each way for each client."""
        enough = min(self.sent.values(), default=0) + number
        wait_for(number * self.interval * 10 + 5,
                 lambda: self.sent and min(self.sent.values()) >= enough)

    def finish(self):
        self.ending.set()
        self.join()
        self.drain(1.0 * SLOW)
        self.host.close()
        for sock, _ in self.socks.values():
            sock.close()

    def lost(self, client):
        """(of the uplink, of the downlink): numbers that did not arrive."""
        return tuple([number for number in range(self.sent[way, client.name])
                      if number not in self.got[way, client.name]] for way in ("up", "down"))


# ---------------------------------------------------------------------- probes

def avp(number, data):
    return struct.pack("!HHH", 0x8000 | 6 + len(data), 0, number) + data


def control(tunnel, ns, nr, *avps):
    body = b"".join(avps)
    return struct.pack("!HHHHHH", 0xc802, 12 + len(body), tunnel, 0, ns, nr) + body


def probe(clients, tunnel=1, seconds=10):
    """Each sends a raw SCCRQ with one and the same tunnel id.

    Returns whom the gateway answered, and with which tunnel id of its own.
    """
    socks = {}
    answered = {}
    for client in clients:
        sock = bound(client.name, client.addr, 1701)
        sock.connect((GATEWAY, 1701))
        socks[sock] = client
    request = control(0, 0, 0, avp(0, struct.pack("!H", 1)), avp(2, b"\1\0"),
                      avp(3, struct.pack("!I", 3)), avp(7, b"probe"),
                      avp(9, struct.pack("!H", tunnel)), avp(10, struct.pack("!H", 4)))
    for sock in socks:
        sock.send(request)
    deadline = time.monotonic() + seconds
    while len(answered) < len(clients) and time.monotonic() < deadline:
        for sock in select.select(list(socks), [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                data = sock.recv(2048)
                _, _, to, _, _, _ = struct.unpack("!HHHHHH", data[:12])
                found = re.search(rb"\x80\x08\x00\x00\x00\x09(..)", data, re.S)
                if to == tunnel and found:
                    answered[socks[sock]] = struct.unpack("!H", found[1])[0]
    for sock, client in socks.items():
        if client in answered:
            sock.send(control(answered[client], 1, 1, avp(0, struct.pack("!H", 4)),
                              avp(9, struct.pack("!H", tunnel)),
                              avp(1, struct.pack("!H", 1))))
    time.sleep(0.5)
    for sock in socks:
        sock.close()
    return answered
