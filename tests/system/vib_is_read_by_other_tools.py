#!/usr/bin/env python3
"""culvert-vib build, inspect, verify: what it builds is read back by ar, bsdtar, tar, xmllint, sha256sum and openssl, byte
for byte the same each time; what others built, broke or faked gets a clear answer, and no half file remains."""
import gzip
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

from support.scenario import BIN, Done, Skip, check, main, refuses, run

DESCRIPTOR_ORDER = ["type", "name", "version", "vendor", "summary", "description", "release-date", "urls", "relationships",
                    "software-tags", "system-requires", "file-list", "acceptance-level", "live-install-allowed",
                    "live-remove-allowed", "cimom-restart", "stateless-ready", "overlay", "payloads"]


def vib(*words: object) -> Done:
    return run("culvert-vib", *words)


def tool(*words: object, stdin: bytes = b"") -> bytes:
    return subprocess.run([str(w) for w in words], input=stdin, capture_output=True, check=True, timeout=30).stdout


def scenario(folder: Path) -> None:
    for program in ("ar", "bsdtar", "tar", "xmllint", "openssl"):
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed")
    community(folder)
    from_configuration(folder)
    signed(folder)
    foreign(folder)
    refusals(folder)


def build(path: Path, *words: object, zone: str = "UTC") -> bytes:
    os.environ["TZ"] = zone
    done = vib("build", "--out", path, *words)
    check(f"build {' '.join(map(str, words))} prints the path", (done.code, done.out) == (0, f"{path}\n"), done)
    return path.read_bytes()


def community(folder: Path) -> None:
    one = build(folder / "one.vib")
    check("the same bytes in another time zone", one == build(folder / "two.vib", zone="Pacific/Auckland"))
    check("ar lists the three members in order", tool("ar", "t", folder / "one.vib").split()
          == [b"descriptor.xml", b"sig.pkcs7", b"culvert"])
    check("the first header is padded with blanks, without time and owner",
          re.fullmatch(rb"!<arch>\ndescriptor\.xml  0 {11}0 {5}0 {5}\d+ +\d+ +`\n", one[:68]), one[:68])
    check("there is no table of symbols or long names", b"\n/ " not in one and b"\n// " not in one)
    descriptor = tool("ar", "p", folder / "one.vib", "descriptor.xml")
    check("sig.pkcs7 is empty", tool("ar", "p", folder / "one.vib", "sig.pkcs7") == b"")
    check("the descriptor has no declaration and no white space between elements",
          descriptor.startswith(b'<vib version="5.0"><type>') and b">\n" not in descriptor)
    top = tool("xmllint", "--format", "-", stdin=descriptor).decode()
    check("its elements stand in order", re.findall(r"^  <([a-z-]+)", top, re.MULTILINE) == DESCRIPTOR_ORDER, top)
    payload_rules(folder, descriptor)


def payload_rules(folder: Path, descriptor: bytes) -> None:
    payload = tool("ar", "p", folder / "one.vib", "culvert")
    unpacked = gzip.decompress(payload)

    def value(xpath: str) -> str:
        return tool("xmllint", "--xpath", f"string({xpath})", "-", stdin=descriptor).decode().strip()

    check("its size is that of the member", value("//payload/@size") == str(len(payload)))
    check("the first checksum is sha-256 of the unpacked payload, as ESXi 8 wants it",
          (value("//checksum[1]/@checksum-type"), value("//checksum[1]/@verify-process"), value("//checksum[1]"))
          == ("sha-256", "gunzip", hashlib.sha256(unpacked).hexdigest()))
    check("the second is of the stored bytes", value("//checksum[2][not(@verify-process)]")
          == hashlib.sha256(payload).hexdigest())
    check("the third is sha-1, for older hosts", value("//checksum[3][@checksum-type='sha-1']")
          == hashlib.sha1(unpacked).hexdigest())
    check("gzip has no name and no time", payload[:8] == b"\x1f\x8b\x08\0\0\0\0\0", payload[:10])
    for lister in (["tar", "tvzf", "-"], ["bsdtar", "tvzf", "-"]):
        listed = tool(*lister, stdin=payload).decode()
        check(f"{lister[0]} lists one plain file of root", listed.startswith("-rw-r--r--")
              and listed.rstrip().endswith("etc/vmware/firewall/culvert.xml") and listed.count("\n") == 1, listed)
    ruleset = tool("tar", "xOzf", "-", stdin=payload)
    check("bsdtar reads the VIB too", tool("bsdtar", "xOf", folder / "one.vib", "culvert") == payload)

    def said(xpath: str) -> str:
        return tool("xmllint", "--xpath", f"string({xpath})", "-", stdin=ruleset).decode().strip()

    told = [said(f"/ConfigRoot/service/{part}") for part in
            ("@id", "id", "rule/@id", "rule/direction", "rule/protocol", "rule/porttype", "rule/port/begin",
             "rule/port/end", "enabled", "required")]
    check("xmllint reads the ruleset", told == ["0000", "culvert", "0000", "outbound", "tcp", "dst", "10000", "10010",
                                                "true", "false"], told)


