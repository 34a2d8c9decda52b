#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends ESP packets on demand, for tests in bash (tunnel.sh, inject_start).

A line "NS SRC SPORT DST SPI SEQ [bad|keepalive|again] [COUNT]" on standard
input sends, from that namespace, address and port, an inner datagram of the
left end for the right one; "bad" with a wrong ICV, COUNT with consecutive
numbers, "again" all with the same number. "sent" answers. SAs have no cipher
and the key that "inject.py key" prints.
"""

import os
import sys

os.environ["ESPUDP_RUNNER"] = "1"       # the module is the caller's

import forge  # noqa: E402, pylint: disable=wrong-import-position

if sys.argv[1:] == ["key"]:
    print(forge.Esp(0).auth_key.hex())
    sys.exit()

socks = {}
INNER = forge.udp("10.1.0.1", "10.2.0.1", 1111, 9999, b"injected")

for line in sys.stdin:
    ns, src, sport, dst, spi, seq, *rest = line.split()
    key = ns, src, sport, dst
    if key not in socks:
        socks[key] = forge.sender(ns, dst, src=src, sport=int(sport))
    esp = forge.Esp(int(spi, 0))
    for i in range(int(rest[1]) if rest[1:] else 1):
        packet = esp.seal(INNER, seq=int(seq) + (i if rest[:1] != ["again"] else 0))
        if rest[:1] == ["bad"]:
            packet = packet[:-1] + bytes([packet[-1] ^ 1])
        elif rest[:1] == ["keepalive"]:
            packet = b"\xff"
        forge.send(socks[key], packet)
    print("sent", flush=True)
