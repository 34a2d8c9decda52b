#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""tools/strongswan/gateway.md, followed to the letter in a throw-away machine.

Its files are written, its commands are run, in the order of the page, at the gateway
of l2tp.py's topology; c11 is then an L2TP/IPsec client, c21 comes with IKEv2. What
installs packages, and DKMS, is not run (a machine without a network; see
test_install.sh), but the packages must exist. `systemctl restart` does what the
distribution's unit says, `systemctl enable --now` starts one that is done when it returns.
What is for a firewall must be something that nft takes.
"""
#
# KERNELS: 6.12
# TIMEOUT: 240

import re
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import ike
import l2tp
import l2tp_ike
from forge import attempt, check, equal, n, n_attempt, n_spawn, wait_for

PAGE = forge.TOP / "tools" / "strongswan" / "gateway.md"
SYSTEMCTL = """#!/bin/sh
line() { sed -n "s/^$1=-\\\\?//p" "$unit"; }
if [ "$1 $2" = "enable --now" ]; then
	for unit in /etc /usr/local/lib; do
		unit=$unit/systemd/system/$3.service
		[ ! -f "$unit" ] || break
	done
	grep -qx Type=oneshot "$unit" && grep -q ^WantedBy= "$unit" || exit 1
	exec sh -c "exec $(line ExecStart)"
fi
[ "$1" = restart ] || exit 1
unit=/lib/systemd/system/$2.service
[ -f "$unit" ] || exec "/etc/init.d/$2" restart </dev/null >/tmp/$2.log 2>&1
eval "$(line ExecStartPre)"
setsid sh -c "exec $(line ExecStart)" </dev/null >/tmp/$2.log 2>&1 &
post=$(line ExecStartPost)
[ -n "$post" ] || exit 0
for i in $(seq 60); do
	[ ! -S /run/charon.vici ] || exec sh -c "$post"
	sleep 1
done
exit 1
"""


class Site(l2tp.Site):
    client = l2tp_ike.Client
    client_charon = {}


def blocks():
    """(what it is, its text) of each fenced block of the page."""
    return re.findall(r"^```(\S[^\n]*)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def packages(line):
    return [word for word in line.split()[2:] if not word.startswith("-")]


def install(text):
    """What is there already, and what a machine without a network cannot have."""
    wanted = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("apt-get install"):
            wanted += packages(line)
        elif line != "make dkms-install":
            run(line)
    if not wanted:
        return
    shown = attempt("apt-cache", "show", "--no-all-versions", *wanted).stdout
    equal("the packages that it names exist", set(wanted) - set(
        re.findall(r"^Package: (\S+)", shown, re.M)), set())


def run(text):
    done = n_attempt("gw", "timeout", "90", "sh", "-exc", text, cwd=forge.TOP)
    check(f"$ {text.strip().splitlines()[0]}", not done.returncode, done.stdout, done.stderr)
    return done.stdout


def follow():
    for what, text in blocks():
        if what == "sh install":
            install(text)
        elif what == "sh":
            run(text)
        elif what == "nft":
            done = n_attempt("gw", "nft", "-c", "-f", "-", stdin=text)
            check("nft takes what is for it", not done.returncode, done.stderr)
        elif what.startswith("conf "):
            Path(what.split()[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(what.split()[1]).write_text(text, encoding="ascii")
        else:
            check(f"the block {what!r} is understood", False)


def l2tp_client(site, client):
    site.configure(client.name, f"""[global]
