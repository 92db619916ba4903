# What the other scripts share: setting up from nothing, and again only what has changed since.
# shellcheck shell=bash

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOCKS=$ROOT/scripts/locks
CACHE=$ROOT/.cache
VENV=$ROOT/.venv
WEB=$ROOT/web

say() { echo "urbanos-edge: $*" >&2; }

die() {
  say "$*"
  exit 1
}

# set_up LOCK: the environment with the packages of that lock file, and the web page.
# One process at a time does it; others wait.
set_up() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/set-up.lock"
  flock 9
  make_environment
  install_packages "$1"
  build_page
  exec 9>&-
}

# An environment knows where it was made, and works nowhere else: a folder that was moved or copied
# gets another one.
make_environment() {
  if [[ -x $VENV/bin/python ]] && grep -qsF "venv --clear $VENV" "$VENV/pyvenv.cfg"; then return; fi
  local python=${PYTHON:-python3}
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or newer is needed (apt install python3 python3-venv)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "Python's venv module is missing (apt install python3-venv)"
  say "making the environment in .venv"
  "$python" -m venv --clear "$VENV"
}

# The project itself is installed as it lies here, with what it is built with from the lock file.
# Its version is in `__init__.py`, and in what pip notes of it.
install_packages() {
  local print
  print=$(fingerprint "$ROOT/pyproject.toml" "$ROOT/urbanos_edge/__init__.py" "$LOCKS/$1.txt")
  if is_done "packages-$1" "$print"; then return; fi
  say "installing Python packages ($1)"
  pip install --require-hashes --requirement "$LOCKS/$1.txt"
  pip install --no-index --no-deps --no-build-isolation --editable "$ROOT"
  mark_done "packages-$1" "$print"
}

build_page() {
  local sources print
  mapfile -t sources < <(find "$WEB" \( -name node_modules -o -name tests \) -prune -o -type f -print)
  print=$(fingerprint "${sources[@]}")
  if [[ -f $ROOT/urbanos_edge/static/index.html ]] && is_done page "$print"; then return; fi
  install_page_packages
  say "building the page"
  in_web npm run --silent build >"$CACHE/page.log" 2>&1 || {
    cat "$CACHE/page.log" >&2
    die "the page could not be built"
  }
  mark_done page "$print"
}

