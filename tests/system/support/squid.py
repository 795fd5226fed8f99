"""A squid of the test's own: an unprivileged user, a free port, a configuration made for one method of login."""
from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from local_pair import Process, accepts, free_port, wait_until

HELPERS = Path("/usr/lib/squid")
SQUID = "/usr/sbin/squid"
NEEDS = (SQUID, f"{HELPERS}/ntlm_fake_auth")
USER, PASSWORD, REALM = "tokyo", "Tulip 7:7 %41", "culvert test"


def basic(folder: Path) -> list[str]:
    users = folder / "basic.users"
    salted = subprocess.run(["openssl", "passwd", "-5", "-stdin"], input=PASSWORD + "\n", capture_output=True, text=True,
                            check=True).stdout.strip()
    users.write_text(f"{USER}:{salted}\n")
    return [f"auth_param basic program {HELPERS}/basic_ncsa_auth {users}", f"auth_param basic realm {REALM}"]


def digest(folder: Path) -> list[str]:
    users = folder / "digest.users"
    secret = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    users.write_text(f"{USER}:{REALM}:{secret}\n")
    return [f"auth_param digest program {HELPERS}/digest_file_auth -c {users}", f"auth_param digest realm {REALM}"]


def ntlm(folder: Path) -> list[str]:
    helper = Path(__file__).resolve().parent / "ntlm_helper.py"
    shutil.copy(helper, folder / "ntlm_helper.py")
    (folder / "ntlm.password").write_text(PASSWORD)
    return [f"auth_param ntlm program /usr/bin/python3 {folder}/ntlm_helper.py {USER} {folder}/ntlm.password"]


def ntlm_fake(_: Path) -> list[str]:
    return [f"auth_param ntlm program {HELPERS}/ntlm_fake_auth"]


class Squid:
    """A running proxy. `login` are the auth_param lines; none: everybody may pass."""

    def __init__(self, folder: Path, login: list[str], name: str = "squid"):
        self.port = free_port()
        self.folder = folder
        self.access_log = folder / f"{name}-access.log"
        config = folder / f"{name}.conf"
        allowed = ["acl known proxy_auth REQUIRED", "http_access allow CONNECT known"] if login else [
            "http_access allow CONNECT all"]
        config.write_text("\n".join([
            f"http_port 127.0.0.1:{self.port}",
            f"pid_filename {folder}/{name}.pid",
            f"cache_log {folder}/{name}-cache.log",
            f"access_log stdio:{self.access_log}",
            "logfile_rotate 0",
            f"coredump_dir {folder}",
            "cache deny all",
            "cache_mem 1 MB",
            "pinger_enable off",
            "icp_port 0",
            "shutdown_lifetime 1 seconds",
            "visible_hostname squid.test",
            *login,
            *allowed,
            "http_access deny all",
        ]) + "\n")
        self.user = "proxy" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        give(folder, self.user)
        self.process = Process([SQUID, "-N", "-f", str(config), "-n", f"t{os.getpid()}{self.port}"],
                               folder / f"{name}.log", user=self.user)
        wait_until("squid listens", lambda: accepts(self.port), 30)

    def tunnels(self) -> int:
        """How many CONNECTs it has opened and seen end."""
        text = self.access_log.read_text(errors="replace") if self.access_log.exists() else ""
        return sum("TCP_TUNNEL/200" in line for line in text.splitlines())

    def stop(self) -> None:
        self.process.stop()


def give(folder: Path, user: str) -> None:
    """The folder and what is in it to `user`, if we are root."""
    if os.geteuid() != 0:
        return
    account = pwd.getpwnam(user)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
