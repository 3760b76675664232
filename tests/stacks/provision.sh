#!/usr/bin/env bash
# provision.sh [DEST]: the stacks that this Debian does not have, from newer suites of Debian, unpacked into DEST
# (default: .cache/stacks). The machine's own dpkg and apt stay as they are; apt checks the signatures.
#
#   containerd-1.7/, containerd-2/   containerd, ctr and runc's shim of that line
#   newer/                           runc >= 1.3 and crun >= 1.20, with the C library that they ask for
#   uml/                             user-mode-linux, a kernel with cgroup v2 and nothing else, and its modules
#
# What is complete stays; what is not, or answers with another version, is made anew beside it and takes its place
# in one step. Needs root for .ci/system-packages.sh alone, and nothing but Debian's base.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
dest=$(realpath -m "${1:-$here/.cache/stacks}")
partial=$dest.partial
work=$partial/work

in_range() { # NAME VERSION AT_LEAST BELOW
  [[ $2 =~ ^[0-9] ]] || { echo "$1 does not run: ${2:-no answer}" >&2; return 1; }
  dpkg --compare-versions "$2" ge "$3" && dpkg --compare-versions "$2" lt "$4" && return
  echo "$1 is of version $2, wanted is $3 or newer, below $4: have provision.sh take another suite" >&2
  return 1
}

version() { # PATTERN COMMAND...: the group of the pattern in what the command prints
  local pattern=$1 printed
  shift
  printed=$("$@" 2>&1) || true
  [[ $printed =~ $pattern ]] && echo "${BASH_REMATCH[1]}" || echo "${printed%%$'\n'*}"
}

complete() { # the binaries say it themselves, from where they will be used
  local kernel
  in_range "containerd 1.7" "$(version ' v?([0-9]+\.[0-9.]+)' "$dest/containerd-1.7/containerd" --version)" 1.7 1.8 &&
    in_range "containerd 2" "$(version ' v?([0-9]+\.[0-9.]+)' "$dest/containerd-2/containerd" --version)" 2.0 3 &&
    in_range runc "$(version 'runc version ([0-9][0-9.]*)' "$dest/newer/bin/runc" --version)" 1.3 2 &&
    in_range crun "$(version 'crun version ([0-9][0-9.]*)' "$dest/newer/bin/crun" --version)" 1.20 2 || return
  kernel=$(version '^([0-9][^ ]*)' "$dest/uml/linux" --version)
  # its seccomp mode is what makes it fast enough for tests
  in_range user-mode-linux "$kernel" 7.2 9 && test -s "$dest/uml/lib/modules/$kernel/modules.dep"
}

mirror() { # the one that this machine's apt uses for its own release
  local codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  apt-get indextargets --format '$(REPO_URI)' "Codename: $codename" | sort -u | head -n 1
}

suite_apt() { # SUITE APT-GET-ARGUMENTS...: apt-get with a state of its own for that suite
  local state=$work/apt-$1
  shift
  apt-get -qq -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" \
    -o Dir::Cache="$state" -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
    -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"
}

unpack() { # SUITE INTO PACKAGES...: the packages with all that they depend on
  local suite=$1 into=$2 state=$work/apt-$1 package
  shift 2
  if [ ! -d "$state" ]; then
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    touch "$state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/sources.list"
    suite_apt "$suite" update
  fi
  suite_apt "$suite" --yes --no-install-recommends --download-only install "$@"
  for package in "$state"/archives/*.deb; do dpkg-deb -x "$package" "$into"; done
}

take_containerd() { # TREE NAME
  mkdir "$partial/$2"
  cp "$1"/usr/bin/{containerd,containerd-shim-runc-v2,ctr} "$partial/$2/"
}

take_with_libraries() { # BINARY AS: runs with the C library of its own suite, wherever it is executed from
  # Run through the loader instead, a runtime would find the loader as its /proc/self/exe.
  local libraries loader library
  libraries=$(echo "$newer"/usr/lib/*-linux-gnu)
  loader=$(echo "$libraries"/ld-linux-*.so.*)
  mkdir -p "$partial/newer/lib" "$(dirname "$partial/$2")"
  for library in "$loader" $("$loader" --library-path "$libraries" --list "$1" | sed -nE 's/.*=> (\S+) .*/\1/p'); do
    cp -L "$library" "$partial/newer/lib/"
  done
  cp "$1" "$partial/$2"
  patchelf --set-interpreter "$dest/newer/lib/$(basename "$loader")" --force-rpath --set-rpath "$dest/newer/lib" "$partial/$2"
}

mkdir -p "$(dirname "$dest")"
exec 9>"$dest.lock"
flock 9
if [ -d "$dest" ] && complete; then exit; fi
"$here/.ci/system-packages.sh"
mirror=$(mirror)
if [ -z "$mirror" ]; then apt-get update -qq && mirror=$(mirror); fi
[ -n "$mirror" ] || { echo "apt has no mirror of this Debian release: see apt-get indextargets" >&2; exit 1; }
echo "unpacking newer containerds, runtimes and a kernel into $dest"
rm -rf "$partial"
mkdir -p "$work"
newer=$work/forky
unpack trixie "$work/trixie" containerd
unpack forky "$newer" containerd runc crun user-mode-linux
take_containerd "$work/trixie" containerd-1.7
take_containerd "$newer" containerd-2
take_with_libraries "$newer/usr/sbin/runc" newer/bin/runc
take_with_libraries "$newer/usr/bin/crun" newer/bin/crun
take_with_libraries "$newer/usr/bin/linux.uml" uml/linux
mkdir -p "$partial/uml/lib"
mv "$newer/usr/lib/uml/modules" "$partial/uml/lib/modules"
find "$partial/uml" -name '*.ko' -exec strip --strip-debug {} +
for kernel in "$partial"/uml/lib/modules/*; do depmod -b "$partial/uml" "$(basename "$kernel")"; done
rm -rf "$work" "$dest"
mv "$partial" "$dest"
complete
