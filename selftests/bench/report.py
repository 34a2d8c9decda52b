#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""report.py OUT.json FOLDER... : judge what guest.sh measured.

Each folder holds one mode's raw material. Prints tables for people, writes OUT
for programs, and fails unless espudp reaches what FIGURES demands."""

import json
import re
import statistics
import sys
import time
from pathlib import Path

MODES = {
    "icount": "Instruction clock, one processor: 1 ns is 1 instruction. It repeats well, and "
              "weighs every instruction alike.",
    "smp": "Two processors, ordinary clock. Under emulation absolute values mean nothing, "
           "ratios do.",
}
ROWS = {"tcp1": "TCP bulk, one flow", "tcp8": "TCP bulk, eight flows",
        **{f"{how}{octets}": f"UDP, {octets} octets, {text}"
           for how, text in (("udp", "one at a time"), ("batch", "in batches"))
           for octets in (64, 512, 1372)},
        "l2tp": "TCP bulk over L2TP and PPP (in the kernel), one flow",
        "rtt": "round trip of 64 octets, idle",
        **{f"peers{count}": f"UDP, 512 octets, {count:,} peers in turn"
           for count in (1, 100, 10000)},
        "state10000": "10,000 peers with an SA pair each"}
BULK = "tcp", "l2tp"
NAMES = {"plain": "plain", "xfrm": "xfrm ESP-in-UDP", "xfrmgro": "xfrm with UDP_GRO",
         "zones": "xfrm, marks and zones", "wireguard": "WireGuard",
         "libipsec": "kernel-libipsec", "espudp": "espudp"}
CIPHERS = {"none": "", "gcm128": "AES-GCM-128", "chacha": "ChaCha20-Poly1305",
           "cbc256": "AES-CBC-256, SHA1-96"}

# as in l2tp.sh
PPP_MTU = 1400

# name in the crypto API
ALGORITHMS = {"gcm128": "rfc4106(gcm(aes))", "chacha": "rfc7539esp(chacha20,poly1305)",
              "cbc256": "authenc(hmac(sha1),cbc(aes))"}


# ---------------------------------------------------------------- what is demanded
#
# Each takes a mode and what follows in FIGURES; None is what was not measured.

def cost(mode, row, contestant, cipher):
    result = find(mode, row, contestant, cipher)
    return result["ns_per_packet"]["median"] if result else None


def ratio(mode, row, cipher, other):
    """How many times faster than another one."""
    ours, theirs = cost(mode, row, "espudp", cipher), cost(mode, row, other, cipher)
    return theirs / ours if ours and theirs else None


def slower(mode, row, cipher, other):
    faster = ratio(mode, row, cipher, other)
    return 1 / faster if faster else None


def floor(mode, row, cipher):
    result = find(mode, row, "espudp", cipher)
    return result.get("floor_over_cost") if result else None


def gap(mode, row, cipher):
    """How much of the way from xfrm down to the floor."""
    ours, theirs = find(mode, row, "espudp", cipher), cost(mode, row, "xfrm", cipher)
    if not ours or not theirs or "floor_ns" not in ours:
        return None
    return (theirs - ours["ns_per_packet"]["median"]) / (theirs - ours["floor_ns"])


def growth(mode, row, cipher, fewer):
    many, few = cost(mode, row, "espudp", cipher), cost(mode, fewer, "espudp", cipher)
    return many / few if many and few else None


def state(mode, row, cipher, what):
    ours, theirs = (next((one[what]["median"] for one in mode["states"]
                          if (one["row"], one["contestant"], one["cipher"]) ==
                          (row, contestant, cipher)), None) for contestant in ("espudp", "xfrm"))
    return ours / theirs if ours and theirs else None


# mode, what is measured of which row and cipher, and what it must be
FIGURES = [
    ("icount", (ratio, "tcp1", "chacha", "xfrm"), ">=", 2.3),
    ("icount", (ratio, "tcp1", "chacha", "wireguard"), ">=", 1.9),
    ("icount", (ratio, "tcp1", "gcm128", "xfrm"), ">=", 2.7),
    ("icount", (floor, "tcp1", "gcm128"), ">=", 0.75),
    ("icount", (floor, "tcp1", "chacha"), ">=", 0.85),
    ("icount", (gap, "tcp1", "cbc256"), ">=", 0.40),
    ("icount", (gap, "l2tp", "gcm128"), ">=", 0.25),
    ("icount", (ratio, "udp64", "gcm128", "xfrm"), ">=", 1.0),
    ("icount", (ratio, "batch64", "gcm128", "xfrm"), ">=", 1.8),
    ("icount", (slower, "rtt", "gcm128", "xfrm"), "<=", 1.05),
    ("icount", (growth, "peers10000", "gcm128", "peers1"), "<=", 1.1),
    ("icount", (state, "state10000", "gcm128", "bytes_per_peer"), "<=", 1.0),
    ("icount", (state, "state10000", "gcm128", "install_ms"), "<=", 1.0),
    ("smp", (ratio, "tcp1", "gcm128", "xfrm"), ">=", 3.0),
    ("smp", (ratio, "tcp1", "chacha", "xfrm"), ">=", 3.0),
    ("smp", (ratio, "tcp1", "chacha", "wireguard"), ">=", 1.5),
]
# which results each needs, beside ours
NEEDS = {floor: ["plain"], gap: ["plain", "xfrm"], state: ["xfrm"], growth: []}
SAYS = {ratio: "times as fast as {}", slower: "time, of {}'s", floor: "floor/cost",
        gap: "of the gap between xfrm and the floor", growth: "cost, of that of {}",
        state: "{}, of xfrm's"}


def words(path):
    try:
        return [line.split() for line in path.read_text().splitlines() if line]
    except FileNotFoundError:
        return []


def read_bulk(row, path, packets, settings):
    """What iperf3 says about a transfer, seen from the receiver."""
    end = json.loads(path.read_text())["end"]
    received = end["sum_received"]

    # addresses, ports, timestamps; the receiver stops before the last packets
    segment = (PPP_MTU if row == "l2tp" else int(settings["INNER_MTU"])) - 52
    if not 0.7 * segment < received["bytes"] / packets < 1.01 * segment:
        raise ValueError(f"{received['bytes']} octets in {packets} segments, "
                         f"which are not {segment} octets long")
    return {
        "mbit": received["bytes"] * 8 / received["seconds"] / 1e6,
        "bytes": received["bytes"],
        "seconds": received["seconds"],
        "packets": packets,
        "lost": end["sum_sent"]["retransmits"],
        "ns_per_packet": received["seconds"] * 1e9 * segment / received["bytes"],
    }


def read_blast(path):
    """What blast says: pairs of a name and a number."""
    text = path.read_text().split()
    return {name: int(value) for name, value in zip(text[::2], text[1::2])}


def octets_of(row):
    """Of the datagrams of a row; udp64 and batch64 have 64."""
    if row.startswith("peers"):
        return 512
    return 64 if row == "rtt" else int(re.sub(r"\D", "", row))


def read_datagrams(row, path):
    said = read_blast(path)
    seconds = (said["last"] - said["first"]) / 1e9
    return {
        "mbit": said["received"] * octets_of(row) * 8 / seconds / 1e6,
        "seconds": seconds,
        "packets": said["sent"],
        "lost": said["sent"] - said["received"],
        "ns_per_packet": seconds * 1e9 / said["received"],
    }


def read_rtt(path):
    said = read_blast(path)
    return {"packets": said["asked"], "lost": said["asked"] - said["answers"],
            "ns_per_packet": said["median"]}


def read_state(path):
    said = {line[0]: line[1:] for line in words(path)}
    peers = int(said["peers"][0])
    return {"packets": peers, "lost": 0, "install_ms": float(said["peers"][2]),
            "delete_ms": float(said["delete"][0]), "ns_per_packet": 0,
            "bytes_per_peer": int(said["memory"][0]) * 1024 / peers}


def read(row, path, packets, settings):
    if row.startswith("state"):
        return read_state(path)
    if row.startswith(BULK):
        return read_bulk(row, path, packets, settings)
    return read_rtt(path) if row == "rtt" else read_datagrams(row, path)


def sealed(row):
    """Octets that the cipher has to do with of a packet, and how often in what is counted.

    1,400 of PPP are 1,420 with L2TP and UDP.
    """
    if row.startswith(BULK):
        return 1420, 2
    return (28 + octets_of(row) + 2 + 3) // 4 * 4, 4 if row == "rtt" else 2


def summary(values):
    median = statistics.median(values)
    return {"median": median, "min": min(values), "max": max(values),
            "spread": (max(values) - min(values)) / median if median else 0}


def read_probe(path):
    """The outer packets and GRO, counted during a transfer that was not timed."""
    probe = {"gro": {}, "outer": {}}
    received = {}
    for line in words(path):
        if line[0] == "napi_gro_receive_entry":
            probe["gro"][line[1]] = {"in": int(line[2])}
        elif line[0] == "netif_receive_skb":
            received[line[1]] = {"packets": int(line[2]), "bytes": int(line[3])}
        elif line[0] == "outer":
            probe["outer"][line[1]] = {"packets": int(line[2]), "bytes": int(line[3])}
    for device, gro in probe["gro"].items():
        gro["out"] = received.get(device, {"packets": 0})["packets"]
    probe["received"] = received
    used = {name: count for name, count in probe["outer"].items() if count["packets"]}
    udp = [name for name in ("zero", "full") if name in used]
    probe["checksum"] = "+".join(udp) or "-"
    packets = sum(used[name]["packets"] for name in udp or used)
    probe["outer_octets"] = round(sum(used[name]["bytes"] for name in udp or used) / packets) \
        if packets else 0
    return probe


def read_crypto(folder):
    """Nanoseconds to encrypt and decrypt, halved, by octets."""
    crypto = {}
    for cipher, algorithm in ALGORITHMS.items():
        drivers, repeats, encrypt = set(), {}, {}
        for name, driver, direction, octets, ns in words(folder / "crypto"):
            if name != algorithm:
                continue
            drivers.add(driver)
            if direction == "en":
                encrypt[octets] = int(ns)
            else:
                repeats.setdefault(int(octets), []).append((encrypt[octets] + int(ns)) / 2)
        if repeats:
            crypto[cipher] = {"algorithm": algorithm, "driver": " ".join(sorted(drivers)),
                              "ns": {octets: summary(ns) for octets, ns in repeats.items()}}
    return crypto


def crypto_ns(crypto, octets):
    """Of one operation; between the lengths that were measured, on a line."""
    known = sorted((size, ns["median"]) for size, ns in crypto["ns"].items())
    for (low, low_ns), (high, high_ns) in zip(known, known[1:]):
        if low <= octets <= high:
            return low_ns + (high_ns - low_ns) * (octets - low) / (high - low)
    raise ValueError(f"no figure of the crypto API for {octets} octets")


def read_mode(folder):
    about, offloads = {}, {}
    for line in words(folder / "about"):
        if line[0] == "offload":
            offloads.setdefault(line[1], {})[line[2]] = line[3]
        else:
            about[line[0]] = " ".join(line[1:])
    mode = {"about": about, "offloads": offloads,
            "settings": {line[0]: " ".join(line[1:]) for line in words(folder / "settings")},
            "crypto": read_crypto(folder), "results": [], "states": [],
            "failures": [" ".join(line) for line in words(folder / "failures")]}

    repeats = {}
    probes = {}
    for row, contestant, cipher, round_, packets, drops, *kind in words(folder / "index"):
        try:
            one = read(row, folder / f"{row}-{contestant}-{cipher}-{round_}",
                       int(packets), mode["settings"])
        except (KeyError, ValueError, ZeroDivisionError) as error:
            mode["failures"].append(f"{row} {contestant} {cipher} {round_}: {error!r}")
            continue
        one.update(round=int(round_), drops=int(drops))
        repeats.setdefault((row, contestant, cipher), []).append(one)
        probes[row, contestant, cipher] = f"probe-{contestant}-{cipher}-{''.join(kind)}"
    for (row, contestant, cipher), ones in repeats.items():
        if row.startswith("state"):
            mode["states"].append({
                "row": row, "contestant": contestant, "cipher": cipher,
                **{what: summary([one[what] for one in ones])
                   for what in ("install_ms", "delete_ms", "bytes_per_peer")}})
            continue
        mode["results"].append({
            "row": row, "contestant": contestant, "cipher": cipher,
            **({"mbit": summary([one["mbit"] for one in ones])} if "mbit" in ones[0] else {}),
            "ns_per_packet": summary([one["ns_per_packet"] for one in ones]),
            "lost": sum(one["lost"] for one in ones),
            "drops": sum(one["drops"] for one in ones),
            "probe": read_probe(folder / probes[row, contestant, cipher]),
            "repeats": ones,
        })

    for result in mode["results"]:
        plain = find(mode, result["row"], "plain", "none")
        xfrm = find(mode, result["row"], "xfrm", result["cipher"])
        crypto = mode["crypto"].get(result["cipher"])
        cost = result["ns_per_packet"]["median"]
        if plain and crypto:
            octets, times = sealed(result["row"])
            result["floor_ns"] = plain["ns_per_packet"]["median"] + \
                times * crypto_ns(crypto, octets)
            result["floor_over_cost"] = result["floor_ns"] / cost
        if xfrm:
            result["over_xfrm"] = xfrm["ns_per_packet"]["median"] / cost
    return mode


def find(mode, row, contestant, cipher):
    for result in mode["results"]:
        if (result["row"], result["contestant"], result["cipher"]) == (row, contestant, cipher):
            return result
    return None


def describe_gro(probe):
    """GRO on the gateway: the outer device, then the tunnel's."""
    parts = []
    for device in ("g0", "tun0"):
        gro = probe["gro"].get(device)
        if gro:
            parts.append(f"{device} {gro['in']}>{gro['out']}")
    return " ".join(parts) or "did not run"


