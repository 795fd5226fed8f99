#!/bin/sh
# Inside the fresh root, booted with systemd: both daemons under their units, a stream through them, upgrade with a
# running stream, stop, purge. Prints "trial passed" at the end.
set -eu
step() { echo "step $*"; }
fail() {
  echo "failed: $*"
  systemctl --no-pager --full status culvert-gateway culvert-agent || true
  journalctl --no-pager -n 60 -u culvert-gateway -u culvert-agent || true
  exit 1
}
until_true() {  # WHAT COMMAND…: at most 20 s
  what=$1; shift
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail "$what"
    sleep 0.1
  done
}
main_pid() { systemctl show --property=MainPID --value "$1"; }
session_up() { culvert-agent status --json | tr -d ' \n' | grep -q '"since":"[^"]*","state":"up"'; }
echoes() { [ "$(echo "$2" | socat -t 5 - "TCP:127.0.0.1:$1")" = "$2" ]; }

ip link set lo up 2>/dev/null || true

step "installed without configuration the units wait instead of failing"
dpkg -i /trial/culvert-*.deb >/dev/null
[ "$(systemctl is-failed culvert-gateway culvert-agent | grep -c '^failed')" = 0 ] || fail "a unit failed before init"
systemctl is-enabled culvert-gateway culvert-agent >/dev/null || fail "units are not enabled"

step "init, join and start under the sandbox"
culvert-gateway init --data /var/lib/culvert-gateway --hostname localhost --listen 127.0.0.1:443 >/dev/null
systemctl start culvert-gateway || fail "the gateway did not start"
culvert-gateway org add acme
culvert-gateway target add acme echo 127.0.0.1:7
joining_string=$(culvert-gateway join-token acme tokyo)
culvert-agent join "$joining_string" --data /var/lib/culvert-agent
systemctl start culvert-agent || fail "the agent did not start"
until_true "the session came up" session_up
[ "$(stat -c %U "/proc/$(main_pid culvert-gateway)")" = culvert-gateway ] || fail "the gateway runs as someone else"
[ "$(stat -c %U "/proc/$(main_pid culvert-agent)")" = culvert-agent ] || fail "the agent runs as someone else"

step "a stream through both"
socat TCP-LISTEN:7,bind=127.0.0.1,fork,reuseaddr EXEC:/bin/cat &
echo_server=$!
culvert-agent forward add echo --port 10003
until_true "an echo through the tunnel" echoes 10003 hello

step "an upgrade of the gateway lets a running stream finish, then replaces the process"
old_pid=$(main_pid culvert-gateway)
mkfifo /trial/words
socat "TCP:127.0.0.1:10003" - </trial/words >/trial/echoed &
exec 3>/trial/words
echo one >&3
until_true "the first word came back" grep -q one /trial/echoed
dpkg -i /trial/newer-culvert-gateway_*.deb >/trial/upgrade.log 2>&1 3>&- &  # Or it would keep the stream open.
upgrade=$!
draining() { [ "$(systemctl show --property=SubState --value culvert-gateway)" = stop-sigterm ]; }
until_true "the gateway draining" draining
echo two >&3
until_true "the stream still works while the gateway drains" grep -q two /trial/echoed
exec 3>&-
wait "$upgrade" || fail "the upgrade failed: $(cat /trial/upgrade.log)"
! journalctl -u culvert-gateway | grep -q "resetting the streams" || fail "the running stream was reset"
new_pid=$(main_pid culvert-gateway)
[ "$new_pid" != 0 ] && [ "$new_pid" != "$old_pid" ] || fail "the new version does not run"
until_true "the session came back by itself" session_up
until_true "an echo after the upgrade" echoes 10003 again

step "an upgrade of the agent keeps forward, port and identity"
dpkg -i /trial/newer-culvert-agent_*.deb >/dev/null || fail "the agent's upgrade failed"
until_true "the session came back" session_up
until_true "an echo after the agent's upgrade" echoes 10003 further

step "a killed daemon is started again"
kill -9 "$(main_pid culvert-gateway)"
until_true "an echo after kill -9 of the gateway" echoes 10003 alive

step "a wrong configuration is not tried again each second; once it is mended the daemon starts"
for daemon in gateway agent; do
  unit=culvert-$daemon
  config=/var/lib/$unit/$daemon.toml
  cp -p "$config" /trial/mended.toml
  systemctl stop "$unit"
  echo 'no_such_key = 1' >>"$config"
  ! systemctl start "$unit" 2>/dev/null || fail "$unit started with a wrong configuration"
  # A unit that waits for its next attempt is "activating".
  [ "$(systemctl is-active "$unit")" = failed ] || fail "systemd starts $unit again"
  [ "$(systemctl show --property=ExecMainStatus --value "$unit")" = 2 ] || fail "the exit code of $unit is not 2"
  cp -p /trial/mended.toml "$config"
  systemctl start "$unit" || fail "$unit did not start after its configuration was mended"
done
until_true "an echo after both configurations were mended" echoes 10003 mended

step "removal stops the daemons, purge deletes everything"
dpkg -P culvert-gateway culvert-agent >/dev/null 2>&1 || fail "purge"
! pgrep -x 'culvert-gateway|culvert-agent' >/dev/null 2>&1 || fail "a daemon still runs"
[ ! -e /var/lib/culvert-gateway ] && [ ! -e /var/lib/culvert-agent ] && [ ! -e /etc/culvert ] || fail "purge left files"
kill "$echo_server"
echo "trial passed"