port = 1701
[lac vpn]
lns = {l2tp.GATEWAY}
pppoptfile = /etc/ppp/options.l2tp
length bit = yes
""", f"""noauth name alice password wonder ipcp-accept-local ipcp-accept-remote
noccp noipv6 mtu 1400 mru 1400 nodefaultroute
logfile {site.folder}/pppd.{client.name}
""")
    (Path("/etc/netns") / client.name / "ppp" / "chap-secrets").write_text(
        'alice * wonder *\n', encoding="ascii")
    charon = ike.Charon(client.name)
    proposals, esp = l2tp_ike.WINDOWS
    charon.configure(l2tp_ike.conn(client.addr, l2tp.GATEWAY, proposals, {
        "remote_ts": ["dynamic[udp/1701]"], "esp_proposals": esp}),
                     ike.psk("change this pre-shared key"))
    return charon


def ikev2_client(client):
    charon = ike.Charon(client.name)
    for part, name in ("x509ca", "ca.pem"), ("x509", "carol.pem"), ("private", "carol.pem"):
        shutil.copy(f"/etc/swanctl/{part}/{name}", charon.swanctl_dir / part)
    charon.configure({"office": {
        "version": 2, "remote_addrs": l2tp.GATEWAY, "vips": "0.0.0.0",
        "proposals": "aes256-sha256-ecp256",
        "local": {"auth": "pubkey", "certs": "carol.pem", "id": "carol@example.com"},
        "remote": {"auth": "pubkey", "id": "vpn.example.com"},
        "children": {"office": {"remote_ts": "10.99.0.0/24",
                                "esp_proposals": "aes256gcm16"}}}})
    return charon


def reaches(name, source):
    return n_attempt(name, "ping", "-c", "3", "-i", "0.3", "-W", "5", "-I", source,
                     l2tp.HOST).returncode == 0


l2tp.need("xl2tpd", "pppd", "nft", "tcpdump", "pki", "charon-systemd")
ike.need()
for module in "l2tp_ppp", "ppp_async", "ppp_synctty", "esp4", "xfrm_user", "nft_masq":
    attempt("modprobe", module)
forge.load_module()
Path("/usr/local/sbin/systemctl").write_text(SYSTEMCTL, encoding="ascii")
Path("/usr/local/sbin/systemctl").chmod(0o755)
site = Site(per_nat=1)
site.capture()
follow()
open_secrets = [str(path) for path in (
    *Path("/etc/swanctl/private").iterdir(), Path("/etc/swanctl/conf.d/l2tp.conf"),
    Path("/etc/ppp/chap-secrets")) if path.stat().st_mode & 0o077]
equal("nobody else can read a secret", open_secrets, [])
check("the shield is up", "shield: on" in n("gw", "espudp", "shield", "show"))
check("IKEv2 clients are unreachable without the device", "unreachable 10.9.0.0/24" in n(
    "gw", "ip", "route", "show"))
c11, c21 = site.clients
charons = [l2tp_client(site, c11), ikev2_client(c21)]
ike.start_all(charons)


def logs():
    return [Path("/tmp/strongswan.log").read_text(errors="replace")[-4000:],
            *(one.log()[-3000:] for one in charons), site.log("c11")]


charons[0].initiate("l2tp")
c11.start()
c11.dial()
if check("L2TP/IPsec: a client as Windows has it gets PPP", wait_for(60, c11.sessions), *logs()):
    check("and reaches the network behind the gateway", reaches("c11", c11.ppp), *logs())
charons[1].initiate("office")
vip = wait_for(20, lambda: re.search(r"inet (10\.9\.0\.\d+)", n("c21", "ip", "addr")))
if check("IKEv2: a client with a certificate gets an address", vip, *logs()):
    check("and reaches it, too", reaches("c21", vip[1]), *logs())
shown = n("gw", "espudp", "show", "espudp0")
check("espudp shows both by name", "peer: 192.168.1.11 " in shown and
      "peer: carol@example.com " in shown and "virtual address: 10.254.0." in shown, shown)
equal("no L2TP was outside in the clear", site.clear(), [])
for charon in charons:
    charon.stop()
check("both are gone when they have said so",
      wait_for(20, lambda: "peers: 0" in n("gw", "espudp", "show", "espudp0") or
               "peer:" not in n("gw", "espudp", "show", "espudp0")))
n_attempt("gw", "pkill", "xl2tpd")
n_attempt("gw", "pkill", "charon-systemd")
wait_for(20, lambda: n_attempt("gw", "pgrep", "charon-systemd").returncode)
time.sleep(0.5)
site.end()
forge.end()