def from_configuration(folder: Path) -> None:
    config = folder / "agent" / "agent.toml"
    (config.parent / "forwards.d").mkdir(parents=True)
    config.write_text('gateway_url = "https://gw"\n[forwards]\nport_pool = "20000-20004"\n')
    (config.parent / "forwards.d/db.toml").write_text('target = "db"\nport = 31031\n')
    build(folder / "config.vib", "--config", config)
    shown = json.loads(vib("inspect", folder / "config.vib", "--json").out)
    rules = [(rule["first"], rule["last"]) for rule in shown["rulesets"][0]["rules"]]
    check("the ranges come from the agent's configuration and its forwards", rules == [(20000, 20004), (31031, 31031)])


def make_identity(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """A root and a signer below it."""
    files = {part: folder / f"{name}-{part}.pem" for part in ("root", "rootkey", "cert", "key", "csr")}
    tool("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name} root", "-keyout",
         files["rootkey"], "-out", files["root"], "-days", "30")
    tool("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name} VIB Signing", "-keyout", files["key"],
         "-out", files["csr"])
    tool("openssl", "x509", "-req", "-in", files["csr"], "-CA", files["root"], "-CAkey", files["rootkey"],
         "-CAcreateserial", "-out", files["cert"], "-days", "20")
    files["key"].chmod(0o600)
    return files["root"], files["cert"], files["key"]


def signed(folder: Path) -> None:
    root, cert, key = make_identity(folder, "Example")
    other_root, _, other_key = make_identity(folder, "Other")
    first = build(folder / "signed.vib", "--key", key, "--certificate", cert)
    check("signed twice, the same bytes", first == build(folder / "again.vib", "--key", key, "--certificate", cert))
    for member, name in (("descriptor.xml", "d.xml"), ("sig.pkcs7", "s.pem")):
        (folder / name).write_bytes(tool("ar", "p", folder / "signed.vib", member))
    check("the signature is PEM PKCS7", (folder / "s.pem").read_bytes().startswith(b"-----BEGIN PKCS7-----"))
    smime = ["openssl", "smime", "-verify", "-inform", "PEM", "-in", folder / "s.pem", "-content", folder / "d.xml", "-binary"]
    tool(*smime, "-noverify")
    tool(*smime, "-CAfile", root, "-purpose", "any")
    check("openssl smime verifies it, with and without the root", True)
    printed = tool("openssl", "cms", "-cmsout", "-print", "-noout", "-inform", "PEM", "-in", folder / "s.pem").decode()
    check("it is detached, of one signer, with sha256 and without a time", "eContent: <ABSENT>" in printed
          and printed.count("issuerAndSerialNumber") == 1 and "sha256" in printed and "signingTime" not in printed, printed)
    done = vib("verify", folder / "signed.vib", "--trust", root)
    check("verify agrees", done.code == 0 and "healthy" in done.out, done)
    done = vib("verify", folder / "signed.vib", "--trust", other_root)
    check("another root does not vouch for it", done.code == 1 and "sig.pkcs7 does not hold" in done.out, done)
    shown = json.loads(vib("inspect", folder / "signed.vib", "--json").out)
    check("inspect names the signer and the level", "CN=Example VIB Signing" in shown["signature"]["signer"]
          and shown["acceptance_level"] == "partner")
    forged = first.replace(b"Firewall ruleset for", b"Firewall ruleset 4or")
    (folder / "forged.vib").write_bytes(forged)
    done = vib("verify", folder / "forged.vib")
    check("a changed descriptor breaks the signature", done.code == 1 and "sig.pkcs7 does not hold" in done.out, done)
    target = folder / "never.vib"
    refuses("a key of somebody else", vib("build", "--out", target, "--key", other_key, "--certificate", cert), 1,
            "not that of the first certificate")
    out_of_time(folder, cert, key)
    ecdsa(folder)
    key.chmod(0o644)
    refuses("a key that others can read", vib("build", "--out", target, "--key", key, "--certificate", cert), 2, "chmod 600")
    refuses("a key without a certificate", vib("build", "--out", target, "--key", key), 2)
    refuses("a level without a key", vib("build", "--out", target, "--acceptance-level", "partner"), 2, "--key")
    check("none of them left a file", not target.exists())


def out_of_time(folder: Path, cert: Path, key: Path) -> None:
    """A certificate that has expired, or is not valid yet, is warned of in one line; the VIB is built."""
    config = folder / "ca.cnf"
    (folder / "ca.db").write_text("")
    config.write_text("[ca]\ndefault_ca = x\n[x]\npolicy = p\nunique_subject = no\nrand_serial = yes\n"
                      f"database = {folder / 'ca.db'}\n[p]\ncommonName = optional\n")
    tool("openssl", "req", "-new", "-key", key, "-subj", "/CN=Late", "-out", folder / "late.csr")
    for name, first, last, words in (("expired", "20200101000000Z", "20210101000000Z", ("has expired", "2021-01-01T00:00:00Z")),
                                     ("early", "20990101000000Z", "20991231000000Z", ("not valid yet", "2099-01-01T00:00:00Z"))):
        late = folder / f"{name}.pem"
        tool("openssl", "ca", "-batch", "-config", config, "-selfsign", "-keyfile", key, "-md", "sha256", "-notext",
             "-in", folder / "late.csr", "-startdate", first, "-enddate", last, "-out", late, "-outdir", folder)
        for command in ("build", "bundle", "depot"):
            made = folder / f"{name}-{command}"
            done = vib(command, "--out", made, "--key", key, "--certificate", late)
            check(f"{command} with a certificate that is {name}: {done.err.strip()[:120]}", done.code == 0 and made.exists()
                  and len(done.err.splitlines()) == 1 and all(word in done.err for word in ("CN=Late", "verify", *words)), done)
        done = vib("verify", folder / f"{name}-build", "--trust", late)
        check("and verify refuses it, as was said", done.code == 1 and "sig.pkcs7 does not hold" in done.out, done)
    done = vib("build", "--out", folder / "in-time.vib", "--key", key, "--certificate", cert)
    check("a valid one is not warned of", done.code == 0 and not done.err, done)


def ecdsa(folder: Path) -> None:
    key, cert = folder / "ec.key", folder / "ec.pem"
    tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=EC",
         "-days", "2", "-keyout", key, "-out", cert)
    key.chmod(0o600)
    words = ("--key", key, "--certificate", cert)
    one, two = (build(folder / f"{name}.vib", *words) for name in ("ec1", "ec2"))
    check("an ECDSA signature differs each time, as the help says", one != two and "ECDSA" in vib("build", "--help").out)
    done = vib("verify", folder / "ec2.vib", "--trust", cert)
    check("and holds", done.code == 0, done)


