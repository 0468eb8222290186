#!/usr/bin/env bash
# Turns a Debian or Raspberry Pi OS computer (64 bit) into a Sightpost appliance. Run it again to update: what is the same is left alone.
set -euo pipefail
umask 022 # the service's user reads what is installed, however careful the administrator's shell is
unset CDPATH # with it, cd may go elsewhere, and says where

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lock=$here/requirements/device.txt
python=${PYTHON:-python3}
wheel='' wheels='' root='' with_broker=''

usage() {
  cat <<'TEXT'
Usage: deploy/install.sh [--wheel FILE] [--wheels DIR] [--with-broker] [--root DIR]

Installs Sightpost into /opt/sightpost, its configuration into /etc/sightpost and its service into systemd.
A configuration that is already there is never touched.

  --wheel FILE    the Sightpost wheel; without it, the only one in dist/
  --wheels DIR    take the packages it needs from this folder, without a network (deploy/README.md says how to fill it)
  --with-broker   also install mosquitto on this computer, set up to keep messages through a power cut
  --root DIR      install into DIR as if it were /, to try it: needs no administrator and starts nothing
  --help          show this

The environment variable PYTHON names another interpreter than python3 (3.11 to 3.13).
TEXT
}

say() { printf 'sightpost: %s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

parse_arguments() {
  while (($#)); do
    case $1 in
      --wheel | --wheels | --root) [[ -n ${2-} ]] || { printf 'install.sh: %s needs a value; see --help\n' "$1" >&2; exit 64; } ;;&
      --wheel) wheel=$2; shift ;;
      --wheels) wheels=$2; shift ;;
      --root) mkdir -p "$2"; root=$(cd "$2" && pwd); shift ;;
      --with-broker) with_broker=yes ;;
      -h | --help) usage; exit 0 ;;
      *) printf 'install.sh: %s: unknown option; see --help\n' "$1" >&2; exit 64 ;;
    esac
    shift
  done
}

check_computer() {
  [[ -n $root || $EUID -eq 0 ]] || fail 'run it with sudo, or try it in a folder with --root DIR'
  [[ -z $root || -z $with_broker ]] || fail '--with-broker works on the running computer only; leave out --root'
  [[ -z $wheels || -d $wheels ]] || fail "$wheels: no such folder; --wheels names the folder that holds the packages"
  command -v "$python" >/dev/null || fail "$python is missing: apt-get install python3 python3-venv"
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "$("$python" --version) does not fit; Python 3.11, 3.12 or 3.13 is needed (Debian 12 and 13 bring one)"
  "$python" -c 'import sys; sys.exit(sys.maxsize < 2**32)' ||
    fail 'this is a 32-bit system, for which some packages have no wheels; install the 64-bit system'
  "$python" -c 'import ensurepip' 2>/dev/null || fail 'venv is missing: apt-get install python3-venv'
  find_wheel
}

