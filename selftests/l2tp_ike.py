# SPDX-License-Identifier: GPL-2.0
"""l2tp.py's scene with real IKE: charon at the clients (xfrm) and at the gateway."""

import contextlib
import hashlib
import os
import signal
import socket
import struct

import forge
import ike
import l2tp
from forge import n_attempt, wait_for
from l2tp import GATEWAY, SLOW

PSK = "sharedpsk"
POOL, POOL6 = "10.254.0.0/24", "fd00:254::/112"
NAT_D_RFC, NAT_D_DRAFT = 20, 130        # payloads: RFC 3947's, and of the drafts 00 to 03

# What the L2TP/IPsec client of Windows 7, 8, 10 and 11 proposes, in this order
# (as gateways' logs have it; MODP_2048 is RFC 3526's group 14). It is always IKEv1
# main mode, transport mode, ID_IPV4_ADDR of its private address, UDP 1701 at both
# ends, an IKE SA of 28800 s, a CHILD_SA of 3600 s or 250000 kB.
#   IKE: AES_CBC_256/HMAC_SHA1/ECP_384   AES_CBC_128/HMAC_SHA1/ECP_256
#        AES_CBC_256/HMAC_SHA1/MODP_2048 3DES_CBC/HMAC_SHA1/MODP_2048
#        3DES_CBC/HMAC_SHA1/MODP_1024
#   ESP: AES_CBC_256/HMAC_SHA1 AES_CBC_128/HMAC_SHA1 3DES_CBC/HMAC_SHA1
#        DES_CBC/HMAC_SHA1 NULL/HMAC_SHA1
WINDOWS = (["aes256-sha1-ecp384", "aes128-sha1-ecp256", "aes256-sha1-modp2048",
            "3des-sha1-modp2048", "3des-sha1-modp1024"],
           ["aes256-sha1", "aes128-sha1", "3des-sha1", "des-sha1", "null-sha1"])

# By client: what it proposes, and what comes of it at a gateway that has GATEWAY_IKE
# and GATEWAY_ESP, by the names that swanctl has.
CLIENTS = [
    (WINDOWS, "AES_CBC-256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_2048", "AES_CBC-256/HMAC_SHA1_96"),
    ((["3des-sha1-modp1536"], ["3des-sha1"]),
     "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1536", "3DES_CBC/HMAC_SHA1_96"),
    ((["3des-sha1-modp1024"], ["aes256-sha1"]),
     "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024", "AES_CBC-256/HMAC_SHA1_96"),
    ((["aes256-sha1-ecp384"], ["3des-sha1", "aes128-sha1"]),
     "AES_CBC-256/HMAC_SHA1_96/PRF_HMAC_SHA1/ECP_384", "AES_CBC-128/HMAC_SHA1_96"),
]
GATEWAY_IKE = ["aes256-sha1-modp2048", "aes256-sha1-ecp384", "aes128-sha1-ecp256",
               "3des-sha1-modp2048", "3des-sha1-modp1536", "3des-sha1-modp1024"]
GATEWAY_ESP = ["aes256-sha1", "aes128-sha1", "3des-sha1"]


def conn(own, other, proposals, child, **settings):
    return {"l2tp": {
        "version": 1, "local_addrs": [own], "remote_addrs": [other],
        "proposals": proposals, "unique": "never", **settings,
        "local": {"auth": "psk", "id": own},
        "remote": {"auth": "psk", "id": other},
        "children": {"l2tp": {"mode": "transport", "local_ts": ["dynamic[udp/1701]"], **child}}}}


class Client(l2tp.Client):
    charon = None

    @property
    def wanted(self):
        """What its SAs should have: algorithms of IKE, of ESP."""
        return CLIENTS[self.number % len(CLIENTS)][1:]

    def configure(self, **settings):
        """charon, as Windows does it."""
        proposals, esp = CLIENTS[self.number % len(CLIENTS)][0]
        self.charon = ike.Charon(self.name, **{"load": ike.SMALL, **self.site.client_charon})
        self.charon.configure(conn(
            self.addr, GATEWAY, proposals,
            {"remote_ts": ["dynamic[udp/1701]"], "esp_proposals": esp, "life_time": "3600s",
             "rekey_time": "3500s", "life_bytes": 250000 << 10, "rekey_bytes": 240000 << 10},
            rekey_time="28000s", **settings), ike.psk(PSK))

    def up(self, _=None):
        self.charon.initiate("l2tp")

    def installed(self):
        return self.charon.installed("l2tp")

    def kill(self):
        """The whole machine, at once."""
        for pid in forge.run("ip", "netns", "pids", self.name).split():
            if int(pid) != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        self.charon.child.wait()
        l2tp.batch(self.name, "xfrm state flush", "xfrm policy flush")


