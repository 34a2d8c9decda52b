#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""RFC 6040: ECN in and out of the tunnel, all combinations, IPv4 and IPv6."""
#
# KERNELS: 6.1 6.12 debug
# TIMEOUT: 60
# DEBUG-TIER: short

import socket
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import IN_A, IN_B, NEXT_HEADER, Opened, Site, both, version
from forge import Esp, check

NAMES = ("Not-ECT", "ECT(1)", "ECT(0)", "CE")
NOT_ECT, ECT1, ECT0, CE = range(4)
DROP = None

# Figure 4: inner, then outer, to what is delivered
OUT_OF = {
    NOT_ECT: {NOT_ECT: NOT_ECT, ECT0: NOT_ECT, ECT1: NOT_ECT, CE: DROP},
    ECT0: {NOT_ECT: ECT0, ECT0: ECT0, ECT1: ECT1, CE: CE},
    ECT1: {NOT_ECT: ECT1, ECT0: ECT1, ECT1: ECT1, CE: CE},
    CE: {NOT_ECT: CE, ECT0: CE, ECT1: CE, CE: CE},
}
PEERS = {4: 1, 6: 2}            # by family of the outer packet
DSCP = 0xb8                     # expedited forwarding


def packet(family, outbound, tos):
    # outer families have selectors of their own
    ends = (IN_B[family], IN_A[family]) if outbound else (IN_A[family], IN_B[family])
    if family == 4:
        return forge.ip4(*ends, 17, datagram(*ends), tos=tos)
    return forge.ip6(*ends, 17, datagram(*ends), tclass=tos)


def datagram(src, dst):
    return forge.udp(src, dst, 1, 2, b"ecn")[40 if ":" in src else 20:]


def tos_of(data):
    return data[1] if version(data) == 4 else int.from_bytes(data[:2], "big") >> 4 & 0xff


def set_tos(sock, family, tos):
    if family == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)


site = Site()


def selectors(on):
    """Whose turn it is: both outer families have the same inner addresses."""
    for family, peer in PEERS.items():
        if family != on:
            site.tool("peer", "set", "espudp0", peer, "no-selectors")
    site.tool("peer", "set", "espudp0", PEERS[on], "routes", "none",
              "selector", *both(4), "selector", *both(6))


esp_in, esp_out = {}, {}
for outer in 4, 6:
    esp_in[outer], esp_out[outer] = Esp(0x100 + outer), Esp(0x200 + outer)
    site.peer_add(PEERS[outer], family=outer)
    site.sa_add(PEERS[outer], "in", esp_in[outer])
    site.sa_add(PEERS[outer], "out", esp_out[outer])

for outer in 4, 6:
    selectors(outer)
    for inner in 4, 6:
        place = f"IPv{inner} in IPv{outer}"
        for inner_ecn, by_outer in OUT_OF.items():
            for outer_ecn, result in by_outer.items():
                set_tos(site.out[outer], outer, outer_ecn)
                data = packet(inner, False, DSCP | inner_ecn)
                got = site.receive(esp_in[outer].seal(data, NEXT_HEADER[inner]), family=outer)
                set_tos(site.out[outer], outer, 0)
                want = [] if result is DROP else [packet(inner, False, DSCP | result)]
                check(f"decapsulation, {place}: inner {NAMES[inner_ecn]}, outer "
                      f"{NAMES[outer_ecn]} gives {'no packet' if result is DROP else NAMES[result]}",
                      got == want, f"got {[one.hex() for one in got]}",
                      f"want {[one.hex() for one in want]}")
        forge.equal(f"decapsulation, {place}: CE on a packet that is not ECN capable is "
                    "counted, and nothing else", site.counted(), {"rx-ecn": 1})
        for ecn in range(4):
            data = packet(inner, True, DSCP | ecn)
            sent = site.send(data)
            check(f"encapsulation, {place}: {NAMES[ecn]} is copied to the outer header, the "
                  "inner one stays", len(sent) == 1 and sent[0].tos == DSCP | ecn and
                  Opened(esp_out[outer], sent[0].payload).payload == data,
                  *(f"outer {one.tos:#x}" for one in sent))

selectors(4)
site.tool("set", "espudp0", "dscp", "zero")
for ecn in range(4):
    sent = site.send(packet(4, True, DSCP | ecn))
    check(f"with the DSCP zero on the outside, {NAMES[ecn]} is copied still",
          [one.tos for one in sent] == [ecn], *(f"outer {one.tos:#x}" for one in sent))
set_tos(site.out[4], 4, DSCP)
plain = packet(4, False, 0)
check("a DSCP on the outside does not change the inner one (RFC 2983 pipe model)",
      site.receive(esp_in[4].seal(plain)) == [plain])
forge.end()
