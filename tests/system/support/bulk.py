"""Programs that move as much as they can through a forward: a sink for any number of streams, a source of one."""


def sink_program(address: str, port: int) -> str:
    return f"""
import socket
listener = socket.create_server(("{address}", {port}))
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    try:
        while peer.recv(1 << 20):
            pass
    except OSError:
        pass
"""


def source_program(port: int) -> str:
    return f"""
import socket
stream = socket.create_connection(("127.0.0.1", {port}))
print("ready", flush=True)
try:
    while True:
        stream.sendall(bytes(1 << 20))
except OSError:
    pass
"""
