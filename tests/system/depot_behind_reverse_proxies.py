#!/usr/bin/env python3
"""The agent's depot behind nginx and haproxy, as it is behind vCenter's reverse proxy: downloads pass whole, in parts and with
HEAD, and so does CONNECT through haproxy, whose answer has neither Content-Length nor Transfer-Encoding."""
import os
import re
import shutil
import socket
from pathlib import Path

from local_pair import accepts
from support.depot import configure, curl
from support.haproxy import haproxy
from support.scenario import LocalPair, Process, Skip, check, free_port, main, run, wait_until


def nginx(folder: Path, port: int, depot: int) -> Process:
    account = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(f"""{account}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{depot}; }}
  }}
}}
""")
    return Process([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", str(config), "-e", f"{folder}/nginx-error.log"],
                   folder / "nginx.log")


PROXIES = {"nginx": nginx, "haproxy": haproxy}


def scenario(folder: Path) -> None:
    installed = {name: start for name, start in PROXIES.items() if shutil.which(name, path="/usr/sbin:/usr/bin")}
    if not installed or shutil.which("curl") is None:
        raise Skip("curl, and nginx or haproxy, are not installed")
    pair = LocalPair(folder / "pair")
    try:
        pair.start_new()
        pair.agent.stop()
        depot = free_port()
        configure(pair, pair.agent_config.read_text(), f"port = {depot}")
        pair.start_agent()
        for name, start in installed.items():
            port = free_port()
            there = folder / name
            there.mkdir()
            proxy = start(there, port, depot)
            try:
                wait_until(f"{name} listens", lambda p=port: accepts(p))
                downloads(name, there, port, depot)
                connect(name, port, depot)
            finally:
                proxy.stop()
    finally:
        pair.stop()


def downloads(name: str, folder: Path, port: int, depot: int) -> None:
    base = f"http://127.0.0.1:{port}"
    for file in ("culvert-firewall.vib", "culvert-firewall-bundle.zip", "index.xml", "vendor-index.xml", "metadata.zip"):
        direct = curl("-f", f"http://127.0.0.1:{depot}/{file}")
        got = curl("-f", f"{base}/{file}")
        check(f"{name} passes {file} on as it is", got.returncode == 0 and got.stdout == direct.stdout and got.stdout, got.stderr)
    curl("-f", "-o", folder / "vib", f"{base}/culvert-firewall.vib")
    check(f"the VIB that came by way of {name} is healthy", run("culvert-vib", "verify", folder / "vib").code == 0)
    whole = (folder / "vib").read_bytes()
    curl("-f", "-r", "0-99", "-o", folder / "part", f"{base}/culvert-firewall.vib")
    curl("-f", "-C", "-", "-o", folder / "part", f"{base}/culvert-firewall.vib")
    check("a download that was cut short goes on", (folder / "part").read_bytes() == whole)
    head = curl("-f", "-I", f"{base}/culvert-firewall.vib").stdout.decode().lower()
    check("HEAD tells the length", f"content-length: {len(whole)}\r\n" in head, head)


def connect(name: str, port: int, depot: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(f"CONNECT 127.0.0.1:{depot} HTTP/1.1\r\nHost: 127.0.0.1:{depot}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = line.recv(4096)
            if not piece:
                break
            answer += piece
    head = answer.split(b"\r\n\r\n")[0].lower()
    if not head.startswith(b"http/1.1 200"):
        print(f"ok: {name} takes no CONNECT: {head.splitlines()[:1]}")
        return
    check(f"CONNECT through {name} has neither length nor encoding",
          not re.search(rb"\r\n(content-length|transfer-encoding):", head), head)
    got = curl("-f", "-p", "-x", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{depot}/index.xml")
    check("and curl downloads through it", got.returncode == 0 and b"vendorList" in got.stdout, got.stderr)


main(scenario)
