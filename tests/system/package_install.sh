#!/usr/bin/env bash
# Rates the sandbox of the units. Then it installs the packages of out/ in a fresh Debian 12 root and lives with them:
# first in a plain chroot, then booted with systemd (systemd-nspawn, network of its own). That needs root, debootstrap,
# systemd-nspawn and a package mirror; without them it says so and exits 77 (skipped).
#
#   tests/system/package_install.sh [FOLDER]     FOLDER keeps the root afterwards; default: a temporary one
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "package_install: skipped: $*" >&2; exit 77; }
die() { echo "package_install: $*" >&2; exit 1; }

# In tenths; deploy/README.md names the figure. Needs neither root nor packages, so it comes before what may be skipped.
readonly kExposureAtMost=15
command -v systemd-analyze >/dev/null || skip "systemd-analyze is missing; run ./dev setup package"
echo "package_install: the sandbox of both units is rated $((kExposureAtMost / 10)).$((kExposureAtMost % 10)) or better"
for unit in deploy/systemd/*.service; do
  rated=$(systemd-analyze security --offline=true --no-pager --threshold="$kExposureAtMost" "$unit" 2>&1) ||
    { grep '✗' <<<"$rated" >&2 || true; die "$unit: $(tail -n 1 <<<"$rated")"; }
done

[[ $(id -u) == 0 ]] || skip "needs root"
for tool in debootstrap systemd-nspawn; do
  command -v "$tool" >/dev/null || skip "$tool is missing; run ./dev setup check"
done
compgen -G 'out/culvert-*.deb' >/dev/null || die "there are no packages in out/; run ./dev package"

if [[ $# -gt 0 ]]; then
  root=$1
  mkdir -p "$(dirname "$root")"
else
  scratch=$(mktemp -d)
  root=$scratch/root
  trap 'rm -rf --one-file-system "$scratch"' EXIT
fi
in_root() { scripts/fresh_root.sh --empty "$root" "$@"; }

in_root apt-get -qq update >"${root}.apt" 2>&1 || skip "no package mirror: $(tail -n 1 "${root}.apt")"
in_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q install --no-install-recommends systemd-sysv dbus socat \
  >"${root}.apt" 2>&1 || { tail -n 20 "${root}.apt" >&2; die "could not prepare the root"; }

rm -rf "$root/trial" && mkdir "$root/trial"
cp out/culvert-*.deb tests/system/package/*.sh "$root/trial/"
# The same packages once more as a newer version, to upgrade to.
for package in out/culvert-*.deb; do
  unpacked=$(mktemp -d)
  dpkg-deb -R "$package" "$unpacked"
  sed -i 's/^Version: .*/&+newer/' "$unpacked/DEBIAN/control"
  dpkg-deb --root-owner-group -b "$unpacked" "$root/trial/newer-$(basename "$package")" >/dev/null
  rm -rf "$unpacked"
done

echo "package_install: in a chroot without systemd"
in_root sh /trial/in_chroot.sh || die "failed in the chroot; the line above names the step"

echo "package_install: booted with systemd"
rm -f "$root/usr/sbin/policy-rc.d"
cat >"$root/etc/systemd/system/trial.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=300
ExecStart=/bin/sh /trial/booted.sh
StandardOutput=file:/trial/log
StandardError=file:/trial/log
ExecStopPost=/bin/systemctl --no-block poweroff
UNIT
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -sf ../trial.service "$root/etc/systemd/system/graphical.target.wants/trial.service"
timeout 420 systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --private-network --boot \
  </dev/null >"${root}.boot" 2>&1 || true
if ! grep -qx 'trial passed' "$root/trial/log" 2>/dev/null; then
  tail -n 60 "$root/trial/log" >&2 2>/dev/null || tail -n 40 "${root}.boot" >&2
  die "failed under systemd; the last 'step' line above names where"
fi
grep '^step' "$root/trial/log"
echo "package_install: passed"