class Site(l2tp.Site):
    """ipsec: "espudp" or "xfrm", the gateway's. connection, child: more of its swanctl.conf,
    connections: and other ones."""

    client = Client

    def __init__(self, *args, ipsec="espudp", connection=None, child=None,
                 connections=None, gateway=None, client=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.client_charon = client or {}
        if ipsec == "espudp":
            ike.install_plugin()
            gateway = {"plugin": {"pool": POOL}, **(gateway or {})}
        self.charon = ike.Charon("gw", kernel=ipsec, **(gateway or {}))
        self.charon.configure({**conn(
            GATEWAY, "%any", GATEWAY_IKE,
            {"remote_ts": ["dynamic[udp]"], "esp_proposals": GATEWAY_ESP, **(child or {})},
            **(connection or {})), **(connections or {})}, ike.psk(PSK))
        for client in self.clients:
            client.configure()

    def start_charons(self):
        ike.start_all([self.charon, *(client.charon for client in self.clients)])
        forge.genl_socks.pop("gw", None)

    def initiate(self, clients=None, seconds=60):
        """All at once; True when all are up."""
        clients = clients or self.clients
        for client in clients:
            client.charon.initiate("l2tp", wait=False)
        waiting = list(clients)

        def done():
            while waiting and waiting[-1].installed():
                waiting.pop()
            return not waiting
        return wait_for(seconds * SLOW, done)

    def logs(self):
        return [f"--- {one.ns}\n{one.log()}{self.log(one.ns)}{self.pppd_log(one.ns)}"
                for one in (self.charon, *(client.charon for client in self.clients))]

    def clear_of_gateway(self):
        """What the gateway sent. Clients without SAs say what they like, it is none of its."""
        return [line for line in self.clear() if f" IP {GATEWAY}." in line]

    # ------------------------------------------------- the device, at the gateway

    def peers(self):
        """Of the device, each a dictionary."""
        return [reply["peer"] for reply in
                forge.netlink("gw").must("peer-get", dump=True, ifname="espudp0")]

    def left(self):
        """SAs and policies that the gateway's kernel has, of either kind."""
        lines = [line for words in (("state",), ("policy", "list", "nosock"))
                 for line in n_attempt("gw", "ip", "xfrm", *words).stdout.splitlines()
                 if line.startswith("src ")]
        return lines + ([str(peer) for peer in self.peers()]
                        if self.charon.kernel == "espudp" else [])


# ------------------------------------------------------------------------ NAT-D

class Sniffer:
    """IKE on the gateway's outside."""

    def __init__(self):
        with forge.netns("gw"):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, l2tp.SO_RCVBUFFORCE, 4 << 20)
        self.sock.bind(("g0", 3))

    def finish(self):
        """((source, port), (destination, port), message) of each that is in clear."""
        found = []
        for data in forge.read_all(self.sock):
            if data[:1] != b"\x45" or data[9] != socket.IPPROTO_UDP:
                continue
            sport, dport = struct.unpack("!HH", data[20:24])
            message = data[28:]
            if 500 in (sport, dport) and len(message) > 28 and not message[19] & 1:
                found.append(((socket.inet_ntoa(data[12:16]), sport),
                              (socket.inet_ntoa(data[16:20]), dport), message))
        self.sock.close()
        return found


def nat_d(message):
    """Its NAT-D payloads: (type, content)."""
    found = []
    kind, at = message[16], 28
    while kind and at + 4 <= len(message):
        following, size = message[at], struct.unpack("!H", message[at + 2:at + 4])[0]
        if kind in (NAT_D_RFC, NAT_D_DRAFT):
            found.append((kind, message[at + 4:at + size]))
        kind, at = following, at + max(size, 4)
    return found


def nat_hash(message, addr, port):
    """RFC 3947 section 3.2, with the hash that all here negotiate."""
    return hashlib.sha1(message[:16] + socket.inet_aton(addr) + struct.pack("!H", port)).digest()


def nat_hashes(messages):
    """What is wrong with the hashes in messages of a Sniffer's, and the payload types of
    those that the gateway sent, by destination.

    RFC 3947 section 3.2: the first is of the other's address, then comes the own.
    """
    wrong, kinds = [], {}
    for source, dest, message in messages:
        found = nat_d(message)
        hashes = [content for _, content in found]
        if hashes and source == (GATEWAY, 500):
            kinds.setdefault(dest, set()).update(kind for kind, _ in found)
            if hashes != [nat_hash(message, *dest), nat_hash(message, *source)]:
                wrong.append(f"to {dest}")
        elif hashes and (hashes[0] != nat_hash(message, *dest) or
                         nat_hash(message, *source) in hashes):
            wrong.append(f"from {source}")
    return wrong, kinds
