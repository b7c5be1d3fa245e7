#!/usr/bin/env bash
# `make run`: starts Stint on its embedded store, puts a real video through it with the official
# Python SDK and says how to go on. Stops Stint again if it started it, unless STINT_KEEP=1.
#
# STINT_DATA chooses the data directory (default: the one `stint up` uses).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh

say() { printf '%s\n' "$*" >&2; }

say "building Stint (release)"
cargo build --release --locked -p stint
target=$(cargo metadata --format-version 1 --no-deps --offline |
  sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
export STINT_BIN="$target/release/stint"
export STINT_DATA="${STINT_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/stint}"

is_ready() {
  [ -s "$STINT_DATA/address" ] &&
    curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null \
      "http://$(sed 's,^http://,,' "$STINT_DATA/address")/readyz"
}

stint_pid=
stop_stint() {
  if [ -n "$stint_pid" ] && kill -TERM "$stint_pid" 2>/dev/null; then
    wait "$stint_pid" || say "Stint ended with status $?"
  fi
}
trap stop_stint EXIT
trap 'exit 130' INT TERM

if is_ready; then
  say "a Stint is already running on this data directory; using it"
else
  listen=()
  if (exec 3<>/dev/tcp/127.0.0.1/7780 || exec 3<>/dev/tcp/127.0.0.1/7781) 2>/dev/null; then
    say "port 7780 or 7781 is taken; choosing free ones"
    listen=(--listen 127.0.0.1:0 --listen-trigger 127.0.0.1:0)
  fi
  mkdir -p "$STINT_DATA"
  rm -f "$STINT_DATA/address"
  "$STINT_BIN" up "${listen[@]}" &
  stint_pid=$!
  deadline=$((SECONDS + 30))
  until is_ready; do
    kill -0 "$stint_pid" 2>/dev/null || { say "Stint did not start"; exit 1; }
    [ "$SECONDS" -lt "$deadline" ] || { say "Stint was not ready after 30 s"; exit 1; }
    sleep 0.1
  done
fi
STINT_ENDPOINT=$(cat "$STINT_DATA/address")
export STINT_ENDPOINT

.venv/bin/python examples/transcode/run.py

say ""
say "Stint's data is in $STINT_DATA, your access key in $STINT_DATA/credentials.json."
say "Next: $STINT_BIN task list      what happened"
say "      $STINT_BIN top            what is happening"
say "      $STINT_BIN init --help    a function of your own"
if [ -n "$stint_pid" ] && [ "${STINT_KEEP:-0}" = 1 ]; then
  say "Stint goes on at $STINT_ENDPOINT; Ctrl-C stops it."
  wait "$stint_pid"
elif [ -n "$stint_pid" ]; then
  say "Stint is stopped now; STINT_KEEP=1 make run, or $STINT_BIN up, leaves it running."
fi
