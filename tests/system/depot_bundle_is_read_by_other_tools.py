#!/usr/bin/env python3
"""culvert-vib bundle and depot: the offline bundle is read by unzip, bsdtar and xmllint, every reference in it leads to a
file with the size and checksum it says, the online depot is the same tree, and what cannot be written leaves nothing."""
import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from support.scenario import Done, Skip, check, main, refuses, run

LINES = ["6.*", "7.*", "8.*", "9.*"]
BULLETIN = ["id", "vendor", "summary", "severity", "category", "urgency", "releaseType", "description", "kbUrl", "contact",
            "componentNameSpec", "componentVersionSpec", "releaseDate", "platforms", "vibList"]


def vib(*words: object) -> Done:
    return run("culvert-vib", *words)


def scenario(folder: Path) -> None:
    for program in ("unzip", "bsdtar", "xmllint"):
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed")
    tree = bundle(folder)
    metadata(tree)
    depot(folder, tree)
    refusals(folder)


def bundle(folder: Path) -> dict[str, bytes]:
    target = folder / "bundle.zip"
    for name, zone in ((target, "UTC"), (folder / "again.zip", "Asia/Tokyo")):
        os.environ["TZ"] = zone
        done = vib("bundle", "--ports", "10000-10010,31031", "--vib-version", "1.2.0-3", "--out", name)
        check(f"bundle prints the path of {name.name}", (done.code, done.out) == (0, f"{name}\n"), done)
    os.environ["TZ"] = "UTC"
    check("twice the same bytes, whatever the time zone", target.read_bytes() == (folder / "again.zip").read_bytes())
    tested = subprocess.run(["unzip", "-t", target], capture_output=True, text=True, check=False)
    check("unzip tests it", tested.returncode == 0 and "No errors" in tested.stdout, tested)
    names = subprocess.run(["bsdtar", "tf", target], capture_output=True, text=True, check=True).stdout.split()
    check("bsdtar lists its members in the order that hosts expect", names == [
        "index.xml", "vendor-index.xml", "metadata.zip",
        "vib20/culvert-firewall/Culvert_bootbank_culvert-firewall_1.2.0-3.vib"], names)
    with zipfile.ZipFile(target) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def parsed(text: bytes) -> ElementTree.Element:
    subprocess.run(["xmllint", "--noout", "-"], input=text, check=True)
    return ElementTree.fromstring(text)


def metadata(tree: dict[str, bytes]) -> None:
    vendor = parsed(tree["index.xml"]).find("vendor")
    check("index.xml names vendor, code and content", (vendor.findtext("name"), vendor.findtext("content/type"))
          == ("Culvert", "http://www.vmware.com/depotmanagement/esx") and re.fullmatch("[A-Z]{3,4}", vendor.findtext("code")))
    check("its index is in the tree", vendor.findtext("indexfile") in tree)
    entries = parsed(tree["vendor-index.xml"]).findall("metadata")
    check("vendor-index.xml has an entry for each line of ESXi", [e.findtext("version") for e in entries] == LINES
          and all(e.findtext("url") in tree and e.findtext("productId") == "embeddedEsx" for e in entries))
    with zipfile.ZipFile(BytesIO(tree["metadata.zip"])) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}
    names = list(inner)
    check("metadata.zip has its four files", names[:2] == ["vmware.xml", "vendor-index.xml"]
          and names[2] == "bulletins/culvert-firewall-1.2.0-3.xml"
          and re.fullmatch(r"vibs/culvert-firewall-\d{1,20}\.xml", names[3]) and len(names) == 4, names)
    check("and the same vendor-index.xml", inner["vendor-index.xml"] == tree["vendor-index.xml"])
    described(parsed(inner[names[3]]), tree)
    bulletin = parsed(inner[names[2]])
    check("the bulletin has its elements in order", [child.tag for child in bulletin] == BULLETIN)
    check("it is a component, for Lifecycle Manager", bulletin.find("componentNameSpec").attrib["name"] == "culvert-firewall"
          and bulletin.find("componentVersionSpec").attrib["version"] == "1.2.0-3")
    identity = Path(next(name for name in tree if name.endswith(".vib"))).stem
    check("it lists the VIB", [v.text for v in bulletin.findall("vibList/vibID")] == [identity])
    old = parsed(inner["vmware.xml"])
    file = old.find("bulletin/vibList/vib/vibFile")
    check("vmware.xml says the same in the older form", old.findtext("version") == "3.0"
          and old.findtext("bulletin/vibList/vib/vibID") == identity
          and file.findtext("checksum/checksum") == hashlib.sha256(tree[file.findtext("relativePath")]).hexdigest())


def described(entry: ElementTree.Element, tree: dict[str, bytes]) -> None:
    content = tree.get(entry.findtext("relative-path"), b"")
    check("the VIB's metadata leads to the VIB", entry.findtext("packed-size") == str(len(content)))
    place = [child.tag for child in entry]
    check("behind software-tags", place.index("relative-path") == place.index("software-tags") + 1)
    sum_of_vib = entry.find("checksum")
    check("with its checksum", sum_of_vib.text == hashlib.sha256(content).hexdigest()
          and sum_of_vib.attrib["checksum-type"] == "sha-256")
    for extra in ("relative-path", "packed-size", "checksum"):
        entry.remove(entry.find(extra))
    own = subprocess.run(["bsdtar", "xOf", "-", "descriptor.xml"], input=content, capture_output=True, check=True).stdout
    check("and else is the VIB's descriptor", ElementTree.tostring(entry) == ElementTree.tostring(parsed(own)))


def depot(folder: Path, tree: dict[str, bytes]) -> None:
    target = folder / "www"
    done = vib("depot", "--ports", "10000-10010,31031", "--vib-version", "1.2.0-3", "--out", target)
    check("depot prints its index", (done.code, done.out) == (0, f"{target}/index.xml\n"), done)
    files = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    check("the online depot holds the tree of the bundle", tree.items() <= files.items(), files.keys())
    check("and the VIB and the bundle under short names", set(files) - set(tree)
          == {"culvert-firewall.vib", "culvert-firewall-bundle.zip"}
          and files["culvert-firewall-bundle.zip"] == (folder / "bundle.zip").read_bytes())
    modes = {oct(path.stat().st_mode & 0o777) for path in target.rglob("*") if path.is_file()}
    check("a web server of any user can read it", modes == {"0o644"} and target.stat().st_mode & 0o777 == 0o755, modes)
    check("verify is content with its VIB", vib("verify", target / "culvert-firewall.vib").code == 0)
    refuses("a directory that exists is left alone", vib("depot", "--out", target), 1, "exists")


def refusals(folder: Path) -> None:
    for name in ("bundle", "depot"):
        refuses(f"{name} into a folder that is not there", vib(name, "--out", folder / "no" / "where"), 1, "where")
        refuses(f"{name} of wrong ports", vib(name, "--out", folder / "never", "--ports", "70000"), 2, "70000")
        refuses(f"{name} without --out", vib(name), 2, "--out")
    file = folder / "file"
    file.write_text("x")
    refuses("a depot below a file", vib("depot", "--out", file / "depot"), 1, "Not a directory")
    left = [path for path in folder.rglob("*") if "tmp-" in path.name or path.name == "never"]
    check("nothing half-written remains", not left, left)


main(scenario)
