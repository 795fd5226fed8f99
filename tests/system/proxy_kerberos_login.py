#!/usr/bin/env python3
"""Negotiate with a real key distribution centre, squid's negotiate_kerberos_auth and the agent's keytab."""
import os
import subprocess
from pathlib import Path

from support import squid
from support.play import Scenario, play
from support.proxied import carries, pair_with_echo, restart_agent, wait_for_session, wait_for_trouble
from support.scenario import PairError, Process, check, free_port, wait_until
from support.squid import HELPERS, Squid

REALM = "CULVERT.TEST"
PROXY = "localhost"  # Its service principal is HTTP/localhost.
SBIN = Path("/usr/sbin")


class Kdc:
    """A realm of its own on a free port of loopback, with the service and one agent."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.environment = {"KRB5_CONFIG": str(folder / "krb5.conf"), "KRB5_KDC_PROFILE": str(folder / "kdc.conf")}
        (folder / "krb5.conf").write_text(f"""[libdefaults]
 default_realm = {REALM}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {REALM} = {{
  kdc = 127.0.0.1:{self.port}
 }}
[domain_realm]
 {PROXY} = {REALM}
""")
        (folder / "kdc.conf").write_text(f"""[kdcdefaults]
 kdc_listen = 127.0.0.1:{self.port}
 kdc_tcp_listen = 127.0.0.1:{self.port}
[realms]
 {REALM} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/kadm5.acl
  max_life = 1h
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
""")
        self.run(SBIN / "kdb5_util", "create", "-s", "-r", REALM, "-P", "for this test alone")
        for principal, keytab in ((f"HTTP/{PROXY}", "service.keytab"), ("agent", "agent.keytab")):
            self.admin(f"addprinc -randkey {principal}")
            self.admin(f"ktadd -k {folder}/{keytab} {principal}")
        os.environ.update(self.environment)
        self.process = Process([str(SBIN / "krb5kdc"), "-n"], folder / "krb5kdc.log")
        wait_until("the KDC gives out a ticket", self.gives_tickets)

    def run(self, *words: object) -> str:
        done = subprocess.run([str(word) for word in words], env={**os.environ, **self.environment}, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        if done.returncode != 0:
            raise PairError(f"{words[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def admin(self, query: str) -> None:
        self.run(SBIN / "kadmin.local", "-r", REALM, "-q", query)

    def gives_tickets(self) -> bool:
        try:
            self.run("kinit", "-c", self.folder / "probe.cache", "-k", "-t", self.folder / "agent.keytab", "agent")
            return True
        except PairError:
            return False


def scenario(scene: Scenario) -> None:
    place = scene.folder / "kdc"
    place.mkdir(mode=0o755)
    kdc = Kdc(place)
    scene.keep(kdc.process)
    agent_keytab = scene.folder / "agent.keytab"
    agent_keytab.write_bytes((place / "agent.keytab").read_bytes())
    agent_keytab.chmod(0o600)
    home = scene.folder / "squid"
    home.mkdir(mode=0o755)
    (home / "service.keytab").write_bytes((place / "service.keytab").read_bytes())
    login = [f"auth_param negotiate program {HELPERS}/negotiate_kerberos_auth -k {home}/service.keytab"
             f" -s HTTP/{PROXY}@{REALM}", "auth_param negotiate children 2 startup=1 idle=1"]
    with pair_with_echo(scene.folder) as (pair, port):
        proxy = Squid(home, login)
        try:
            url = f"http://{PROXY}:{proxy.port}"
            for auth in ("negotiate", "auto"):
                restart_agent(pair, url=url, auth=auth, keytab=agent_keytab)
                wait_for_session(pair)
                check(f"auth = {auth}: a stream goes through by Kerberos", carries(port))
            restart_agent(pair, url=url, auth="negotiate")
            error = wait_for_trouble(pair, "Kerberos", "proxy.keytab", f"HTTP/{PROXY}")
            check(f"without a ticket the agent says what to do: {error}", True)
        finally:
            proxy.stop()
        check("squid knew the agent by its principal", f"agent@{REALM}" in proxy.access_log.read_text())


play(scenario, needs=squid.NEEDS + (str(SBIN / "krb5kdc"), str(SBIN / "kadmin.local"), "kinit"))
