"""A login helper for squid that knows one user and checks NTLMv2 for real: squid's own ntlm_fake_auth believes anybody.

Arguments: user, file with the password. Speaks squid's helper protocol: YR -> TT challenge, KK -> AF user or NA why.
"""
import base64
import hashlib
import hmac
import os
import struct
import sys

SIGNATURE = b"NTLMSSP\0"
# Unicode, request target, NTLM, always sign, target is a domain, extended session security, target info.
FLAGS = 0x00000001 | 0x00000004 | 0x00000200 | 0x00008000 | 0x00010000 | 0x00080000 | 0x00800000


def md4(message: bytes) -> bytes:
    """RFC 1320; OpenSSL 3 no longer has it switched on."""
    def rotate(x: int, n: int) -> int:
        x &= 0xFFFFFFFF
        return (x << n | x >> (32 - n)) & 0xFFFFFFFF

    rounds = (
        (lambda x, y, z: x & y | ~x & z, 0, (3, 7, 11, 19), range(16)),
        (lambda x, y, z: x & y | x & z | y & z, 0x5A827999, (3, 5, 9, 13),
         [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]),
        (lambda x, y, z: x ^ y ^ z, 0x6ED9EBA1, (3, 9, 11, 15), [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]),
    )
    padded = message + b"\x80" + bytes((55 - len(message)) % 64) + struct.pack("<Q", 8 * len(message))
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    for at in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[at:at + 64])
        a, b, c, d = state
        for mix, constant, shifts, order in rounds:
            for step, index in enumerate(order):
                a, b, c, d = d, rotate(a + mix(b, c, d) + words[index] + constant, shifts[step % 4]), b, c
        state = [(old + new) & 0xFFFFFFFF for old, new in zip(state, (a, b, c, d))]
    return struct.pack("<4I", *state)


def challenge_message(challenge: bytes) -> bytes:
    name = "TEST".encode("utf-16-le")
    info = struct.pack("<HH", 2, len(name)) + name + struct.pack("<HH", 1, len(name)) + name + struct.pack("<HH", 0, 0)
    start = 48
    return (SIGNATURE + struct.pack("<I", 2) + struct.pack("<HHI", len(name), len(name), start) +
            struct.pack("<I", FLAGS) + challenge + bytes(8) +
            struct.pack("<HHI", len(info), len(info), start + len(name)) + name + info)


def field(message: bytes, at: int) -> bytes:
    size, _, start = struct.unpack_from("<HHI", message, at)
    return message[start:start + size]


def answer_is_right(message: bytes, challenge: bytes, user: str, password: str) -> bool:
    response, domain, name = field(message, 20), field(message, 28), field(message, 36)
    if name.decode("utf-16-le").lower() != user.lower() or len(response) < 24 + 28:
        return False  # 24 bytes are all that NTLMv1 has.
    key = hmac.new(md4(password.encode("utf-16-le")), user.upper().encode("utf-16-le") + domain, hashlib.md5).digest()
    expected = hmac.new(key, challenge + response[16:], hashlib.md5).digest()
    return hmac.compare_digest(expected, response[:16])


def main() -> None:
    user, password = sys.argv[1], open(sys.argv[2], encoding="utf-8").read()
    challenge = b""
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["YR"]:
            challenge = os.urandom(8)
            print("TT", base64.b64encode(challenge_message(challenge)).decode(), flush=True)
        elif words[:1] == ["KK"] and answer_is_right(base64.b64decode(words[1]), challenge, user, password):
            print("AF", user, flush=True)
        else:
            print("NA the login is wrong", flush=True)


if __name__ == "__main__":
    assert md4(b"abc").hex() == "a448017aaf21d8525fc10ae87aa6729d"
    main()
