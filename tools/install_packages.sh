#!/bin/sh
# Installs what is missing of the named groups of tools/packages.txt.
#   tools/install_packages.sh build test corpus
set -eu
list="$(dirname "$0")/packages.txt"
missing=""
for group in "$@"; do
    for package in $(sed -n "s/^$group //p" "$list"); do
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "Please install by hand (there is no apt-get here):$missing" >&2
    exit 1
fi
echo "Installing with apt-get:$missing"
as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Please run as root, there is no sudo here: apt-get install$missing" >&2
        exit 1
    fi
    echo "This needs sudo, which may ask for your password."
    as_root="sudo"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=false "$@" >>"$log" 2>&1 </dev/null
}
# The list of packages may be old or absent: it is fetched only if needed.
# shellcheck disable=SC2086
if ! apt install $missing; then
    if ! { apt update && apt install $missing; }; then
        tail -n 20 "$log" >&2
        echo "apt-get failed: the last lines of its output are above" >&2
        exit 1
    fi
fi
