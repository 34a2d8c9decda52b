# SPDX-License-Identifier: GPL-2.0
"""l2tp.py's scene with real IKE: charon at the clients (xfrm) and at the gateway."""

import contextlib
import os
import signal

import forge
import ike
import l2tp
from forge import n_attempt, wait_for
from l2tp import GATEWAY, SLOW

PSK = "sharedpsk"
POOL = "10.254.0.0/24"

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
        self.charon = ike.Charon(self.name, **self.site.client_charon)
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
    """ipsec: "espudp" or "xfrm", the gateway's. connection, child: more of its swanctl.conf."""

    client = Client

    def __init__(self, *args, ipsec="espudp", connection=None, child=None, gateway=None,
                 client=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.client_charon = client or {}
        if ipsec == "espudp":
            ike.install_plugin()
            gateway = {"plugin": {"pool": POOL}, **(gateway or {})}
        self.charon = ike.Charon("gw", kernel=ipsec, **(gateway or {}))
        self.charon.configure(conn(
            GATEWAY, "%any", GATEWAY_IKE,
            {"remote_ts": ["dynamic[udp]"], "esp_proposals": GATEWAY_ESP, **(child or {})},
            **(connection or {})), ike.psk(PSK))
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
        return wait_for(seconds * SLOW, lambda: all(client.installed() for client in clients))

    def logs(self):
        return [f"--- {one.ns}\n{one.log()}{self.log(one.ns)}{self.pppd_log(one.ns)}"
                for one in (self.charon, *(client.charon for client in self.clients))]

    def client_of(self, sa):
        """Whose IKE SA of the gateway's, by the NAT's mapping."""
        ports = self.ports()
        found = [client for client in self.clients
                 if (l2tp.nat_address(client.nat), ports.get(client)) ==
                 (sa["remote-host"], sa["remote-port"])]
        return found[0] if found else None

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
