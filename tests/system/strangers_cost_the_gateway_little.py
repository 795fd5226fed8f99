#!/usr/bin/env python3
"""Garbage, plain HTTP, half a request, a thousand silent connections and more half handshakes than the gateway holds:
each is ended in time, memory stays small, and the stream of a site beside them goes on."""
import contextlib
import resource
import socket
import ssl
import time
from pathlib import Path

from support.scenario import QUICK_END, LocalPair, check, end_of, log_of, main, wait_for_log, wait_until
from support.tcp import Echo, echoes, source

SILENT = 1000
PLACES = 2048  # For connections that have spoken and are no lanes.


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def stranger(port: int, *, alpn: tuple = ()) -> ssl.SSLSocket:
    """TLS without a certificate; it does not look at the gateway's either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20))


def answer_to(port: int, request: bytes) -> str:
    with stranger(port) as tls:
        with contextlib.suppress(ssl.SSLError, OSError):  # It may be refused before all of it has been sent.
            tls.sendall(request)
        return everything(tls)


def everything(tls: ssl.SSLSocket) -> str:
    tls.settimeout(20)
    answer = b""
    try:
        while piece := tls.recv(65536):
            answer += piece
            head, _, body = answer.partition(b"\r\n\r\n")
            sizes = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            if sizes and len(body) >= int(sizes[0].split(b":")[1]):
                break
    except (ssl.SSLError, OSError):
        pass
    return answer.decode(errors="replace")


def scenario(folder: Path) -> None:
    pair, echo = LocalPair(folder), Echo()
    try:
        pair.start_new(settings=QUICK_END)
        steady = source(pair.add_forward("echo", echo.port))
        check("a stream before the strangers", echoes(steady))
        port, pid = pair.line.target_port, pair.gateway.process.pid
        silent_ones(pair, steady, port, pid)
        rude_ones(pair, port)
        crowd(pair, steady, port, pid)
        check("the stream of the site goes on after all of them", echoes(steady))
        steady.close()
    finally:
        pair.stop()
        echo.close()


def silent_ones(pair: LocalPair, steady: socket.socket, port: int, pid: int) -> None:
    memory, open_before = resident_kib(pid), descriptors(pid)
    began = time.monotonic()
    scan = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(SILENT)]
    # A call of the agent's may have been counted before, and have ended since.
    wait_until("the gateway holds them", lambda: descriptors(pid) >= open_before + SILENT - 5)
    grown = resident_kib(pid) - memory
    check(f"{SILENT} silent connections cost {grown} KiB, at most 1 KiB each and 1 MiB of slack",
          grown <= SILENT + 1024, grown)
    check("the stream goes on beside them", echoes(steady))
    check("health answers beside them", '"ok"' in answer_to(port, b"GET /tunnel/v1/health HTTP/1.1\r\nHost: x\r\n"
                                                            b"Connection: close\r\n\r\n"))
    wait_until("the gateway closes them", lambda: descriptors(pid) <= open_before + 2, 20)
    took = time.monotonic() - began
    check(f"they are closed after 10 s ({took:.1f} s)", 9 < took < 14)
    check("each of them was closed", all(end_of(one, 5) in ("closed", "reset") for one in scan))
    for one in scan:
        one.close()


def crowd(pair: LocalPair, steady: socket.socket, port: int, pid: int) -> None:
    """More strangers than there are places, all in the middle of a handshake, and a line that is cut beside them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    memory = resident_kib(pid)
    places = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(PLACES + 200)]
    for one in places:
        one.sendall(b"\x16\x03\x01\x02\x00\x01")  # Half a ClientHello.
    wait_for_log(pair.gateway, "that are no lanes, its most")
    pair.line.cut()
    wait_until("the agent has noticed", lambda: pair.status()["session"]["state"] != "up")
    began = time.monotonic()
    pair.line.mend()
    wait_until("the session's return", lambda: pair.status()["session"]["state"] == "up", 9)
    check(f"an agent comes back beside {len(places)} strangers ({time.monotonic() - began:.1f} s)", echoes(steady))
    check("and health answers", '"ok"' in answer_to(port, b"GET /tunnel/v1/health HTTP/1.1\r\nHost: x\r\n"
                                                    b"Connection: close\r\n\r\n"))
    held = resident_kib(pid) - memory
    check(f"they cost {held} KiB, at most 64 KiB each of those that are held", held <= PLACES * 64, held)
    for one in places:
        one.close()
    wait_until("the gateway has given back nearly all of it", lambda: resident_kib(pid) - memory < PLACES * 16, 20)
    check(f"when they have gone, {resident_kib(pid) - memory} KiB are left of it", True)


