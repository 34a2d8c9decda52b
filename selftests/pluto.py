# SPDX-License-Identifier: GPL-2.0
"""Libreswan's pluto in namespaces, as far as it can be like ike.py's charon.

Its package cannot be installed beside strongSwan: it is in the cache, where
selftests/vm/libreswan has unpacked it.
"""

import os
import subprocess
from pathlib import Path

import forge
import ike
from forge import wait_for
from ike import SLOW

LIBRESWAN = Path(os.environ.get("ESPUDP_CACHE", Path.home() / ".cache" / "espudp")) / "libreswan"
EXEC = LIBRESWAN / "usr" / "libexec" / "ipsec"
USUAL = Path("/usr/libexec/ipsec")


def need():
    if not (EXEC / "pluto").exists():
        forge.skip_all("no Libreswan in the cache: selftests/vm/libreswan gets it")


def install():
    """To where pluto looks for its programs. In a throw-away machine only."""
    USUAL.parent.mkdir(exist_ok=True)
    if not USUAL.exists():
        USUAL.symlink_to(EXEC)


class Pluto(ike.Logged):
    """conns: name -> ipsec.conf's settings; the other end has a pre-shared key."""

    def __init__(self, ns, secret, **conns):
        super().__init__(ns, "pluto")
        self.conns = conns
        self.conf = self.folder / "ipsec.conf"
        lines = ["config setup", "  uniqueids=no", "  dnssec-enable=no",
                 "  ikev1-policy=accept"]
        for name, settings in conns.items():
            lines += [f"conn {name}", "  authby=secret", "  auto=ignore", "  leftupdown=%disabled"]
            lines += [f"  {key.replace('_', '-')}={value}" for key, value in settings.items()]
        self.conf.write_text("\n".join(lines) + "\n", encoding="ascii")
        (self.folder / "ipsec.secrets").write_text(f': PSK "{secret}"\n', encoding="ascii")
        (self.folder / "nss").mkdir()
        forge.run("certutil", "-N", "--empty-password", "-d", f"sql:{self.folder}/nss")

    def spawn(self):
        with open(self.log_file, "ab") as log:
            self.child = forge.n_spawn(
                self.ns, EXEC / "pluto", "--nofork", "--stderrlog", "--config", self.conf,
                "--secretsfile", self.folder / "ipsec.secrets", "--nssdir", self.folder / "nss",
                "--rundir", self.run, "--ipsecdir", self.folder, "--nhelpers", 1,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self):
        if not self.logged("loading secrets", seconds=60):
            raise forge.Failed(f"pluto in {self.ns}: {self.log()}")
        for name in self.conns:
            done = forge.n_attempt(self.ns, EXEC / "addconn", "--config", self.conf,
                                   "--ctlsocket", self.run / "pluto.ctl", name)
            if done.returncode:
                raise forge.Failed(f"pluto in {self.ns}: {self.log()[-2000:]}")

    def whack(self, *words):
        """Its output, or nothing where that is an error."""
        done = forge.n_attempt(self.ns, EXEC / "whack", "--rundir", self.run, *words)
        return done.stdout if done.returncode == 0 else ""

    def initiate(self, name, wait=True):
        if not self.whack("--initiate", "--name", name, *([] if wait else ["--asynchronous"])):
            return False
        return wait_for(60 * SLOW if wait else 0, lambda: self.installed(name))

    def terminate(self, name):
        self.whack("--terminate", "--name", name)

    def installed(self, name):
        """Lines about its SAs."""
        return [line for line in self.whack("--trafficstatus").splitlines() if f'"{name}"' in line]