def foreign(folder: Path) -> None:
    """A VIB as community scripts make them: GNU ar, tar and gzip, old checksums alone."""
    work = folder / "foreign"
    (work / "root/etc/init.d").mkdir(parents=True)
    (work / "root/etc/init.d/thing").write_text("#!/bin/sh\n")
    (work / "root/etc/init.d/thing").chmod(0o755)
    tool("tar", "czf", work / "payload1", "--owner=1000", "--group=1000", "-C", work / "root", "etc")
    payload = (work / "payload1").read_bytes()
    (work / "descriptor.xml").write_text(
        '<vib version="5.0"><type>bootbank</type><name>thing</name><version>1.0-1</version><vendor>Somebody</vendor>'
        '<summary>thing</summary><description/><release-date>2020-01-01T00:00:00</release-date><urls/><relationships/>'
        '<software-tags/><system-requires><maintenance-mode>false</maintenance-mode></system-requires>'
        '<file-list><file>etc/init.d/thing</file></file-list><acceptance-level>community</acceptance-level>'
        '<live-install-allowed>true</live-install-allowed><payloads>'
        f'<payload name="payload1" type="tgz" size="{len(payload)}">'
        f'<checksum checksum-type="sha-256">{hashlib.sha256(payload).hexdigest()}</checksum>'
        '</payload></payloads></vib>')
    (work / "sig.pkcs7").write_bytes(b"")
    tool("ar", "rcD", work / "thing.vib", work / "descriptor.xml", work / "sig.pkcs7", work / "payload1")
    done = vib("verify", work / "thing.vib")
    check("a VIB of GNU ar is read; its one fault is the missing checksum", done.code == 1 and done.out.count("fault ") == 1
          and "ESXi 8" in done.out, done)
    check("its file out of place and its owner are warnings", "--force" in done.out and "root does not own" in done.out, done)
    shown = json.loads(vib("inspect", work / "thing.vib", "--json").out)
    check("inspect lists it", shown["id"] == "Somebody_bootbank_thing_1.0-1"
          and shown["payloads"][0]["files"][0]["mode"] == "0755", shown)


