#!/usr/bin/env bash
# Stands in for a tool of deploy.sh: linked under the tool's name into a folder that comes first on PATH.
# Each call becomes a line of $STAND_IN_STATE/calls. The first call that matches the pattern $STAND_IN_FAIL fails.
# What a cluster, Docker and make would do is played; aws, and what kubectl does without a cluster, is the real tool.
set -euo pipefail

tool=$(basename "$0")
state=$STAND_IN_STATE
call="$tool $*"
echo "$call" >>"$state/calls"
if [[ -n "${STAND_IN_FAIL:-}" && ! -e "$state/failed" && "$call" =~ $STAND_IN_FAIL ]]; then
  touch "$state/failed"
  echo "$tool: made to fail" >&2
  exit 9
fi

# Gives the real tool: the next one of that name on PATH.
real() {
  local path
  while read -r path; do
    if [[ "$(dirname "$path")" != "$(dirname "$0")" ]]; then
      echo "$path"
      return
    fi
  done < <(type -ap "$tool")
  echo "$tool is not installed" >&2
  exit 127
}

# A pushed image becomes an entry of the emulator's registry.
push_image() { # registry/repository:tag
  local name=${1#*/}
  aws --region "${STAND_IN_REGION}" ecr put-image --repository-name "${name%:*}" --image-tag "${name##*:}" \
    --image-manifest "{\"schemaVersion\": 2, \"image\": \"$1\"}" >/dev/null
}

played_docker() {
  case "$1" in
    login) cat >/dev/null ;;
    push) push_image "$2" ;;
  esac
}

apply_manifest() {
  local file=${!#}
  if grep -q '^  name: pillarbox-release$' "$file"; then
    cp "$file" "$state/release.yaml"
  else
    cp "$file" "$state/applied.yaml"
  fi
}

released_manifest() {
  if [[ -e "$state/release.yaml" ]]; then
    "$STAND_IN_PYTHON" -c 'import sys, yaml; print(yaml.safe_load(sys.stdin)["data"]["manifests.yaml"], end="")' \
      <"$state/release.yaml"
  fi
}

played_kubectl() {
  if [[ "$1" == --namespace ]]; then shift 2; fi
  case "$*" in
    kustomize*) exec "$(real)" "$@" ;;
    "create configmap"*) exec "$(real)" "$@" ;;
    api-resources*) echo scaledobjects.keda.sh ;;
    "get namespace"*) [[ -e "$state/applied.yaml" ]] ;;
    diff*) cmp -s "${!#}" "$state/applied.yaml" ;;
    apply*) apply_manifest "$@" ;;
    "get ingress"*) printf '%s' "${STAND_IN_LOAD_BALANCER:-}" ;;
    "get configmap"*) released_manifest ;;
    "get events"*) echo "Warning  FailedScheduling" ;;
  esac
}

case "$tool" in
  aws) exec "$(real)" "$@" ;;
  docker) played_docker "$@" ;;
  kubectl) played_kubectl "$@" ;;
esac
