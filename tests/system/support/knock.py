"""Listens on the given ports of loopback and prints those that a connection reaches: for a namespace with a firewall."""
import selectors
import socket
import sys
import time

SECONDS = 1.0  # A dropped SYN says nothing; an accepted one answers within a millisecond here.


def main() -> None:
    ports = [int(word) for word in sys.argv[1:]]
    servers = [socket.create_server(("127.0.0.1", port)) for port in ports]
    waiting = selectors.DefaultSelector()
    for port in ports:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        waiting.register(client, selectors.EVENT_WRITE, port)
    reached = []
    end = time.monotonic() + SECONDS
    while waiting.get_map() and time.monotonic() < end:
        for key, _ in waiting.select(end - time.monotonic()):
            waiting.unregister(key.fileobj)
            if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                reached.append(key.data)
    print(*[port for port in ports if port in reached])
    for server in servers:
        server.close()


if __name__ == "__main__":
    main()