def without_room(*words: object) -> Done:
    """Files may not grow past 64 bytes: what a full disk does, for this one process."""
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it; the program has to by itself.
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    done = subprocess.run([BIN / "culvert-vib", *map(str, words)], capture_output=True, text=True, timeout=30, check=False,
                          preexec_fn=limit)
    return Done(done.returncode, done.stdout, done.stderr)


def interrupted(folder: Path) -> None:
    """TERM and INT at many moments of a run: the depot is whole or not there, and nothing lies beside it."""
    place = folder / "interrupted"
    place.mkdir()
    ended = 0
    for run_number in range(80):
        program = subprocess.Popen([BIN / "culvert-vib", "depot", "--out", place / "depot"], stdout=subprocess.DEVNULL)
        try:
            program.wait(timeout=run_number * 0.002)
        except subprocess.TimeoutExpired:
            program.send_signal((signal.SIGTERM, signal.SIGINT)[run_number % 2])
            ended += program.wait(timeout=30) != 0
        left = sorted(path.name for path in place.iterdir())
        check_quiet(left in ([], ["depot"]), left)
        if left:
            files = sum(1 for path in (place / "depot").rglob("*") if path.is_file())
            check_quiet(files == 6, files)
            shutil.rmtree(place / "depot")
    check(f"80 runs, {ended} of them ended by a signal, left a whole depot or nothing", ended > 0)


def check_quiet(holds: bool, shown: object) -> None:
    if not holds:
        check("an interrupted run leaves nothing half-written", False, shown)


def no_regular_file(folder: Path, good: bytes) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        done = vib("build", "--out", fifo)
        check("a FIFO is written into and stays one", done.code == 0 and reader.communicate(timeout=30)[0] == good
              and fifo.is_fifo(), done)
    piped = subprocess.run([BIN / "culvert-vib", "build", "--out", "/dev/stdout"], capture_output=True, check=False, timeout=30)
    check("/dev/stdout gets the VIB and nothing else", (piped.returncode, piped.stdout) == (0, good), piped)
    link = folder / "link.vib"
    link.symlink_to(folder / "behind.vib")
    done = vib("build", "--out", link)
    check("a link is followed", done.code == 0 and link.is_symlink() and (folder / "behind.vib").read_bytes() == good, done)
    full = folder / "full"
    full.symlink_to("/dev/full")
    refuses("a full device", vib("rules", "--for", "csv", "--role", "agent", "--out", full), 1, "full")
    check("and it is still a device", full.is_char_device())


def refusals(folder: Path) -> None:
    good = (folder / "one.vib").read_bytes()
    bad = folder / "bad.vib"
    for what, content in (("an empty file", b""), ("a text", b"hello\n"), ("a zip", b"PK\3\4" + bytes(100)),
                          ("an archive cut short", good[:700]), ("an archive of nothing", b"!<arch>\n"),
                          ("a size that lies", good.replace(b"`\n", b"`\n", 1)[:56] + b"9999999999`\n" + good[68:])):
        bad.write_bytes(content)
        refuses(f"inspect of {what}", vib("inspect", bad), 1, "bad.vib")
    with bad.open("wb") as file:
        file.truncate(3 << 30)  # A hole: no disk is used.
    refuses("a file larger than any VIB", vib("verify", bad), 1, "larger than any VIB")
    for path in (folder, Path("/dev/zero"), folder / "none.vib"):
        refuses(f"inspect of {path.name}", vib("inspect", path), 1, str(path))
    target = folder / "never.vib"
    for words in (["--ports", ""], ["--ports", "0"], ["--ports", "5-1"], ["--ports", "1-10,5"], ["--vib-version", "new"],
                  ["--release-date", "now"], ["--acceptance-level", "best"], ["--replaces", "<"],
                  ["--ports", "80", "--config", "x.toml"]):
        refuses(f"build {' '.join(words)}", vib("build", "--out", target, *words), 2)
    for words in (["build"], ["bundle"], ["depot"], ["rules", "--for", "csv", "--role", "agent"]):
        refuses(f"{words[0]} into an empty path", vib(*words, "--out", ""), 2, "--out")
    refuses("an empty path of a configuration", vib("build", "--out", target, "--config", ""), 2, "--config")
    refuses("a directory that is not there", vib("build", "--out", folder / "no/where.vib"), 1, "where.vib")
    refuses("a disk without room", without_room("build", "--out", target), 1, "free some space")
    refuses("a depot without room", without_room("depot", "--out", target), 1, "free some space")
    interrupted(folder)
    no_regular_file(folder, good)
    done = vib("build", "--out", folder)
    check("a directory gets a file named after the VIB", done.out.endswith("Culvert_bootbank_culvert-firewall_0.1.0-1.vib\n"))
    left = [name for name in os.listdir(folder) if "tmp-" in name or name == "never.vib"]
    check("no half-written file remains", not left, left)


main(scenario)
