#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What test_l2tp.py is compared with: the gateway on xfrm, charon on all ends.

Two clients behind each of two NATs (the topology is in l2tp.py), IKEv1 with a
pre-shared key, and the kernel's l2tp_ppp. Three gateways:

  plain     strongSwan, nothing else
  connmark  strongSwan's connmark plugin, marks that are unique
  zones     the same marks, conntrack zones, and NAT to an address for each peer,
            by rules of iptables

Each client connects in turn, IPsec first. Then there is traffic of all at once.
"""
#
# KERNELS: 6.12
# TIMEOUT: 400
# FULL-ONLY: it is about other software

import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import l2tp
from forge import attempt, check, diag, equal, n, n_attempt, wait_for

SECONDS = 8
start = time.monotonic()

ZONES = """
-t raw -A PREROUTING -i g0 -p udp --dport 1701 -m policy --dir in --pol ipsec -j CT --zone-orig mark
-t mangle -A INPUT -i g0 -p udp --dport 1701 -m policy --dir in --pol ipsec -j CONNMARK --save-mark
-t nat -A INPUT -i g0 -p udp --dport 1701 -m policy --dir in --pol ipsec \
-j SNAT --to-source 10.255.0.1-10.255.255.254
-t mangle -A OUTPUT -d 10.255.0.0/16 -p udp --sport 1701 -j CONNMARK --restore-mark
"""


def took(what):
    diag(f"{time.monotonic() - start:.0f} s: {what}")


class Today(l2tp.Site):
    """A gateway without espudp."""

    def __init__(self, recipe):
        super().__init__(per_nat=2, kernel=True, listen=True)
        self.recipe = recipe
        self.configure_all()
        names = ["gw", *(client.name for client in self.clients)]
        for name in names:
            self.charon(name)
        for name in names:
            if not wait_for(60, (self.folder / f"run.{name}" / "charon.vici").exists):
                raise forge.Failed(f"charon in {name}")
            n(name, *self.own_run(name, "swanctl", "--load-all"))
        if recipe == "zones":
            n("gw", "ip", "route", "add", "10.255.0.0/16", "dev", "g0")
            for rule in ZONES.strip().splitlines():
                n("gw", "iptables-legacy", *rule.split())

    def charon(self, name):
        etc = Path("/etc/netns") / name
        plugins = "random nonce openssl aes sha1 sha2 md5 hmac kdf gmp kernel-netlink"
        if name == "gw" and self.recipe == "connmark":
            plugins += " connmark"
        (etc / "strongswan.conf").write_text(f"""charon {{
    load_modular = no
    load = {plugins} socket-default vici updown
    install_routes = no
    filelog {{
        f {{
            path = {self.folder}/charon.{name}
            default = 1
            flush_line = yes
        }}
    }}
}}
""", encoding="ascii")
        gateway = name == "gw"
        own = l2tp.GATEWAY if gateway else f"{l2tp.PRIVATE}{name[2]}"
        marks = ""
        if gateway and self.recipe != "plain":
            marks = "mark_in = %unique\nmark_out = %unique\n"
        if gateway and self.recipe == "zones":
            marks += "set_mark_in = %same\n"
        (etc / "swanctl").mkdir(exist_ok=True)
        (etc / "swanctl" / "swanctl.conf").write_text(f"""connections {{
    l2tp {{
        version = 1
        local_addrs = {own}
        remote_addrs = {"%any" if gateway else l2tp.GATEWAY}
        proposals = aes256-sha1-modp2048
        unique = never
        local {{
            auth = psk
            id = {own}
        }}
        remote {{
            auth = psk
            id = {"%any" if gateway else l2tp.GATEWAY}
        }}
        children {{
            l2tp {{
                mode = transport
                local_ts = dynamic[udp/1701]
                remote_ts = dynamic[udp{"" if gateway else "/1701"}]
                esp_proposals = aes256-sha1
                {marks}
            }}
        }}
    }}
}}
secrets {{
    ike-1 {{
        secret = "sharedpsk"
    }}
}}
""", encoding="ascii")
        forge.n_spawn(name, *self.own_run(name, "/usr/lib/ipsec/charon"))

    def connect(self):
        """Each in turn; returns who got PPP."""
        got = []
        for client in self.clients:
            done = n_attempt(client.name, *self.own_run(
                client.name, "swanctl", "--initiate", "--child", "l2tp", "--timeout", "60"))
            if done.returncode:
                diag(f"{client.name}: {done.stdout}{done.stderr}")
                continue
            client.start()
            client.dial()
            if wait_for(30, client.sessions):
                got.append(client)
        return got

    def logs(self):
        return [f"--- {name}\n{self.site_log(name)}"
                for name in ["gw", *(client.name for client in self.clients)]]

    def site_log(self, name):
        return ((self.folder / f"charon.{name}").read_text(errors="replace") + self.log(name) +
                self.pppd_log(name))


def run(recipe):
    site = Today(recipe)
    took(f"{recipe}: charons")
    site.capture()
    site.start()
    up = site.connect()
    took(f"{recipe}: connected")
    names = [client.name for client in site.clients]
    equal(f"{recipe}: each client in turn gets IPsec and PPP", [c.name for c in up], names,
          *site.logs())
    site.watch_owners()
    pump = l2tp.Pump(up, 0.05)
    time.sleep(SECONDS)
    pump.finish()
    first = l2tp.exchange(up, 1 << 16, True, 30)
    took(f"{recipe}: clients first")
    second = l2tp.exchange(up, 1 << 16, False, 30)
    took(f"{recipe}: host first")
    strays = site.complaints()
    diag(f"{recipe}:",
         "client  datagrams up  datagrams down  64 KiB, client first  64 KiB, host first  "
         "for others")
    alive = {}
    for client in up:
        up_, down = (100 * len(pump.got[way, client.name]) // pump.sent[way, client.name]
                     for way in ("up", "down"))
        stray = sum(line.startswith(f"{client.name}:") for line in strays)
        alive[client.name] = (up_, down, client.name not in first, client.name not in second)
        diag(f"{client.name:6}  {up_:10} %  {down:12} %  "
             f"{'yes' if client.name not in first else 'no':>20}  "
             f"{'yes' if client.name not in second else 'no':>18}  {stray:10}")
    equal(f"{recipe}: no clear-text L2TP was on the outside", site.clear(), [])
    works = [name for name, (up_, down, *done) in alive.items()
             if up_ == 100 and down == 100 and all(done)]
    if recipe == "zones":
        equal("zones: all clients work", works, names)
        check("zones: no packet came to somebody else", not strays and not site.wrong() and
              not pump.astray, strays, site.wrong(), pump.astray)
    else:
        check(f"{recipe}: of two clients behind one NAT not both work",
              not {"c11", "c12"} <= set(works) and not {"c21", "c22"} <= set(works), alive)
        check(f"{recipe}: packets came to somebody else", strays or site.wrong() or pump.astray)
    site.end()


l2tp.need("xl2tpd", "pppd", "conntrack", "nft", "tcpdump", "/usr/lib/ipsec/charon", "swanctl", "iptables-legacy")
for module in ("l2tp_ppp ppp_async ppp_synctty xfrm_user esp4 nft_compat xt_MASQUERADE xt_policy "
               "xt_connmark xt_mark xt_CT iptable_filter iptable_mangle iptable_nat "
               "iptable_raw").split():
    attempt("modprobe", module)
for one in "plain", "connmark", "zones":
    run(one)
forge.end()