# build KIND DIR: the wheel or the sdist of what lies here; its path is the only thing on stdout.
build() {
  set_up runtime >&2
  say "building the $1"
  local folder files
  folder=$(mktemp -d "$CACHE/$1.XXXXXX")
  (cd "$ROOT" && "$VENV/bin/python" -m hatchling build --target "$1" --directory "$folder") >&2
  files=("$folder"/*)
  mkdir -p "$2"
  mv "${files[0]}" "$2/"
  rmdir "$folder"
  echo "$2/$(basename "${files[0]}")"
}

# make_slot SLOT WHEEL [WHEELHOUSE]: an environment of its own with the wheel and what it needs,
# each with the hash of the lock file; from the wheelhouse, where there is one, and nowhere else.
# Another user than the one who makes it runs it.
make_slot() (
  umask 022
  offline=()
  if [[ -n ${3:-} ]]; then offline=(--no-index --find-links "$3"); fi
  "${PYTHON:-python3}" -m venv --clear "$1"
  VENV=$1 pip install "${offline[@]}" --require-hashes --requirement "$LOCKS/runtime.txt"
  VENV=$1 pip install --no-index --no-deps "$2"
)

install_page_packages() {
  local print
  print=$(fingerprint "$WEB/package-lock.json")
  find_node
  if [[ -d $WEB/node_modules ]] && is_done page-packages "$print"; then return; fi
  say "installing the page's packages"
  in_web npm ci --silent --no-audit --no-fund
  mark_done page-packages "$print"
}

# The page is built by Vite, which needs Node 20.19; where there is none, PyPI has it.
find_node() {
  if in_web node -e 'const [a, b] = process.versions.node.split(".");
    process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then return; fi
  say "installing Node"
  pip install --require-hashes --requirement "$LOCKS/node.txt"
}

in_web() { (cd "$WEB" && PATH=$VENV/bin:$PATH "$@"); }

pip() { "$VENV/bin/python" -m pip --quiet --quiet --disable-pip-version-check "$@"; }

# fingerprint FILE…: one word that changes when a file does, or when there is one more or less.
fingerprint() { printf '%s\0' "$@" | sort -z | xargs -0 sha256sum | sha256sum; }

is_done() { [[ -f $VENV/.done/$1 && $(<"$VENV/.done/$1") == "$2" ]]; }

mark_done() {
  mkdir -p "$VENV/.done"
  echo "$2" >"$VENV/.done/$1"
}

# set_up_tests: all that tests and long runs use, beginning with what Debian has.
set_up_tests() {
  NEEDED=(
    "chromium /usr/bin/chromium the browser tests drive it"
    "libatomic1 /usr/lib/*/libatomic.so.1 the driver's Node is linked with it"
    "fonts-dejavu-core /usr/share/fonts/*/* Chromium draws no text without any font"
    "strace /usr/bin/strace the fault tests let syncs fail with it and read their order"
    "e2fsprogs /sbin/mkfs.ext4 the fault tests fill and cut small filesystems"
    "mosquitto /usr/sbin/mosquitto the alert tests publish to it"
    "minisign /usr/bin/minisign the deploy tests sign releases with it"
    "mosquitto-clients /usr/bin/mosquitto_sub and hear of it by its own client"
    "postgresql-15-postgis-3 /usr/share/postgresql/*/extension/postgis.control the centre's tests run it"
    "pgbouncer /usr/sbin/pgbouncer nodes reach the centre by way of it in a test"
    "libnss3-tools /usr/bin/certutil a browser test trusts the node's certificates with it"
    "prometheus /usr/bin/promtool the alert rules are tried with its tool"
    "systemd /usr/bin/systemd-analyze it reads the units, and hands sockets over"
    "shellcheck /usr/bin/shellcheck it reads these scripts"
  )
  install_debian_packages "the tests need"
  set_up test
  install_page_packages
}

# local_zone ROOT: what IANA calls the zone that this machine's clocks go by, as localtime(5) has it
# or else Debian; fails where no name is told, or none that Python knows.
local_zone() {
  local name
  name=$(readlink "${1%/}/etc/localtime") || name=$(cat "${1%/}/etc/timezone" 2>/dev/null) || return
  name=${name##*/zoneinfo/}
  "${PYTHON:-python3}" -c 'import sys, zoneinfo; zoneinfo.ZoneInfo(sys.argv[1])' "$name" \
    2>/dev/null && echo "$name"
}

# write_as USER FILE: what comes in becomes a file that only USER may read. USER writes it: what lies
# in the place of FILE may be a link of theirs.
write_as() (
  umask 077
  runuser -u "$1" -- tee "$2" >/dev/null
)

asks_for_help() { [[ " $* " == *" --help "* || " $* " == *" -h "* ]]; }

# install_debian_packages WHY: those in NEEDED (lines of package, file it brings, what it is for)
# that are not there; WHY begins the sentence for who has to do it by hand.
install_debian_packages() {
  local package file missing=()
  while read -r package file _; do
    compgen -G "$file" >/dev/null || missing+=("$package")
  done < <(printf '%s\n' "${NEEDED[@]}")
  if ((${#missing[@]} == 0)); then return; fi
  local as_root=()
  if ((EUID != 0)); then as_root=(sudo -n); fi
  "${as_root[@]}" apt-get --version >/dev/null 2>&1 ||
    die "$1 what only root can install: apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  mkdir -p "$CACHE"
  {
    "${as_root[@]}" apt-get update &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "${missing[@]}"
  } >"$CACHE/apt.log" 2>&1 || die "apt-get failed; see .cache/apt.log"
}
