#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The second part of demo.sh: L2TP/IPsec clients with equal addresses, a cut of
test_ike_l2tp.py. Ends with 1 when something failed, and says what.
"""

import re
import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import l2tp
import l2tp_ike
from forge import attempt, n, wait_for

TTY = sys.stdout.isatty()
BOLD, BLUE, RESET = ("\033[1m", "\033[34m", "\033[0m") if TTY else ("", "", "")
failed = []


def say(text):
    print(f"\n{BOLD}{text}{RESET}", flush=True)


def wanted(what, good):
    if not good:
        failed.append(what)
        print(f"THIS FAILED: {what}", flush=True)


def shown(command, text):
    print(f"{BLUE}gw# {command}{RESET}\n{text.rstrip()}\n", flush=True)


def lines(pcap, number, *filters):
    text = attempt("tcpdump", "-n", "-t", "-r", pcap, *filters).stdout
    for line in text.splitlines()[:number]:
        print(f"  {line[:110]}")


def capture(dev, name):
    path = forge.folder / name
    child = forge.n_spawn("gw", "tcpdump", "-i", dev, "-Z", "root", "--immediate-mode", "-U",
                          "-n", "-w", path, "udp", stderr=open(f"{path}.log", "wb"))
    wait_for(20, lambda: b"listening" in open(f"{path}.log", "rb").read())
    return path, child


def main():
    say("7. L2TP/IPsec: four clients behind two NATs, with equal addresses.")
    print("""
   c11 192.168.1.11 ---+ nat1 203.0.113.11 --+
   c12 192.168.1.12 ---+                     |  203.0.113.1 gw 10.99.0.1 --- host
                                             +--            espudp0
   c21 192.168.1.11 ---+ nat2 203.0.113.12 --+              xl2tpd, pppd
   c22 192.168.1.12 ---+

Each has strongSwan on the kernel's xfrm, xl2tpd and pppd as Debian ships them, and
L2TP's usual port, 1701; c11 proposes what Windows does. Once decrypted, those
behind one NAT cannot be told apart by address and port. espudp has an address of its
own for each. At the gateway strongSwan drives it, with the plugin kernel-espudp:
""")
    site = l2tp_ike.Site(per_nat=2, gateway={"plugin": {"pool": l2tp_ike.POOL}})
    clients, gw = site.clients, site.charon
    site.capture()
    site.configure_all()
    shown("cat /etc/strongswan.d/charon/kernel-espudp.conf",
          f"kernel-espudp {{\n    load = 100\n    pool = {l2tp_ike.POOL}\n}}")
    shown("cat /etc/swanctl/swanctl.conf", gw.conf())
    site.start_charons()
    site.start()
    begin = time.monotonic()
    up = site.initiate()
    wanted("all clients have IPsec", up)
    if not up:
        return
    print(f"All clients ask at once. After {time.monotonic() - begin:.0f} seconds all have IPsec:")
    shown("swanctl --list-sas", "\n".join(
        line for line in gw.swanctl("--list-sas").splitlines()
        if re.search("remote  *'|_CBC|^l2tp: |reqid", line)))
    shown("ip route show table 220", n("gw", "ip", "route", "show", "table", "220"))

    say("8. All dial at the same moment.")
    wire, device = capture("g0", "wire"), capture("espudp0", "device")
    for client in clients:
        client.start()
    begin = time.monotonic()
    for client in clients:
        client.dial()
    up = wait_for(60, lambda: all(client.sessions() for client in clients) and
                  len(site.gw_sessions()) == len(clients))
    wanted("all clients have PPP", up)
    if not up:
        return
    print(f"\nAfter {time.monotonic() - begin:.0f} seconds:")
    for client in clients:
        print(f"  {client.name} ({client.addr} behind nat{client.nat}): "
              f"{client.sessions()[-1][0]} {client.ppp}")
    print("\ngw# tcpdump -i g0         (the outside)")
    lines(wire[0], 4)
    print("\ngw# tcpdump -i espudp0    (the device)")
    lines(device[0], 4)
    for _, child in wire, device:
        child.kill()

    say("9. Each client and a host behind the gateway send 256 KiB each way, all at once.")
    site.watch_owners()
    for first in True, False:
        wrong = l2tp.exchange(clients, 1 << 18, first, 60)
        wanted(f"every octet arrives at its owner, {'clients' if first else 'host'} first: "
               f"{wrong}", not wrong)
    print(f"\n{BLUE}gw# espudp show{RESET}")
    print(n("gw", "espudp", "show").rstrip())
    strays = sum(site.wrong().values()) + len(site.complaints())
    clear = len(site.clear())
    print(f"\npackets that came to somebody else: {strays}"
          f"\npackets of L2TP in clear text on the outside: {clear}")
    wanted("no packet came to somebody else", not strays)
    wanted("no L2TP in clear text", not clear)
    site.end()


for module in "l2tp_ppp", "ppp_async", "ppp_synctty", "esp4", "xfrm_user":
    attempt("modprobe", module)
forge.load_module()
try:
    main()
except forge.Failed as error:
    wanted(str(error), False)
sys.stdout.flush()
sys.exit(1 if failed else 0)
