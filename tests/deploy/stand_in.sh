#!/usr/bin/env bash
# Stands in for a tool of deploy.sh: linked under the tool's name into a folder that comes first on PATH.
# Each call becomes a line of $STAND_IN_STATE/calls. The first call that matches the pattern $STAND_IN_FAIL fails.
# What a cluster (kubectl.py), Docker, make and the load balancer would do is played; the rest of aws, and what kubectl
# does without a cluster, is the real tool.
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

played_kubectl() {
  case "$*" in
    kustomize* | "config "* | *"--dry-run=client"*) exec "$(real)" "$@" ;;
    *) exec "$STAND_IN_PYTHON" "$STAND_IN_ROOT/tests/deploy/kubectl.py" "$@" ;;
  esac
}

# The load balancer is a process here, which the emulator knows nothing of. Without an emulator (STAND_IN_AWS=played)
# every image is in the registry, and there is no stack.
played_aws() {
  if [[ "${STAND_IN_AWS:-}" == played ]]; then
    echo "identity role=${AWS_ROLE_ARN:-} key=${AWS_ACCESS_KEY_ID:-}" >>"$state/calls"
  fi
  case "${STAND_IN_AWS:-} $*" in
    "played "*update-kubeconfig*) printf 'apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {}}]\n' >"${!#}" ;;
    *" describe-image-scan-findings "*) echo '{"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {"findings": []}}' ;;
    "played "*describe-images*) echo "sha256:$(printf '0%.0s' {1..64})" ;;
    "played "*"sts assume-role"*) printf 'played-key\tplayed-secret\tplayed-session\n' ;;
    "played "*"--query Account"*) echo 000000000000 ;;
    "played "*describe-stacks*) echo "Stack with id x does not exist" >&2; exit 254 ;;
    "played "*) ;;
    *"elbv2 describe-load-balancers"*) echo "arn:aws:elasticloadbalancing:$STAND_IN_REGION:000000000000:loadbalancer/app/k8s-pillarbo/0a1b" ;;
    *"elbv2 describe-target-groups"*) echo "arn:aws:elasticloadbalancing:$STAND_IN_REGION:000000000000:targetgroup/k8s-pillarbo/2c3d" ;;
    *) exec "$(real)" "$@" ;;
  esac
}

case "$tool" in
  aws) played_aws "$@" ;;
  docker) played_docker "$@" ;;
  kubectl) played_kubectl "$@" ;;
esac
