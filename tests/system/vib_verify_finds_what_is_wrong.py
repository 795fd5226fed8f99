#!/usr/bin/env python3
"""culvert-vib verify on VIBs that are wrong in one thing each, made by Python's tarfile and zlib: what a host would refuse
or stumble over is a fault, what would surprise somebody a warning, and a good one has neither."""
import gzip
import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple, Optional

from support.scenario import BIN, Done, Skip, check, main, refuses, run

PATH = "etc/vmware/firewall/thing.xml"
TEXTS = [("type", "bootbank"), ("name", "thing"), ("version", "1.0-1"), ("vendor", "Somebody"), ("summary", "thing"),
         ("description", "thing"), ("release-date", "2026-01-01T00:00:00+00:00"), ("urls", ""), ("relationships", ""),
         ("software-tags", ""), ("system-requires", "<maintenance-mode>false</maintenance-mode>"), ("file-list", None),
         ("acceptance-level", "community"), ("live-install-allowed", "true"), ("live-remove-allowed", "true"),
         ("cimom-restart", "false"), ("stateless-ready", "true"), ("overlay", "false"), ("payloads", None)]


class Entry(NamedTuple):
    path: str
    mode: int = 0o644
    directory: bool = False
    ruleset: str = "thing"


def rules(name: str) -> bytes:
    return (f'<ConfigRoot><service id="0000"><id>{name}</id><rule id="0000"><direction>outbound</direction><protocol>tcp'
            "</protocol><porttype>dst</porttype><port>80</port></rule><enabled>true</enabled><required>false</required>"
            "</service></ConfigRoot>").encode()


