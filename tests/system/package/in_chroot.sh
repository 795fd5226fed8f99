#!/bin/sh
# Inside the fresh root, no systemd running: install, use by hand, upgrade, remove, install again, purge.
set -eu
step() { echo "step $*"; }
fail() { echo "failed: $*" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
data=/var/lib/culvert-gateway

step "install with the dependencies that the packages name"
apt-get -y -qq install --no-install-recommends /trial/culvert-*.deb >/trial/apt.log 2>&1 ||
  { tail -n 20 /trial/apt.log >&2; fail "apt-get install"; }
for program in culvert-gateway culvert-agent culvert-certs; do
  "$program" --help >/dev/null || fail "$program --help"
done
for user in culvert-gateway culvert-agent; do
  [ "$(stat -c '%U %a' "/var/lib/$user")" = "$user 700" ] || fail "/var/lib/$user belongs to the wrong user"
  [ -L "/etc/culvert/${user#culvert-}.toml" ] || fail "no default configuration link for $user"
done

step "systemd finds no mistake in the units"
for unit in culvert-gateway.service culvert-agent.service; do
  # The fresh root has no man to show the pages with.
  systemd-analyze verify --man=no "$unit" || fail "systemd-analyze verify $unit"
done

step "every man page names the exit codes"
for page in culvert-gateway culvert-agent culvert-certs culvert-vib; do
  zcat "/usr/share/man/man1/$page.1.gz" | grep -q '^\.SH "EXIT STATUS"' || fail "$page(1) names no exit codes"
done

step "init as root gives every file to the daemon's user"
culvert-gateway init --data "$data" --hostname localhost --listen 127.0.0.1:443 >/dev/null
foreign=$(find "$data" ! -user culvert-gateway)
[ -z "$foreign" ] || fail "not owned by culvert-gateway: $foreign"
public=$(find "$data" -perm /077)
[ -z "$public" ] || fail "open to others: $public"

step "commands find the default configuration"
culvert-gateway org add acme
culvert-gateway org list --json | grep -q acme || fail "org add through /etc/culvert/gateway.toml"

step "upgrade and removal keep data and user"
dpkg -i /trial/newer-culvert-*.deb >/dev/null
dpkg -r culvert-gateway culvert-agent >/dev/null
[ -e "$data/gateway.toml" ] || fail "removal deleted data"
id culvert-gateway >/dev/null || fail "removal deleted the user"
dpkg -i /trial/newer-culvert-*.deb >/dev/null
culvert-gateway org list --json | grep -q acme || fail "data is gone after installing again"

step "purge deletes data, links and users"
dpkg -P culvert-gateway culvert-agent >/dev/null 2>&1
for gone in /var/lib/culvert-gateway /var/lib/culvert-agent /etc/culvert /etc/default/culvert-agent; do
  [ ! -e "$gone" ] && [ ! -L "$gone" ] || fail "purge left $gone"
done
! getent passwd culvert-gateway >/dev/null || fail "purge left the user culvert-gateway"
! getent passwd culvert-agent >/dev/null || fail "purge left the user culvert-agent"
