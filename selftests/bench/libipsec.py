#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""libipsec.py CIPHER: strongSwan's kernel-libipsec at the client and the gateway of
contestants.sh, a tunnel between 10.0.0.1 and 10.0.0.2. Says "ready", and stays until it
is killed."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import forge
import ike

PROPOSALS = {"gcm128": "aes128gcm16", "chacha": "chacha20poly1305", "cbc256": "aes256-sha1"}
GATEWAY = "203.0.113.2"
INNER = {"client": "10.0.0.1/32", "gateway": "10.0.0.2/32"}


def charon(ns, other, local, remote):
    end = ike.Charon(ns, kernel="libipsec", load=ike.LOAD)
    end.configure({"bench": {
        "version": 2, "local_addrs": local, "remote_addrs": remote, "encap": True,
        "proposals": "aes256-sha256-modp2048",
        "local": {"auth": "psk", "id": ns}, "remote": {"auth": "psk", "id": other},
        "children": {"net": {"local_ts": INNER[ns], "remote_ts": INNER[other],
                             "esp_proposals": PROPOSALS[sys.argv[1]]}}}}, ike.psk())
    return end


if not (ike.PLUGINS / "libstrongswan-kernel-libipsec.so").exists():
    sys.exit("no kernel-libipsec")
ends = charon("client", "gateway", "%any", GATEWAY), charon("gateway", "client", GATEWAY, "%any")
ike.start_all(ends)
ends[0].initiate("net")
print("ready", flush=True)
signal.pause()