def tar_of(entries: list[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode = entry.mode
            content = b"" if entry.directory else rules(entry.ruleset)
            info.type = tarfile.DIRTYPE if entry.directory else tarfile.REGTYPE
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def visor(tar: bytes) -> bytes:
    """Signed as ESXi's own sort of tar."""
    return tar[:257] + b"visor  \0" + tar[265:]


def sums_of(tar: bytes, payload: bytes) -> list[tuple[str, str, str]]:
    return [("sha-256", "gunzip", hashlib.sha256(tar).hexdigest()), ("sha-256", "", hashlib.sha256(payload).hexdigest()),
            ("sha-1", "gunzip", hashlib.sha1(tar).hexdigest())]


def ar(members: list[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, content in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{0:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    return out


def vib(entries: Optional[list[Entry]] = None, files: Optional[list[str]] = None, texts: Optional[dict] = None,
        sums: Optional[list[int]] = None, more_sums: str = "", behind_gzip: bytes = b"", behind_xml: str = "",
        name: str = "p", kind: str = "tgz", tar: Optional[bytes] = None) -> bytes:
    """A VIB that is right in all that is not given."""
    entries = [Entry(PATH)] if entries is None else entries
    tar = tar_of(entries) if tar is None else tar
    payload = gzip.compress(tar, mtime=0) + behind_gzip
    listed = sorted({entry.path for entry in entries if not entry.directory}) if files is None else files
    told = sums_of(tar, payload)
    described = "".join(f'<checksum checksum-type="{sort}"' + (f' verify-process="{process}"' if process else "") + f">{value}"
                        "</checksum>" for sort, process, value in (told if sums is None else [told[i] for i in sums]))
    values = dict(TEXTS) | {
        "file-list": "".join(f"<file>{path}</file>" for path in listed),
        "payloads": f'<payload name="{name}" type="{kind}" size="{len(payload)}">{described}{more_sums}</payload>'}
    values |= texts or {}
    xml = '<vib version="5.0">' + "".join(f"<{element}>{value}</{element}>" for element, value in values.items()
                                          if value is not None) + "</vib>" + behind_xml
    return ar([("descriptor.xml", xml.encode()), ("sig.pkcs7", b""), (name, payload)])


def scenario(folder: Path) -> None:
    def verified(content: bytes) -> Done:
        (folder / "thing.vib").write_bytes(content)
        return run("culvert-vib", "verify", folder / "thing.vib")

    def fault(sentence: str, content: bytes, *pieces: str) -> None:
        done = verified(content)
        check(f"a fault: {sentence}", done.code == 1 and any(line.startswith("fault ") and all(p in line for p in pieces)
                                                             for line in done.out.splitlines()), done)

    def warning(sentence: str, content: bytes, *pieces: str) -> None:
        done = verified(content)
        check(f"a warning: {sentence}", done.code == 0 and any(line.startswith("warning ") and all(p in line for p in pieces)
                                                               for line in done.out.splitlines()), done)

    good = verified(vib([Entry("etc", 0o755, True), Entry(PATH, 0o444)]))
    check("a good one has no finding", (good.code, good.out) == (0, "healthy           Somebody_bootbank_thing_1.0-1\n"), good)
    check("nor have zeros behind the gzip stream, which gzip forgives", "fault" not in verified(vib(behind_gzip=bytes(8))).out)
    good = verified(vib(kind="vgz", tar=visor(tar_of([Entry(PATH)]))))
    check("nor has a visor tar that is called vgz", (good.code, good.out.count("\n")) == (0, 1), good)
    good = verified(vib(kind="vgz", tar=lzma.compress(visor(tar_of([Entry(PATH)])))))
    check("nor one that xz packed before gzip did, as VMware does", "fault" not in good.out and good.code == 0, good)
    payloads(fault, warning)
    names_and_types(fault, warning)
    archives(fault)
    descriptors(fault, warning)
    relations(fault, warning)
    requirements(fault, warning)
    signers(folder)


def payloads(fault, warning) -> None:
    fault("a file-list and an empty tar", vib([], files=[PATH]), PATH, "in no payload")
    for mode in (0o777, 0o666, 0o646):
        fault(f"a file of mode {mode:o}", vib([Entry(PATH, mode)]), "anybody may write", f"{mode:04o}")
    fault("a file that cannot be read", vib([Entry(PATH, 0)]), "may not read")
    for mode in (0o777, 0o1777):
        fault(f"a directory of mode {mode:o}", vib([Entry("etc", mode, True), Entry(PATH)]), "'etc/'", "anybody may write")
    warning("a ruleset that can be run", vib([Entry(PATH, 0o755)]), "0755")
    warning("a directory for one alone", vib([Entry("etc", 0o700, True), Entry(PATH)]), "0700")
    fault("a directory that leaves its place", vib([Entry("../x", 0o755, True), Entry(PATH)]), "leaves its place")
    fault("one path twice", vib([Entry(PATH), Entry(PATH)]), PATH, "twice")
    fault("one ruleset in two files", vib([Entry(PATH), Entry(PATH.replace("thing", "other"))]), "ruleset 'thing'")
    fault("something behind the gzip stream", vib(behind_gzip=b"junk"), "4 bytes behind its end")
    warning("no sum of the stored bytes", vib(sums=[0, 2]), "stored bytes")
    warning("no sha-1", vib(sums=[0, 1]), "sha-1")
    warning("a sum that nobody knows", vib(more_sums='<checksum checksum-type="md4">00</checksum>'), "md4", "not checked")


def names_and_types(fault, warning) -> None:
    for name in ("../x", "a b", "PAYLOAD", "abcdefghi"):
        fault(f"a payload of the name '{name}'", vib(name=name), f"'{name}'", "1 to 8 of a-z")
    for kind in ("foo", "TGZ", ""):
        fault(f"a payload of the type '{kind}'", vib(kind=kind), f"'{kind}'", "tgz, vgz")
    warning("a payload of VMware's boot loaders", vib(kind="boot"), "not looked into")
    fault("a plain tar that is called vgz", vib(kind="vgz"), "no visor tar")
    fault("a visor tar that is called tgz", vib(tar=visor(tar_of([Entry(PATH)]))), "holds a visor tar")


def archives(fault) -> None:
    good = vib()
    for size in (b"-5", b"abc", b"0x10", b""):
        at = good.index(b"sig.pkcs7") + 48
        fault(f"a size '{size.decode()}'", good[:at] + size.ljust(10) + good[at + 10:], "of the size", size.decode())
    fault("something behind the last member", good + b"junk", "neither a member")


def descriptors(fault, warning) -> None:
    fault("a second root element", vib(behind_xml="<vib/>"), "beside its vib element")
    fault("text behind the root element", vib(behind_xml="junk"), "beside its vib element")
    fault("a type that nobody knows", vib(texts={"type": "foobar"}), "foobar", "bootbank")
    fault("a name that is a path", vib(texts={"name": "foo bar/.."}), "foo bar/..")
    for date in ("yesterday", "2026-13-45T99:99:99+99:99", "2026-02-30T00:00:00+00:00"):
        fault(f"the release date {date}", vib(texts={"release-date": date}), date)
    for name in ("relationships", "overlay", "urls"):
        warning(f"no {name}", vib(texts={name: None}), f"<{name}>")


def relations(fault, warning) -> None:
    def related(xml: str) -> bytes:
        return vib(texts={"relationships": f"<depends>{xml}</depends>"})

    fault("a relation that nobody knows", related('<constraint name="esx-base" relation="~~" version="8.0"/>'), "~~", "esx-base")
    fault("a constraint without a name", related("<constraint/>"), "names ''", "<depends>")
    fault("a relation to no version", related('<constraint name="esx-base" relation="="/>'), "a relation alone")
    warning("a constraint of another kind", related("<foo/>"), "<foo>", "<depends>")
    warning("a relationship of another kind", vib(texts={"relationships": "<foo/>"}), "<foo>", "<relationships>")


def requirements(fault, warning) -> None:
    def asking(xml: str) -> bytes:
        return vib(texts={"system-requires": f"<maintenance-mode>false</maintenance-mode>{xml}"})

    fault("a version that no host has", asking('<softwarePlatform version="abc" locale="" productLineID="embeddedEsx"/>'), "abc")
    warning("a product that is not ESXi", asking('<softwarePlatform version="8.*" locale="" productLineID="x"/>'), "'x'")
    warning("a requirement that nobody knows", asking("<junk/>"), "<junk>", "<system-requires>")
    warning("no word of the maintenance mode", vib(texts={"system-requires": ""}), "<maintenance-mode>")


def signers(folder: Path) -> None:
    if shutil.which("openssl") is None or shutil.which("faketime") is None:
        raise Skip("openssl or faketime is not installed")
    key, certificate, signed = folder / "key.pem", folder / "cert.pem", folder / "signed.vib"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Example", "-days", "30",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    key.chmod(0o600)
    check("a VIB is signed", run("culvert-vib", "build", "--key", key, "--certificate", certificate, "--out", signed).code == 0)
    done = run("culvert-vib", "verify", signed)
    check("verify says that it has not looked who signed", done.code == 0 and "CN=Example" in done.out
          and "was not checked" in done.out and "--trust" in done.out, done)
    check("and inspect too", "not checked" in run("culvert-vib", "inspect", signed).out)
    done = run("culvert-vib", "verify", signed, "--trust", certificate)
    check("with roots there is nothing to say", (done.code, done.out.count("\n")) == (0, 1), done)
    words = [BIN / "culvert-vib", "verify", signed, "--trust", certificate, "--json"]
    late = subprocess.run(["faketime", "2 years", *map(str, words)], capture_output=True, text=True, check=False)
    findings = json.loads(late.stdout)["findings"] if late.stdout else late
    check("an expired signer is called that", late.returncode == 1 and "certificate has expired" in str(findings), findings)
    refuses("a key that a community VIB has no use for",
            run("culvert-vib", "build", "--key", key, "--certificate", certificate, "--acceptance-level", "community", "--out",
                folder / "no.vib"), 2, "--key")
    other = folder / "ed25519.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=E", "-keyout", other, "-out",
                    folder / "ed.pem"], check=True, capture_output=True)
    other.chmod(0o600)
    refuses("a key that such a signature does not know",
            run("culvert-vib", "build", "--key", other, "--certificate", folder / "ed.pem", "--out", folder / "no.vib"), 1,
            "neither RSA nor ECDSA")
    check("neither left a file", not (folder / "no.vib").exists())


main(scenario)
