#!/usr/bin/env bash
# Builds the programs of a Kubernetes control plane, and fetches the custom resource definitions of what Pillarbox uses,
# from their Go modules into a cache of the user:
#   tests/cluster/build.sh [NAME...]     build what is missing: by default everything that `make test-cluster` needs
#   tests/cluster/build.sh --missing     print what is missing, one name a line, and build nothing
#   tests/cluster/build.sh --path        print the folder of the programs (--crds: of the definitions)
# Needs Go (1.21 or newer fetches the toolchain that the modules ask for) and the Go module proxy, and nothing else.
# The cache: ${XDG_CACHE_HOME:-~/.cache}/pillarbox/control-plane. A program of another version is built again.
set -euo pipefail

readonly KUBERNETES=v1.36.3 # a version that EKS offers or will offer next; see VERSIONS in tests/test_manifests_render.py
readonly ETCD=v3.6.8
readonly KWOK=v0.8.0 # plays nodes and pods
readonly METRICS_SERVER=v0.9.0
readonly KEDA=v2.21.0
readonly PROMETHEUS_OPERATOR=v0.85.0
# The proxy has no release of this module after v1.1.9, because its path lacks "/v2": only commits can be named.
readonly LOAD_BALANCER_CONTROLLER=v0.0.0-20221203001353-edeb4f1c1312

readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/pillarbox/control-plane
readonly BIN=$CACHE/bin
readonly DEFAULT=(crds etcd kwok metrics-server kube-scheduler kubectl kube-controller-manager kube-apiserver)

# Every staging module that k8s.io/kubernetes replaces by a folder of its own repository.
readonly STAGING=(
  api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
  code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming
  csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator
  kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission
  sample-apiserver sample-cli-plugin sample-controller streaming
)

log() { echo "build.sh: $*" >&2; }

fail() {
  log "$*"
  exit 1
}

# Prints "module version" of what a program is built from; the version is part of the Go build information.
source_of() { # program
  case "$1" in
    etcd) echo "go.etcd.io/etcd/server/v3 $ETCD" ;;
    kwok) echo "sigs.k8s.io/kwok $KWOK" ;;
    metrics-server) echo "sigs.k8s.io/metrics-server $METRICS_SERVER" ;;
    kube-apiserver | kube-controller-manager | kube-scheduler | kubectl) echo "k8s.io/kubernetes $KUBERNETES" ;;
    *) fail "unknown program \"$1\"" ;;
  esac
}

is_there() { # program
  local module version
  if [[ "$1" == crds ]]; then
    [[ -d "$(crds)" ]]
    return
  fi
  read -r module version < <(source_of "$1")
  [[ -x "$BIN/$1" ]] && go version -m "$BIN/$1" 2>/dev/null |
    awk -v m="$module" -v v="$version" '$2 == m && $3 == v { found = 1 } END { exit !found }'
}

# The folder's name holds every version, so that a new one is fetched and an old one does no harm.
crds() { echo "$CACHE/crds-$KWOK-$KEDA-$PROMETHEUS_OPERATOR-${LOAD_BALANCER_CONTROLLER##*-}"; }

# Prints the folder of a module's sources; downloads them where needed.
module_folder() { # module@version
  (cd "$CACHE" && go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p'
}

fetch_crds() {
  local folder target
  target=$(mktemp -d "$CACHE/crds.XXXXXX")
  mkdir -p "$target"/{definitions,kwok}
  folder=$(module_folder "github.com/kedacore/keda/v2@$KEDA")
  cp "$folder"/config/crd/bases/keda.sh_*.yaml "$target/definitions"
  folder=$(module_folder "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR")
  cp "$folder"/example/prometheus-operator-crd/*{service,pod}monitors.yaml "$target/definitions"
  folder=$(module_folder "sigs.k8s.io/aws-load-balancer-controller@$LOAD_BALANCER_CONTROLLER")
  cp "$folder"/config/crd/bases/*.yaml "$target/definitions"
  folder=$(module_folder "sigs.k8s.io/kwok@$KWOK")/kustomize
  cp "$folder"/crd/bases/*.yaml "$target/definitions"
  cp "$folder"/stage/node/{fast,heartbeat}/node-*.yaml "$folder"/metrics/resource/metrics-*.yaml "$target/kwok"
  chmod -R u+w "$target"
  mv "$target" "$(crds)"
}

# A module of ours that requires what is built, as Kubernetes and etcd cannot be installed by `go install`.
write_module() {
  local name
  mkdir -p "$CACHE/module"
  {
    printf 'module controlplane\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes %s\n\tgo.etcd.io/etcd/server/v3 %s\n)\n\nreplace (\n' \
      "$KUBERNETES" "$ETCD"
    for name in "${STAGING[@]}"; do printf '\tk8s.io/%s => k8s.io/%s v0%s\n' "$name" "$name" "${KUBERNETES#v1}"; done
    echo ')'
  } >"$CACHE/module/go.mod"
}

build() { # program, package
  local package=k8s.io/component-base/version flags="-s -w" minor=${KUBERNETES#v1.}
  if [[ "$1" == kube* ]]; then
    flags+=" -X $package.gitVersion=$KUBERNETES -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
    flags+=" -X $package.gitTreeState=clean"
  fi
  write_module
  (cd "$CACHE/module" && go build -mod=mod -buildvcs=false -trimpath -ldflags "$flags" -o "$BIN/$1" "$2")
}

make_one() { # program
  case "$1" in
    crds) fetch_crds ;;
    etcd) build etcd go.etcd.io/etcd/server/v3 ;;
    kwok) GOBIN=$BIN go install -trimpath -ldflags "-s -w" "sigs.k8s.io/kwok/cmd/kwok@$KWOK" ;;
    metrics-server)
      GOBIN=$BIN go install -trimpath -ldflags "-s -w" "sigs.k8s.io/metrics-server/cmd/metrics-server@$METRICS_SERVER" ;;
    *) build "$1" "k8s.io/kubernetes/cmd/$1" ;;
  esac
}

missing() { # programs
  local program
  for program in "$@"; do
    is_there "$program" || echo "$program"
  done
}

main() {
  local wanted=("${@:-}") program started
  export CGO_ENABLED=0
  if [[ -z "${wanted[0]}" || "${wanted[0]}" == --missing ]]; then wanted=("${DEFAULT[@]}"); fi
  case "${1:-}" in
    --path) echo "$BIN"; return ;;
    --crds) crds; return ;;
    --missing) missing "${wanted[@]}"; return ;;
  esac
  command -v go >/dev/null || fail "Go is not installed (https://go.dev/dl/)"
  for program in "${wanted[@]}"; do
    [[ "$program" == crds ]] || source_of "$program" >/dev/null
  done
  mkdir -p "$BIN"
  # A second build waits for the first and then finds everything there. macOS has no flock; two builds only cost time.
  exec 9>"$CACHE/lock"
  if command -v flock >/dev/null; then flock 9; fi
  for program in "${wanted[@]}"; do
    if is_there "$program"; then continue; fi
    log "building $program …"
    started=$SECONDS
    make_one "$program"
    log "$program is there after $((SECONDS - started)) s"
  done
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
