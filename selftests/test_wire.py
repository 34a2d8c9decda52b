#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What is on the wire, as others see it: tshark decrypts it with the keys of
the SAs; scapy decrypts ours and makes packets for us. Outer headers, and IVs
that do not repeat."""
#
# KERNELS: 6.1 6.12 debug
# SAMPLE: 6.12 debug
# TIMEOUT: 150

import hashlib
import shutil
import struct
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import forge
from conformance import A, B, IN_A, IN_B, Opened, Site, back, both
from forge import Esp, check, equal, run, skip

try:
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.ipsec import ESP, SecurityAssociation
except ImportError:
    SecurityAssociation = None

# Name for the tool, key, IV octets; auth, key; for scapy: enc, auth; for tshark: enc, auth
ALGS = [
    ("aes-gcm", 20, 8, None, 0, "AES-GCM", None, "AES-GCM with 16 octet ICV [RFC4106]", "NULL"),
    ("aes-gcm", 36, 8, None, 0, "AES-GCM", None, "AES-GCM with 16 octet ICV [RFC4106]", "NULL"),
    ("chacha20-poly1305", 36, 8, None, 0, "CHACHA20-POLY1305", None, None, None),
    ("aes-ccm", 19, 8, None, 0, "AES-CCM", None, None, None),
    ("aes-cbc", 16, 16, "sha1", 20, "AES-CBC", "HMAC-SHA1-96", "AES-CBC [RFC3602]",
     "HMAC-SHA-1-96 [RFC2404]"),
    ("aes-cbc", 32, 16, "sha256", 32, "AES-CBC", "SHA2-256-128", "AES-CBC [RFC3602]",
     "HMAC-SHA-256-128 [RFC4868]"),
    ("3des-cbc", 24, 8, "md5", 16, "3DES", "HMAC-MD5-96", "TripleDES-CBC [RFC2451]",
     "HMAC-MD5-96 [RFC2403]"),
    ("aes-ctr", 20, 8, "sha512", 64, "AES-CTR", "SHA2-512-256", "AES-CTR [RFC3686]",
     "HMAC-SHA-512-256 [RFC4868]"),
    ("null", 0, 0, "sha384", 48, "NULL", "SHA2-384-192", "NULL", "HMAC-SHA-384-192 [RFC4868]"),
]
COUNTERS = ("aes-gcm", "chacha20-poly1305", "aes-ccm", "aes-ctr")


class Keys:
    """An SA of any algorithm, for forge.sa_add()."""

    def __init__(self, alg, spi, seed):
        (self.enc, size, self.iv, self.auth, auth_size, self.scapy_enc, self.scapy_auth,
         self.tshark_enc, self.tshark_auth) = alg
        self.spi = spi
        self.key = hashlib.shake_128(b"enc" + seed).digest(size)
        self.auth_key = hashlib.shake_128(b"auth" + seed).digest(auth_size)
        self.name = self.enc + (f" {self.auth}" if self.auth else "") + f" key {size}"
        self.scapy = None

    tool_words = Esp.tool_words
    tool_keys = Esp.tool_keys
    esn = False

    def scapy_sa(self):
        if not self.scapy:
            self.scapy = SecurityAssociation(
                ESP, spi=self.spi, crypt_algo=self.scapy_enc, crypt_key=self.key or None,
                auth_algo=self.scapy_auth, auth_key=self.auth_key or None,
                tunnel_header=IP(src=A[4], dst=B[4]), nat_t_header=UDP(sport=4500, dport=4500))
        return self.scapy

    def uat(self):
        def hexed(key):
            return "0x" + key.hex() if key else ""
        return (f'uat:esp_sa:"IPv4","*","*","0x{self.spi:08x}","{self.tshark_enc}",'
                f'"{hexed(self.key)}","{self.tshark_auth}","{hexed(self.auth_key)}"')


site = Site()
site.peer_add(1, *both(4), "selector", *both(6))


def inner_packets(inward=False):
    """Lengths that need every kind of padding, of both families; ports that mean
    nothing to tshark."""
    def one(data, family=4):
        ends = (IN_A, IN_B) if inward else (IN_B, IN_A)
        return forge.udp(ends[0][family], ends[1][family], 40001, 40002, data)
    return [one(bytes(range(size))) for size in range(0, 34, 3)] + [one(b"six", 6),
                                                                   one(bytes(1300))]


def scapy_both_ways(keys_in, keys_out, sent):
    sa = keys_in.scapy_sa()
    inside = inner_packets(True)
    forged = []
    for packet in inside:
        inner = (IP if packet[0] >> 4 == 4 else IPv6)(packet)
        forged.append(bytes(sa.encrypt(inner)[ESP]))
    site.inbound(f"scapy's packets are understood: {keys_in.name}", forged, inside)
    bad = bytes(sa.encrypt(IP(inside[0]))[ESP])
    bad = bad[:-1] + bytes([bad[-1] ^ 1])
    site.inbound(f"once, and unchanged only: {keys_in.name}", [forged[3], bad], [],
                 {"rx-replay-seen": 1, "rx-auth": 1})

    sa = keys_out.scapy_sa()
    got, wrong = [], ""
    for outer in sent:
        try:
            got.append(bytes(sa.decrypt(IP(outer.packet))))
        except Exception as error:      # pylint: disable=broad-except
            wrong = repr(error)
            break
    check(f"scapy understands ours: {keys_out.name}", got == inner_packets(), wrong,
          *(packet.hex() for packet in got))
    spoilt = bytearray(sent[0].packet)
    spoilt[-20] ^= 1
    try:
        sa.decrypt(IP(bytes(spoilt)))
        fails = False
    except Exception:                   # pylint: disable=broad-except
        fails = True
    check(f"and refuses one with a bit changed: {keys_out.name}", fails)


def pcap(path, packets):
    """Raw IP packets in a capture file."""
    with open(path, "wb") as out:
        out.write(struct.pack("=IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for i, packet in enumerate(packets):
            out.write(struct.pack("=IIII", i, 0, len(packet), len(packet)) + packet)


def tshark(sas, captured):
    """captured: (keys, inner, outer packet), in the order of the wire."""
    path = forge.folder / "wire.pcap"
    broken = bytearray(captured[0][2])
    broken[-1] ^= 1
    pcap(path, [packet for _, _, packet in captured] + [bytes(broken)])
    words = [word for keys in sas for word in ("-o", keys.uat())]
    out = run("tshark", "-n", "-r", path, "-o", "esp.enable_encryption_decode:TRUE",
              "-o", "esp.enable_authentication_check:TRUE", "-T", "fields", "-e", "esp.spi",
              "-e", "esp.sequence", "-e", "esp.icv_good", "-e", "esp.icv_bad", "-e", "esp.protocol",
              "-e", "ip.src", "-e", "ipv6.src", "-e", "udp.dstport", "-e", "udp.payload", *words)
    rows = [line.split("\t") for line in out.rstrip("\n").split("\n")]
    equal("tshark sees as many packets", len(rows), len(captured) + 1)
    for keys in sas:
        mine = [(row, inner) for row, (of, inner, _) in zip(rows, captured) if of is keys]
        seen, want = [], []
        for number, (row, inner) in enumerate(mine, 1):
            # the first payload is the ESP packet
            seen.append((row[0], row[1], row[2], row[3], row[5:8] + row[8].split(",")[1:]))
            four = inner[0] >> 4 == 4
            data = inner[28:] if four else inner[48:]
            want.append((f"0x{keys.spi:08x}", str(number), "1", "0",
                         [B[4] + (f",{IN_B[4]}" if four else ""), "" if four else IN_B[6],
                          "4500,40002"] + [data.hex()] * bool(data)))
        check(f"tshark: SPI, sequence number, ICV and what is inside are right: {keys.name}",
              mine and seen == want, *(f"{one} {other}" for one, other in zip(seen, want)
                                       if one != other))
    equal("tshark: a packet with a bit changed has a bad ICV", rows[-1][2:4], ["0", "1"])


def algorithms():
    captured, sas = [], []
    for number, alg in enumerate(ALGS):
        keys_in = Keys(alg, 0x3000 + number, b"in%d" % number)
        keys_out = Keys(alg, 0x4000 + number, b"out%d" % number)
        site.sa_add(1, "in", keys_in)
        site.sa_add(1, "out", keys_out)
        inside = inner_packets()
        sent = site.send(*inside)
        if not check(f"as many packets leave as were sent: {keys_out.name}",
                     len(sent) == len(inside), len(sent)):
            continue
        if keys_out.tshark_enc:
            sas.append(keys_out)
            captured += [(keys_out, inner, outer.packet) for inner, outer in zip(inside, sent)]
        if SecurityAssociation:
            scapy_both_ways(keys_in, keys_out, sent)
        else:
            skip(f"scapy's packets are understood: {keys_in.name}", "no python3-scapy")
    if shutil.which("tshark"):
        tshark(sas, captured)
    else:
        skip("tshark decrypts", "no tshark")


# ------------------------------------------------------------------------ IVs

def ivs(keys, number):
    sent = site.send(*(back(struct.pack("!I", i)) for i in range(number)))
    return [outer.payload[8:8 + keys.iv] for outer in sent]


def initialization_vectors():
    number = 64
    for alg in ALGS:
        if not alg[2]:
            continue
        first, second = (Keys(alg, spi, b"the same key") for spi in (0x5001, 0x5002))
        runs = []
        for keys in first, second:
            site.sa_add(1, "out", keys)
            runs.append(ivs(keys, number))
        site.tool("flush", "espudp0", "sas", 1)
        every = runs[0] + runs[1]
        check(f"no IV is there twice, nor one of another installation of the key: {first.name}",
              len(every) == 2 * number == len(set(every)))
        values = [int.from_bytes(iv, "big") for iv in runs[0]]
        if first.enc in COUNTERS:
            mask = values[0] ^ 1
            check(f"the IV is the sequence number with a random value: {first.name}",
                  [value ^ mask for value in values] == list(range(1, number + 1)) and
                  mask != int.from_bytes(runs[1][0], "big") ^ 1)
        else:
            steps = {b - a for a, b in zip(values, values[1:])}
            flips = [bin(a ^ b).count("1") for a, b in zip(values, values[1:])]
            bits = 8 * first.iv
            check(f"IVs cannot be predicted from those before: {first.name}",
                  len(steps) == number - 1 and 0.4 * bits < sum(flips) / len(flips) < 0.6 * bits,
                  f"{sum(flips) / len(flips)} of {bits} bits change")


# -------------------------------------------------------------- outer headers

def outer_headers():
    esp = Esp(0x6000)
    site.sa_add(1, "out", esp)

    def one(packet, family=4):
        sent = [outer for outer in site.send(packet) if outer.version == family]
        return sent[0] if len(sent) == 1 else None

    def packet4(df=False, tos=0, ttl=64):
        whole = back(b"outer")
        return forge.ip4(IN_B[4], IN_A[4], 17, whole[20:], frag=0x4000 if df else 0, tos=tos,
                         ttl=ttl)
    packet6 = forge.udp(IN_B[6], IN_A[6], 1, 2, b"outer")
    for setting, want in ("copy", (False, True, True)), ("set", (True, True, True)), \
            ("clear", (False, False, False)):
        site.tool("set", "espudp0", "df", setting)
        got = tuple(one(packet).df for packet in (packet4(), packet4(True), packet6))
        equal(f"df {setting}: of an IPv4 packet without DF, with DF, of an IPv6 packet", got, want)
    site.tool("set", "espudp0", "df", "copy")

    equal("the TTL of the outer header is the host's, not the inner one's",
          one(packet4(ttl=3)).ttl, 64)
    site.tool("set", "espudp0", "ttl", 17)
    equal("ttl 17: it is 17", one(packet4()).ttl, 17)
    for dscp, want in ("copy", 0xb8), ("zero", 0):
        site.tool("set", "espudp0", "dscp", dscp)
        equal(f"dscp {dscp}: the outer one of 0xb8", one(packet4(tos=0xb8)).tos, want)
    site.tool("set", "espudp0", "dscp", "copy")
    outer = one(packet4())
    equal("addresses and ports are the tunnel's", (outer.src, outer.dst, outer.sport, outer.dport),
          (B[4], A[4], 4500, 4500))
    equal("the UDP length is the datagram's", outer.length, len(outer.body))
    check("the inner packet is as it was", Opened(esp, outer.payload).payload == packet4())

    site.tool("peer", "set", "espudp0", 1, "local", B[6], "remote", f"[{A[6]}]:4500", "routes",
              "none")
    outer = one(packet4(tos=0xb8), 6)
    equal("IPv6 outside: hop limit and traffic class", (outer.ttl, outer.tos), (17, 0xb8))
    site.tool("set", "espudp0", "ttl", 0)
    equal("ttl 0: the host's", one(packet4(), 6).ttl, 64)
    equal("addresses and ports are the tunnel's, IPv6", (outer.src, outer.dst, outer.sport,
                                                         outer.dport), (B[6], A[6], 4500, 4500))
    site.tool("peer", "set", "espudp0", 1, "local", B[4], "remote", f"{A[4]}:4500", "routes",
              "none")


algorithms()
initialization_vectors()
outer_headers()
forge.end()
