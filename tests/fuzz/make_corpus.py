#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets: DIR/fuzz_NAME/*. The same bytes every time: those made here, and
those that fuzzing has found (corpus/NAME.txt, see keep_corpus.py).

Example: make_corpus.py build/corpus
"""

import gzip
import hashlib
import io
import pathlib
import random
import struct
import sys
import tarfile


def frame(kind, flags, stream, offset, payload=b""):
    return struct.pack(">BBHIQ", kind, flags, len(payload), stream, offset) + payload


def tlv(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def frames():
    opening = tlv(1, b"dr-db") + tlv(2, b"192.0.2.7:51234") + tlv(3, b"\x08")
    yield frame(2, 0, 2, 0, opening)
    yield frame(1, 0, 2, 0, b"some bytes")
    yield frame(1, 1, 2, 10)
    yield frame(3, 0, 1, 0)
    yield frame(4, 0, 2, 67, b"refused")
    yield frame(5, 3, 2, 10, struct.pack(">Q", 8192))
    yield frame(6, 0, 2, 100)
    yield frame(7, 0, 0, 3) + frame(8, 0, 0, 1) + frame(9, 0, 0, 1)
    yield frame(10, 0, 0, 30000) + frame(11, 0, 0, 1, b"bye") + frame(12, 0, 0, 0)
    yield opening
    yield struct.pack(">BIIQ", 1, 1, 1, 1 << 26) + bytes(32) + tlv(16, b"x")


def splitter_seeds():
    whole = list(frames())
    yield from whole
    yield b"\x03" + bytes.fromhex("000500140030") + b"".join(whole[:9])
    yield b"\x00" + frame(1, 0, 2, 0, bytes(16368))


def peer_seeds():
    def say(kind, flags, stream, offset, shift, length, payload=b""):
        size = struct.pack(">H", length) if kind == 1 else bytes([length])
        return bytes([0, stream, kind - 1, flags]) + struct.pack(">HB", offset, shift) + size + payload

    opening = tlv(1, b"t")
    opened = say(2, 0, 2, 0, 0, len(opening), opening)
    yield b"\x40\x00" + opened + say(1, 0, 2, 0, 0, 1000) + say(1, 1, 2, 1000, 0, 0)
    yield b"\x40\x00" + opened + bytes([13, 2, 4, 0, 14, 2]) + say(1, 0, 2, 500, 0, 16000)
    yield b"\x40\x00" + opened + bytes([12, 2, 10, 0, 255, 255, 9, 1, 8, 0, 1, 0])


def http_seeds():
    hello = struct.pack(">BIIQ", 1, 1, 1, 1 << 26) + bytes(32)
    yield (b"\x80GET /tunnel/v1/sessions/00000000000004d2/lanes HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\n"
           b"Upgrade: culvert/1\r\nCulvert-Hello: " + hello.hex().encode() + b"\r\n\r\n")
    yield b"\x20POST /tunnel/v1/enrolments HTTP/1.1\r\nHost: gw\r\nContent-Length: 13\r\n\r\n{\"secret\": 1}"
    yield b"\xffPUT /tunnel/v1/forwards HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"\x00GET /tunnel/v1/health HTTP/1.0\r\n\r\nbehind"


def tls_record_seeds():
    def step(kind, content, buffer=255, length=None):
        size = len(content) if length is None else length
        return struct.pack(">BHB", kind, size, buffer) + content

    update = bytes([24, 0, 0, 1, 0])
    yield step(23, b"some bytes") + step(23, bytes(300), 0) + step(21, b"\x01\x00")
    yield step(22, update) + step(23, b"behind it") + step(22, update[:2]) + step(22, update[2:]) + step(23, b"x")
    yield step(22, bytes([4, 0, 0, 1, 0])) + step(21, b"\x01\x5a") + step(0, b"") + step(23, b"", length=0xFFFF)


def websocket_seeds():
    def say(opcode, payload, fin=True, mask=b""):
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
        head = bytes([(0x80 if fin else 0) | opcode, length[0] | (0x80 if mask else 0)]) + length[1:]
        return head + mask + bytes(byte ^ mask[i % 4] if mask else byte for i, byte in enumerate(payload))

    for role, mask in ((0, b""), (1, b"\x01\x80\x33\xff")):
        yield bytes([role, 3]) + say(2, b"bytes", mask=mask) + say(2, bytes(300), mask=mask)
        yield bytes([role, 0]) + say(2, b"in", fin=False, mask=mask) + say(9, b"there?", mask=mask) + say(0, b"two", mask=mask)
        yield bytes([role, 7]) + say(8, b"\x03\xe8", mask=mask) + say(2, b"behind the end", mask=mask)
        yield bytes([role, 1]) + say(1, b"text", mask=mask)
    yield b"\x00\x09\x82\x7f" + struct.pack(">Q", 1 << 63) + b"x"


def ar(members):
    archive = b"!<arch>\n"
    for name, content in members:
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    return archive


def vib_seeds():
    rules = (b"<ConfigRoot><service id='0000'><id>x</id><rule id='0000'><direction>outbound</direction><protocol>tcp</protocol>"
             b"<porttype>dst</porttype><port><begin>1</begin><end>9</end></port></rule><enabled>true</enabled>"
             b"<required>false</required></service></ConfigRoot>")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("etc/vmware/firewall/x.xml")
        entry.size = len(rules)
        tar.addfile(entry, io.BytesIO(rules))
    payload = gzip.compress(packed.getvalue(), mtime=0)
    for level, signature in (("community", b""), ("partner", b"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n")):
        descriptor = (
            "<vib version='5.0'><type>bootbank</type><name>x</name><version>1.0-1</version><vendor>V</vendor>"
            "<summary>s</summary><release-date>2020-01-01T00:00:00+00:00</release-date>"
            f"<file-list><file>etc/vmware/firewall/x.xml</file></file-list><acceptance-level>{level}</acceptance-level>"
            f"<payloads><payload name='x' type='tgz' size='{len(payload)}'><checksum checksum-type='sha-256' "
            f"verify-process='gunzip'>{hashlib.sha256(packed.getvalue()).hexdigest()}</checksum></payload></payloads></vib>")
        yield ar([("descriptor.xml", descriptor.encode()), ("sig.pkcs7", signature), ("x", payload)])


def found_before(name):
    kept = pathlib.Path(__file__).parent / "corpus" / f"{name}.txt"
    lines = kept.read_text().splitlines() if kept.exists() else []
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1])
    chance = random.Random(1)
    session = [bytes(chance.randrange(256) for _ in range(n)) for n in (64, 300, 2000, 8000)]
    seeds_of = {"frame_splitter": splitter_seeds(), "peer": peer_seeds(), "session": session, "http_front": http_seeds(),
                "vib": vib_seeds(), "world": session, "tls_records": tls_record_seeds(), "websocket": websocket_seeds()}
    for name, seeds in seeds_of.items():
        folder = out / f"fuzz_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate([*seeds, *found_before(name)]):
            (folder / f"{i:02}").write_bytes(seed)


if __name__ == "__main__":
    main()
