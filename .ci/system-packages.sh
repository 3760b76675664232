#!/usr/bin/env bash
# The Debian packages that Tandem's tests and demo use. Does nothing where all of them are installed.
set -euo pipefail
packages=(busybox-static clang containerd containernetworking-plugins crun docker-registry gcc git hey iproute2 iptables
  kmod libc6-dev libclang-rt-14-dev-wasm32 libseccomp2 lld make patchelf procps redis-server runc
  systemd wasi-libc)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