def table(lines, align):
    widths = [max(len(line[i]) for line in lines) for i in range(len(align))]
    for line in lines:
        cells = [text.ljust(width) if side == "<" else text.rjust(width)
                 for text, width, side in zip(line, widths, align)]
        print("  " + "  ".join(cells).rstrip())


def show_row(mode, row, unit):
    lines = [[ROWS[row], "", "Mbit/s", "spread", f"{unit}/packet", "floor", "floor/cost",
              "x xfrm", "lost", "drops", "outer", "csum", "GRO"]]
    for result in mode["results"]:
        if result["row"] != row:
            continue
        probe = result["probe"]
        lines.append([
            NAMES.get(result["contestant"], result["contestant"]),
            CIPHERS.get(result["cipher"], result["cipher"]),
            f"{result['mbit']['median']:,.0f}" if "mbit" in result else "",
            f"{result['ns_per_packet']['spread'] * 100:.0f} %",
            f"{result['ns_per_packet']['median']:,.0f}",
            f"{result['floor_ns']:,.0f}" if "floor_ns" in result else "",
            f"{result['floor_over_cost']:.2f}" if "floor_over_cost" in result else "",
            f"{result['over_xfrm']:.2f}" if "over_xfrm" in result else "",
            str(result["lost"]), str(result["drops"]),
            f"{probe['outer_octets']:,}", probe["checksum"], describe_gro(probe),
        ])
    table(lines, "<<>>>>>>>>><<")
    print()


