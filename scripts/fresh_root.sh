#!/usr/bin/env bash
# A fresh Debian 12 (debootstrap minbase) in a folder, a copy of this source tree in its /src, and one command inside.
# Package sources are those this machine uses, read from apt at run time; nothing about them is stored in the tree.
#
#   scripts/fresh_root.sh FOLDER                      make the root and copy the tree
#   scripts/fresh_root.sh FOLDER ./dev test           … and run a command in its /src
#   scripts/fresh_root.sh --empty FOLDER COMMAND…     the same without copying the tree
#
# An existing FOLDER made by this script is used again. Mounts are always taken down, also on Ctrl-C; the folder stays.
set -euo pipefail

die() { echo "fresh_root: $*" >&2; exit 1; }

copy_tree=yes
if [[ ${1:-} == --empty ]]; then copy_tree=no; shift; fi
root=${1:-}
[[ -n $root ]] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
shift
[[ $(id -u) == 0 ]] || die "making a root needs root; run it with sudo"
command -v debootstrap >/dev/null || die "debootstrap is missing; run: ./dev setup check"
source_tree=$(cd "$(dirname "$0")/.." && pwd)
root=$(realpath -m "$root")
[[ $root != / && $source_tree/ != "$root"/* ]] || die "$root is not a folder to put a root into"

# URI, release and component of every package index this machine uses.
indexes() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 ~ /^bookworm/ && $3 == "main"' | sort -u
}

make_root() {
  local uri
  uri=$(indexes | awk '$2 == "bookworm" { print $1; exit }')
  [[ -n $uri ]] || die "apt on this machine knows no bookworm source; run: apt-get update"
  mkdir -p "$root"
  [[ -z $(ls -A "$root") ]] || die "$root exists and was not made by this script; name an empty folder"
  local extra=()
  [[ $uri != https:* ]] || extra=(--include=ca-certificates)
  echo "fresh_root: installing Debian 12 into $root"
  debootstrap --variant=minbase "${extra[@]}" bookworm "$root" "$uri" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log" >&2; die "debootstrap failed; its log is $root.log"; }
  indexes | while read -r address release component; do
    echo "deb $address $release $component"
  done >"$root/etc/apt/sources.list"
  # A snapshot mirror or a proxy works only with the settings that make it work here.
  apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) ' \
    >"$root/etc/apt/apt.conf.d/90host" || true
  # No daemon may start inside: it would hold the mounts.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  touch "$root/etc/fresh_root_made"
}

mounted=()
mount_into() { mount "${@:2}" "$root$1"; mounted=("$1" "${mounted[@]}"); }
unmount_all() {
  local point
  for point in "${mounted[@]}"; do
    umount "$root$point" 2>/dev/null || umount --lazy "$root$point" || true
  done
}

[[ -e $root/etc/fresh_root_made ]] || make_root
cp --dereference /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
cp --dereference /etc/hosts "$root/etc/hosts"

if [[ $copy_tree == yes ]]; then
  mkdir -p "$root/src"
  find "$root/src" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf {} +
  # What a clone would hold: tracked files as they are now, without build folders and without .git.
  (cd "$source_tree" && git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' name; do [[ -e $name ]] && printf '%s\0' "$name"; done |
    tar --null --files-from=- --create) | tar --extract --no-same-owner --directory "$root/src"
fi
[[ $# -gt 0 ]] || exit 0

trap unmount_all EXIT
trap 'exit 130' INT TERM
mount_into "" --bind "$root"  # unshare --mount inside wants a root that is a mount.
mount_into /proc -t proc proc
mount_into /sys -t sysfs -o ro sysfs
mount_into /dev -t tmpfs -o mode=755 tmpfs
for node in null zero full random urandom tty; do
  touch "$root/dev/$node"
  mount_into "/dev/$node" --bind "/dev/$node"
done
mkdir "$root/dev/pts"
mount_into /dev/pts -t devpts -o newinstance,ptmxmode=0666 devpts
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%%:*}" "$root/dev/${stream#*:}"; done
mkdir "$root/dev/shm"
mount_into /dev/shm -t tmpfs -o mode=1777 tmpfs
work=/
[[ $copy_tree == no ]] || work=/src
# shellcheck disable=SC2016
chroot "$root" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 CI="${CI:-}" \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /bin/sh -c 'cd "$0" && exec "$@"' "$work" "$@"
