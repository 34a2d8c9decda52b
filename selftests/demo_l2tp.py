#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The second part of demo.sh: L2TP/IPsec clients with equal addresses, a cut of
test_l2tp.py. Ends with 1 when something failed, and says what.
"""

import sys
import time

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
import l2tp
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


class Shown(l2tp.Gateway):
    """Its first peer is made for all to see."""

    def peer_new(self, client, port):
        super().peer_new(client, port)
        if client is self.clients[0]:
            nat = l2tp.nat_address(client.nat)
            print(f"{BLUE}gw# espudp set espudp0 pool 10.254.0.0/24\n"
                  f"gw# espudp peer add espudp0 name {client.name} mode transport role responder \\\n"
                  f"        local {l2tp.GATEWAY} remote {nat}:{port} nat-remote yes \\\n"
                  f"        selector local {l2tp.GATEWAY} remote {nat} proto udp "
                  f"local-port 1701 remote-port 1701{RESET}")


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

Each has the kernel's xfrm in transport mode, xl2tpd and pppd as Debian ships
them, and L2TP's usual port, 1701. Once decrypted, those behind one NAT cannot be
told apart by address and port. espudp has an address of its own for each:
""")
    site = Shown(per_nat=2)
    clients = site.clients
    site.capture()
    site.configure_all()
    site.start()
    ports = site.mappings(clients)
    for client in clients:
        client.up(ports[client])
    print(f"{BLUE}gw# ip route show dev espudp0{RESET}")
    print(n("gw", "ip", "route", "show", "dev", "espudp0").rstrip())

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