def show_states(mode):
    for row in ROWS:
        lines = [[ROWS[row], "install, ms", "spread", "delete, ms", "octets/peer"]]
        for state in mode["states"]:
            if state["row"] == row:
                lines.append([NAMES[state["contestant"]], *(text for what in ("install_ms",)
                              for text in (f"{state[what]['median']:,.0f}",
                                           f"{state[what]['spread'] * 100:.0f} %")),
                              f"{state['delete_ms']['median']:,.0f}",
                              f"{state['bytes_per_peer']['median']:,.0f}"])
        if len(lines) > 1:
            table(lines, "<>>>>")
            print()


def show(name, mode):
    about, settings = mode["about"], mode["settings"]
    unit = "instr." if name == "icount" else "ns"
    print(f"{MODES.get(name, name)}")
    print(f"Kernel {about.get('release')}, {about.get('cpu')}; MTU inside "
          f"{settings.get('INNER_MTU')}, {settings.get('BYTES')} octets a transfer, "
          f"{settings.get('ROUNDS')} interleaved rounds.")
    for device, features in mode["offloads"].items():
        print(f"  {device}: " + ", ".join(f"{key} {value}" for key, value in features.items()))
    for cipher, cost in mode["crypto"].items():
        print(f"  crypto API alone, {CIPHERS[cipher]}, 1,420 octets: "
              f"{crypto_ns(cost, 1420):,.0f} {unit} ({cost['driver']})")
    print()
    for row in ROWS:
        if any(result["row"] == row for result in mode["results"]):
            show_row(mode, row, unit)
    show_states(mode)
    for failure in mode["failures"]:
        print(f"  FAILED: {failure}")


