# Shell pieces shared by the scripts: where things are, how they speak, Debian packages, the build.
# Sourced, never run. Expects `set -euo pipefail` and $0 of the calling script.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=$root/build

command_path=$build/src/cli/unfreed
library_path=$build/src/runtime/libunfreed.so
example_path=$build/test/e2e/log_service

# Everything that is needed to build, and the program that `unfreed push` sends by (curl); the tests' own packages come on
# top.
build_packages=(g++ meson ninja-build pkg-config libunwind-dev libfmt-dev nlohmann-json3-dev libdw-dev libcli11-dev
  liblzma-dev libbz2-dev libiberty-dev libgtest-dev libprotobuf-dev protobuf-compiler zlib1g-dev libncurses-dev
  libevent-dev clang libbpf-dev curl musl-tools)
# To build for arm64, and to run what has been built.
cross_packages=(g++-aarch64-linux-gnu qemu-user-static mmdebstrap)
test_packages=("${cross_packages[@]}" python3 python3-jsonschema binutils gdb strace git redis-server redis-tools nginx-light sqlite3 man-db
  valgrind busybox-static wrk chromium mold libjemalloc-dev libmimalloc2.0 libgoogle-perftools4 libtcmalloc-minimal4 clang-format clang-tidy
  gcovr python3-prometheus-client golang-go catch2 doctest-dev python3-pytest lintian cmake tmux
  debuginfod liburing-dev prometheus prometheus-node-exporter python3-grpcio ruby zsh fish)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# The tool's own failures end with the status that the tool itself uses for them.
fail() {
  say "$*"
  exit 125
}

# Prints those of the packages named that dpkg does not have. Prints nothing where there is no dpkg: other systems have
# the same things under other names, and the build says what it misses.
missing_packages() {
  command -v dpkg-query >/dev/null || return 0
  local have package
  have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qx "$package installed" <<<"$have" || printf '%s\n' "$package"
  done
}

# Installs those of the packages named that are missing, asking nothing.
require_packages() {
  local missing log as_root=()
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if ((EUID)); then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n --)
    else
      fail "these Debian packages are missing, and only root can install them: ${missing[*]}"
    fi
  fi
  command -v apt-get >/dev/null || fail "these packages are missing and there is no apt-get to install them: ${missing[*]}"
  say "installing ${missing[*]}"
  log=$(mktemp)
  # RUNLEVEL=1 keeps packages from starting their daemons: the tests start their own, on ports of their own.
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 sh -c '
      apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -q update &&
      apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -q install -y --no-install-recommends "$@"' \
      apt "${missing[@]}" >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install ${missing[*]} (its last lines are above)"
  fi
  rm -f "$log"
}

# Is this folder a build of this very source folder (and not of one that was moved or copied here)?
is_configured() {
  [[ -f $1/build.ninja ]] && grep -qF "\"source\": \"$root\"" "$1/meson-info/meson-info.json" 2>/dev/null
}

# True when the targets named are there and nothing has to be done for them. Writes nothing, so that an ordinary user can
# use what root has built.
is_built() {
  is_configured "$build" || return 1
  command -v ninja >/dev/null || return 1
  [[ $(ninja -C "$build" -n "$@" 2>/dev/null | tail -n 1) == "ninja: no work to do." ]]
}

# Runs a step of the build; its output is shown only when it fails.
build_step() {
  local what=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    sed '/^ninja: Entering directory/d' "$log" | tail -n 60 >&2
    rm -f "$log"
    fail "$what failed (the end of its output is above)"
  fi
  rm -f "$log"
}

# ensure_configured FOLDER [MESON OPTIONS…]: the options are for a folder that is not configured yet.
ensure_configured() {
  local folder=$1
  shift
  ! is_configured "$folder" || return 0
  mkdir -p "$folder" 2>/dev/null || fail "cannot write to $root: build it as a user who can"
  rm -rf "${folder:?}"/*
  build_step "meson setup" meson setup "$@" "$folder" "$root"
}

# ensure_built TARGET…: the command, the library and the like, as quickly as can be.
ensure_built() {
  ! is_built "$@" || return 0
  require_packages "${build_packages[@]}"
  mkdir -p "$build" 2>/dev/null && [[ -w $build ]] || fail "cannot write to $build: build it as a user who can"
  (
    flock 9  # two at once would both configure
    is_configured "$build" || say "building unfreed (the first time takes a minute or two)"
    ensure_configured "$build"
    build_step "the build" ninja -C "$build" "$@"
  ) 9>"$build/.lock"
}
