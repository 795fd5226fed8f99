"""What other programs make a TLS tunnel with both ends ours: OpenSSH, stunnel, HAProxy, nginx and socat.

Each listens at the near end on loopback (`port`) and ends at the sink on the far end's loopback. AES-128-GCM everywhere;
whatever else is not set here stands at the program's default.
"""
from __future__ import annotations

import os
import pwd
import resource
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

import paths  # noqa: F401
from local_pair import LocalPair, Process, free_port, wait_until

SUITE = "TLS_AES_128_GCM_SHA256"


@dataclass
class Ends:
    """Where the two ends run, and how the near one finds the far one."""
    folder: Path
    sink: int
    near: Sequence[str] = ()  # Words before the near end's commands, for other network namespaces.
    far: Sequence[str] = ()
    far_address: str = "127.0.0.1"
    far_listens: str = "127.0.0.1"
    port: Callable[[], int] = free_port


class Tunnel(ABC):
    name = ""

    def __init__(self, ends: Ends):
        self.ends, self.folder, self.processes = ends, ends.folder, []
        self.port, self.far_port = ends.port(), ends.port()
        self.folder.mkdir(exist_ok=True)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    @abstractmethod
    def start(self) -> None:
        """Both ends, with run_far() and run_near()."""

    def run_far(self, *words: object) -> None:
        """And waits until it takes connections."""
        self.processes.append(Process([*self.ends.far, *map(str, words)], self.folder / "far.log"))
        self._wait_for(self.ends.far, self.far_port)

    def run_near(self, *words: object) -> None:
        self.processes.append(Process([*self.ends.near, *map(str, words)], self.folder / "near.log"))
        self._wait_for(self.ends.near, self.port)

    def _wait_for(self, words: Sequence[str], port: int) -> None:
        probe = [*words, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"]
        wait_until(f"{self.name} taking connections", lambda: subprocess.run(probe, capture_output=True, check=False)
                   .returncode == 0)

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text)
        return file

    def certificate(self) -> Path:
        """Key and certificate in one file, as most of them take it."""
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        LocalPair.command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                          "-days", "2", "-subj", "/CN=peer", "-keyout", key, "-out", certificate)
        both = self.folder / "both.pem"
        both.touch(mode=0o600)
        both.write_text(key.read_text() + certificate.read_text())
        return both

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop(seconds=5)


class Ssh(Tunnel):
    name = "OpenSSH -L"

    def start(self) -> None:
        for name in ("host", "user"):
            LocalPair.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name)
        config = self.write("sshd_config", f"Port {self.far_port}\nListenAddress {self.ends.far_listens}\n"
                            f"HostKey {self.folder}/host\nUsePAM no\nStrictModes no\nPidFile none\n"
                            f"AuthorizedKeysFile {self.folder}/user.pub\nPermitRootLogin prohibit-password\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own, which its unit would make.
        self.run_far(shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", config)
        self.run_near("ssh", "-F", "/dev/null", "-N", "-p", self.far_port, "-i", self.folder / "user",
                      "-c", "aes128-gcm@openssh.com", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                      "-L", f"127.0.0.1:{self.port}:127.0.0.1:{self.ends.sink}",
                      f"{pwd.getpwuid(os.geteuid()).pw_name}@{self.ends.far_address}")


class Stunnel(Tunnel):
    name = "stunnel"

    def start(self) -> None:
        common = f"foreground = yes\npid =\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\nciphersuites = {SUITE}\n"
        self.run_far("stunnel4", self.write("far.conf", f"{common}[far]\naccept = {self.ends.far_listens}:{self.far_port}\n"
                                            f"connect = 127.0.0.1:{self.ends.sink}\ncert = {self.certificate()}\n"))
        self.run_near("stunnel4", self.write("near.conf", f"{common}[near]\nclient = yes\naccept = 127.0.0.1:{self.port}\n"
                                             f"connect = {self.ends.far_address}:{self.far_port}\n"))


class Haproxy(Tunnel):
    name = "HAProxy"
    settings = ""

    def start(self) -> None:
        common = (f"global\n ssl-default-bind-ciphersuites {SUITE}\n ssl-default-server-ciphersuites {SUITE}\n{self.settings}"
                  "defaults\n mode tcp\n maxconn 20000\n timeout connect 20s\n timeout client 1h\n timeout server 1h\n"
                  "listen culvert_peer\n")
        self.run_far("haproxy", "-db", "-f", self.write(
            "far.cfg", f"{common} bind {self.ends.far_listens}:{self.far_port} ssl crt {self.certificate()}\n"
            f" server sink 127.0.0.1:{self.ends.sink}\n"))
        self.run_near("haproxy", "-db", "-f", self.write(
            "near.cfg", f"{common} bind 127.0.0.1:{self.port}\n"
            f" server far {self.ends.far_address}:{self.far_port} ssl verify none\n"))


class HaproxyLarge(Haproxy):
    name = "HAProxy, 128 KiB"
    settings = " tune.bufsize 131072\n"


class Nginx(Tunnel):
    name = "nginx stream"

    def start(self) -> None:
        self.run_far("nginx", "-p", self.folder, "-e", "stderr", "-c", self._config("far", (
            f"proxy_half_close on; listen {self.ends.far_listens}:{self.far_port} ssl backlog=1024; ssl_protocols TLSv1.3; "
            f"ssl_conf_command Ciphersuites {SUITE}; ssl_certificate {self.certificate()}; "
            f"ssl_certificate_key {self.folder}/key.pem; proxy_pass 127.0.0.1:{self.ends.sink};")))
        self.run_near("nginx", "-p", self.folder, "-e", "stderr", "-c", self._config("near", (
            f"proxy_half_close on; listen 127.0.0.1:{self.port} backlog=1024; proxy_ssl on; proxy_ssl_protocols TLSv1.3; "
            f"proxy_ssl_conf_command Ciphersuites {SUITE}; proxy_pass {self.ends.far_address}:{self.far_port};")))

    def _config(self, end: str, server: str) -> Path:
        user = "user root;\n" if os.geteuid() == 0 else ""  # Who else could read the folder?
        connections = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
        return self.write(f"{end}.conf", "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
                          f"{user}daemon off;\npid {self.folder}/{end}.pid;\nworker_processes auto;\n"
                          f"events {{ worker_connections {connections}; }}\n"
                          f"stream {{ server {{ {server} }} }}\n")


class Socat(Tunnel):
    name = "socat"

    def start(self) -> None:
        # It has no option for the suites of TLS 1.3; half-closed streams get 60 s, for its default is half a second.
        config = self.write("openssl.cnf", "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = suites\n"
                            f"[suites]\nCiphersuites = {SUITE}\n")
        words = ("env", f"OPENSSL_CONF={config}", "socat", "-t", "60")
        listen = "reuseaddr,fork,nodelay,backlog=1024"
        self.run_far(*words, f"OPENSSL-LISTEN:{self.far_port},bind={self.ends.far_listens},{listen},verify=0,"
                     f"cert={self.certificate()}",
                     f"TCP:127.0.0.1:{self.ends.sink},nodelay")
        self.run_near(*words, f"TCP-LISTEN:{self.port},bind=127.0.0.1,{listen}",
                      f"OPENSSL:{self.ends.far_address}:{self.far_port},verify=0,nodelay")