def asked(mode, how, row, cipher, *other):
    contestants = mode["settings"]["CONTESTANTS"].split()
    return row in mode["settings"]["ROWS"].split() and \
        cipher in mode["settings"]["CIPHERS"].split() and \
        all(name in contestants for name in ["espudp", *NEEDS.get(how, other)])


def judge(modes):
    """Of what was asked for."""
    checks = []
    for name, (how, *what), sense, bound in FIGURES:
        mode = modes.get(name)
        if not mode or not asked(mode, how, *what):
            continue
        # what a figure may be on another kernel
        if not mode["about"].get("release", "").startswith("6.12."):
            bound *= 0.85 if sense == ">=" else 1 / 0.85
        value = how(mode, *what)
        checks.append({"mode": name, "row": what[0], "cipher": what[1], "figure": how.__name__,
                       "of": what[2:], "value": value, "sense": sense, "bound": bound,
                       "pass": value is not None and
                       (value >= bound if sense == ">=" else value <= bound)})
    return checks


def says(check):
    value = f"{check['value']:.3f}" if check["value"] is not None else "not measured"
    of = [NAMES.get(name, ROWS.get(name, name)) for name in check["of"]]
    return (f"{'ok    ' if check['pass'] else 'MISSED'} {check['mode']}: {ROWS[check['row']]}, "
            f"{CIPHERS[check['cipher']]}: {value} "
            f"{SAYS[globals()[check['figure']]].format(*of)}, "
            f"{'at least' if check['sense'] == '>=' else 'at most'} {check['bound']:.3g}")


def main():
    out, folders = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    modes = {folder.name: read_mode(folder) for folder in folders}
    checks = judge(modes)
    passed = all(check["pass"] for check in checks) and \
        not any(mode["failures"] for mode in modes.values())

    print()
    print("Client - NAT (masquerading) - gateway: three namespaces joined by veth.\n"
          "A packet of TCP is a full segment, and lost what was sent again; floor is the cost of a plain\n"
          "one plus the crypto API's to encrypt and decrypt it; outer is the mean size in octets of what the client hands to\n"
          "the wire; GRO is packets into and out of it at the gateway.")
    print()
    for name, mode in modes.items():
        show(name, mode)
    for check in checks:
        print(says(check))

    out.write_text(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                               "pass": passed, "checks": checks, "modes": modes}, indent=1) + "\n")
    print(f"all figures: {out}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
