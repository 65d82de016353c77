# What the scripts share; read by them, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '==> %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "this needs root ($*), and there is no sudo: run it as root"
  fi
}

# The cache outlives clones: tools and compiled crates. LATTICE_CACHE moves it.
use_cache() {
  export LATTICE_CACHE=${LATTICE_CACHE:-/var/cache/lattice}
  if ! mkdir -p "$LATTICE_CACHE" 2>/dev/null || ! [ -w "$LATTICE_CACHE" ]; then
    fail "cannot write to $LATTICE_CACHE: run as root, or set LATTICE_CACHE to a folder of yours"
  fi
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$LATTICE_CACHE/target}
  export PATH=$LATTICE_CACHE/tools/bin:$PATH
}

# Runs a command in a network and mount namespace of its own, with nothing but loopback: what it
# makes and forgets is gone with it, and the machine's own network is never touched.
within_own_network() {
  [ "$(id -u)" = 0 ] || fail "this makes network namespaces: run it as root"
  unshare --net --mount -- bash -euc 'ip link set lo up; exec "$@"' within_own_network "$@"
}