find_wheel() {
  if [[ -z $wheel ]]; then
    local found=("$here"/dist/sightpost-*.whl)
    [[ ${#found[@]} -eq 1 && -f ${found[0]} ]] ||
      fail "dist/ does not hold exactly one Sightpost wheel; name it with --wheel FILE (CONTRIBUTING.md says how to build one)"
    wheel=${found[0]}
  fi
  [[ -f $wheel ]] || fail "$wheel: no such file; --wheel names the Sightpost wheel"
}

# Each release has a folder of its own and /opt/sightpost points to one, so a power cut at any moment leaves a whole program.
install_program() {
  local releases=$root/opt/sightpost-releases link=$root/opt/sightpost id before release
  [[ ! -e $link || -L $link ]] || fail "$link is in the way: it is no link to a release; move it elsewhere"
  id=$({ cat "$wheel" "$lock"; "$python" --version; } | sha256sum | cut -c1-12)
  release=$releases/$id
  before=$(basename "$(readlink "$link" || true)")
  if [[ -e $release/complete ]]; then
    say "release $id is already there"
  else
    build_release "$release"
  fi
  if [[ $before != "$id" ]]; then
    ln -sfn "sightpost-releases/$id" "$link.new"
    mv -T "$link.new" "$link"
    sync -f "$root/opt"
    remove_old_releases "$releases" "$id" "$before"
    say "now at release $id${before:+ (before: $before)}"
  fi
  mkdir -p "$root/usr/local/bin"
  ln -sfn /opt/sightpost/bin/sightpost "$root/usr/local/bin/sightpost"
}

build_release() {
  local release=$1 source=()
  [[ -z $wheels ]] || source=(--no-index --find-links "$wheels")
  rm -rf "$release"
  mkdir -p "$(dirname "$release")"
  say "installing into $release"
  "$python" -m venv "$release"
  local pip=("$release/bin/python" -m pip --disable-pip-version-check --no-input --quiet install --no-cache-dir)
  # Nothing is compiled here, and only files whose hashes the project knows are accepted.
  "${pip[@]}" --require-hashes --only-binary :all: "${source[@]}" -r "$lock" ||
    fail 'the packages could not be installed; the lines above say why. What was running before is unchanged'
  "${pip[@]}" --no-index --no-deps "$wheel" || fail "$wheel could not be installed; what was running before is unchanged"
  slim "$release" || fail 'what was installed does not run; the lines above say why. What was running before is unchanged'
  sync -f "$release"
  touch "$release/complete"
}

# A fifth of the room: nothing is ever added to a release, so it needs no installer; nobody tests libraries on a device, or
# compiles models for other chips there; and the interpreter runs on the processor.
slim() {
  local packages
  packages=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  rm -rf "$packages"/{pip,setuptools,pkg_resources,_distutils_hack,distutils-precedence.pth} \
    "$packages"/{pip,setuptools}-*.dist-info "$1"/bin/pip* \
    "$packages"/ai_edge_litert/{tools,vendors,libLiteRtWebGpuAccelerator.so}
  find "$packages/numpy" -type d -name tests -prune -exec rm -rf {} +
  "$1/bin/python" -c 'import cv2, ai_edge_litert.interpreter, edge.daemon'
}

# The release before stays, to go back to.
remove_old_releases() {
  local releases=$1 now=$2 before=$3 old
  for old in "$releases"/*/; do
    old=$(basename "$old")
    [[ $old == "$now" || $old == "$before" ]] || rm -rf "${releases:?}/$old"
  done
}

install_files() {
  install -D -m 644 "$here/systemd/sightpost.service" "$root/etc/systemd/system/sightpost.service"
  install -D -m 644 "$here/systemd/sysusers.d/sightpost.conf" "$root/etc/sysusers.d/sightpost.conf"
  install -D -m 644 "$here/systemd/tmpfiles.d/sightpost.conf" "$root/etc/tmpfiles.d/sightpost.conf"
  install -d -m 755 "$root/etc/sightpost/models"
  if [[ ! -e $root/etc/sightpost/edge.toml ]]; then
    install -m 644 "$here/deploy/edge.toml" "$root/etc/sightpost/edge.toml"
    say "wrote $root/etc/sightpost/edge.toml: name your camera, your model and your broker in it"
  fi
}

install_broker() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mosquitto ||
    fail 'mosquitto could not be installed; Sightpost itself is in place. Check the network, or use a broker elsewhere'
  install -D -m 644 "$here/deploy/broker/mosquitto.conf" /etc/mosquitto/conf.d/sightpost.conf
  systemctl restart mosquitto
}

start_service() {
  systemd-sysusers sightpost.conf
  systemd-tmpfiles --create sightpost.conf
  systemctl daemon-reload
  systemctl enable --quiet sightpost.service
  if systemctl is-active --quiet sightpost.service; then
    systemctl restart sightpost.service
    say 'restarted; follow it with: journalctl -fu sightpost'
  else
    say 'ready. Put your model file into /etc/sightpost/models, edit /etc/sightpost/edge.toml, then: systemctl start sightpost'
  fi
}

parse_arguments "$@"
check_computer
install_program
install_files
[[ -z $with_broker ]] || install_broker
if [[ -z $root ]]; then
  start_service
else
  say "installed into $root; nothing was started"
fi
