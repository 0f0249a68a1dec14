#!/usr/bin/env bash
# Brings Pillarbox to an EKS cluster, or brings a running one up to date. A second run changes nothing.
#
#    1 check            tools, credentials, cluster
#    2 infrastructure   the CloudFormation stacks: image repositories, then queue, bucket, roles and alarms
#    3 token            a random API token in SSM, where there is none
#    4 build            both images
#    5 push             what the registry does not have yet
#    6 render           the manifests, with the stack's outputs in a throwaway overlay
#    7 diff             what would change in the cluster
#    8 apply
#    9 wait             for the rollout
#   10 verify           the load balancer answers; an e-mail posted there becomes an object
#
# When 8, 9 or 10 fails, it shows the pods' events, applies again what was last verified, and exits with 1.
# VERIFY_TIMEOUT_SECONDS (180) and ROLLOUT_TIMEOUT_SECONDS (300) bound the waiting.
set -euo pipefail

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
  echo "deploy.sh: needs bash 4.4 or newer, this is $BASH_VERSION" >&2
  exit 1
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly ROOT
# shellcheck source=infrastructure/deploy/arguments.sh
source "$ROOT/infrastructure/deploy/arguments.sh"
# shellcheck source=infrastructure/deploy/aws.sh
source "$ROOT/infrastructure/deploy/aws.sh"
# shellcheck source=infrastructure/deploy/images.sh
source "$ROOT/infrastructure/deploy/images.sh"
# shellcheck source=infrastructure/deploy/cluster.sh
source "$ROOT/infrastructure/deploy/cluster.sh"

readonly STEPS=(check infrastructure token build push render diff apply wait verify)

log() { printf '%s%s%s\n' "${2:-}" "$1" "${2:+$RESET}" >&2; }

fail() {
  log "deploy.sh: $1" "$RED"
  exit 1
}

use_colours() {
  RED="" BOLD="" RESET=""
  if [[ -t 2 && -z "${NO_COLOR:-}" ]]; then
    RED=$'\e[31m' BOLD=$'\e[1m' RESET=$'\e[0m'
  fi
}

# Runs a command that changes something; a dry run only shows it.
change() {
  local shown="$*"
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would run: ${shown/#in_cluster/kubectl --namespace pillarbox}"
  else
    "$@" >&2
  fi
}

step_check() {
  local tool tools=(aws kubectl curl git)
  if [[ "$SKIP_BUILD" == no ]]; then tools+=(docker make); fi
  for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null || fail "$tool is not installed, or not on PATH"
  done
  "$ROOT/e2e_test/run_e2e.sh" --check || fail "step 10 could not run (see the line above)"
  check_credentials
  check_cluster
  check_keda
}

skipped() {
  case "$1" in
    infrastructure) [[ "$SKIP_INFRASTRUCTURE" == yes ]] ;;
    build) [[ "$SKIP_BUILD" == yes ]] ;;
    *) false ;;
  esac
}

run_all() {
  local number=0 step
  for step in "${STEPS[@]}"; do
    number=$((number + 1))
    if skipped "$step"; then
      log "[$number/${#STEPS[@]}] $step: skipped" "$BOLD"
      continue
    fi
    log "[$number/${#STEPS[@]}] $step" "$BOLD"
    if [[ "$step" == apply && "$DRY_RUN" == no ]]; then ROLL_BACK_ON_FAILURE=yes; fi
    STEP=$step
    "step_$step"
  done
}

conclusion() {
  if [[ "$DRY_RUN" == yes ]]; then
    echo "dry run: nothing was changed"
  else
    echo "done: $ENVIRONMENT runs $IMAGE_TAG at $(api_url)"
  fi
}

# Runs at every exit. A step that fails ends the script by `set -e`, so this is the one place that sees it.
finish() {
  local code=$1 rolled_back
  trap - EXIT
  set +e
  if [[ "$code" -ne 0 ]]; then
    log "deploy.sh: failed at step $STEP" "$RED"
    code=1
    if [[ "$ROLL_BACK_ON_FAILURE" == yes ]]; then
      (set -e; show_events; step_rollback)
      rolled_back=$?
      [[ "$rolled_back" -eq 0 ]] || log "deploy.sh: the roll-back failed too; see docs/operations.md, \"Rollback\"" "$RED"
    fi
  fi
  rm -rf "$WORK"
  exit "$code"
}

main() {
  use_colours
  parse_arguments "$@"
  ROLL_BACK_ON_FAILURE=no STEP=$ONLY
  mkdir -p "$ROOT/.local"
  WORK=$(mktemp -d "$ROOT/.local/deploy.XXXXXX")
  export KUBECONFIG=$WORK/kubeconfig # the operator's current context stays what it is
  trap 'finish $?' EXIT
  trap 'exit 130' INT TERM
  cd "$ROOT"
  if [[ -n "$ONLY" ]]; then
    log "[$ONLY]" "$BOLD"
    "step_$ONLY"
  else
    run_all
    log "$(conclusion)" "$BOLD"
  fi
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