def rude_ones(pair: LocalPair, port: int) -> None:
    for name, sent, logged in (("plain HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "TLS handshake failed"),
                               ("garbage", bytes(range(256)) * 4, "TLS handshake failed"),
                               ("the head of an SSH client", b"SSH-2.0-OpenSSH_9.2\r\n", "TLS handshake failed")):
        before = log_of(pair.gateway).count(logged)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as rude:
            rude.sendall(sent)
            check(f"{name} is ended at once", end_of(rude, 5) in ("closed", "reset"))
        wait_until("its line in the log", lambda: log_of(pair.gateway).count(logged) > before)
    wait_for_log(pair.gateway, "TLS handshake failed", "HTTP")
    check("the log calls plain HTTP by its name", True)

    half = socket.create_connection(("127.0.0.1", port), timeout=20)
    half.sendall(b"\x16\x03\x01\x02\x00\x01")  # Half a ClientHello, then silence.
    slow = stranger(port)
    slow.sendall(b"GET /tunnel/v1/health HT")  # Half a request, then silence.
    began = time.monotonic()

    check("a request line of garbage is answered with 400 or ended",
          answer_to(port, b"\x00\x01\x02 garbage\r\n\r\n")[:12] in ("", "HTTP/1.1 400"))
    answer = answer_to(port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
    check("a head of 100 KB is not read to its end", answer[:12] in ("", "HTTP/1.1 400", "HTTP/1.1 431"), answer[:200])
    answer = answer_to(port, b"POST /tunnel/v1/enrolments HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
    check("a body said to be enormous is refused with 413", answer.startswith("HTTP/1.1 413"), answer[:200])
    answer = answer_to(port, b"POST /tunnel/v1/enrolments HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{]}")
    check("a body that is no JSON is refused with 400", answer.startswith("HTTP/1.1 400"), answer[:200])
    answer = answer_to(port, b"GET /tunnel/v1/targets HTTP/1.1\r\nHost: x\r\n\r\n")
    check("what is a site's is refused to strangers with 401", answer.startswith("HTTP/1.1 401"), answer[:200])
    answer = answer_to(port, b"GET /tunnel/v1/sessions/0123456789abcdef/lanes HTTP/1.1\r\nHost: x\r\nConnection: Upgrade"
                             b"\r\nUpgrade: culvert/1\r\nCulvert-Hello: 01\r\n\r\n")
    check("a lane without a certificate is refused with 401", answer.startswith("HTTP/1.1 401"), answer[:200])
    answer = answer_to(port, b"HEAD /tunnel/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
                             b"GET /tunnel/v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    check("HEAD is refused without a body, and the next answer of the connection is in step",
          answer.startswith("HTTP/1.1 405") and answer.partition("\r\n\r\n")[2].startswith("HTTP/1.1 200"), answer[:400])
    wait_for_log(pair.gateway, "HEAD /tunnel/v1/health refused with 405")
    check("the log names method and path of what was refused", True)
    refused = ""
    try:
        with stranger(port, alpn=("culvert/1",)) as tls:
            tls.sendall(b"GET /tunnel/v1/site HTTP/1.1\r\nHost: x\r\n\r\n")
            refused = everything(tls)
    except OSError:  # ssl.SSLError is one as well.
        pass
    check("who offers culvert/1 without a certificate gets no answer", refused == "", refused)

    check("half a handshake is ended within 10 s", end_of(half, 15) in ("closed", "reset") and
          time.monotonic() - began < 13, time.monotonic() - began)
    rest = everything(slow)
    check("half a request is ended within 10 s", time.monotonic() - began < 13, (rest, time.monotonic() - began))
    half.close()
    slow.close()


main(scenario)
