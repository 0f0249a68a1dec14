#!/usr/bin/env bash
# Brings Pillarbox to an EKS cluster, or brings a running one up to date. A second run changes nothing.
# What an environment is, stands in k8s/environments/<name>.env.
#
#    1 check            settings, tools, credentials, cluster
#    2 infrastructure   the CloudFormation stacks: image repositories, then queue, bucket and roles; a changed stack is
#                       verified with the release that runs
#    3 token            a random API token in SSM, where there is none
#    4 build            the images
#    5 push             what the registry does not have yet
#    6 render           the manifests, with the stack's outputs in a throwaway overlay
#    7 diff             what would change in the cluster
#    8 apply            under a lock: one deployment at a time
#    9 wait             for the rollout, the least number of pods, and KEDA
#   10 verify           the load balancer answers; an e-mail posted there becomes an object; the release is recorded
#   11 alarms           the stack with the alarms on the load balancer
#
# When 8, 9 or 10 fails, it shows what the pods say, applies again what was verified last, removes what the failed
# release added, and exits with 1. docs/operations.md names the variables that bound the waiting.
# shellcheck disable=SC2034  # the files of infrastructure/deploy read what is set here
set -euo pipefail

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
  echo "deploy.sh: needs bash 4.4 or newer, this is $BASH_VERSION" >&2
  exit 1
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly ROOT
for part in "$ROOT"/infrastructure/deploy/*.sh; do
  # shellcheck source=/dev/null  # they only define functions and constants
  source "$part"
done

readonly STEPS=(check infrastructure token build push render diff apply wait verify alarms)

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
  shown=${shown/#in_cluster/kubectl}
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would run: ${shown/#apply/kubectl apply --server-side}"
  else
    "$@" >&2
  fi
}

missing_tools() {
  local tool tools=(aws kubectl curl git)
  if [[ "$SKIP_BUILD" == no ]]; then tools+=(docker make); fi
  for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null || echo "$tool is not installed, or not on PATH"
  done
}

step_check() {
  local missing
  missing=$(missing_tools)
  [[ -z "$missing" ]] || { log "$missing" "$RED"; fail "tools are missing (see above)"; }
  "$ROOT/e2e_test/run_e2e.sh" --check || fail "step 10 could not run (see the line above)"
  check_credentials
  check_cluster
  check_components
  require_https_kept "${CERTIFICATE_ARN:+yes}"
  if [[ "$OVERLAY" == prod && -z "$(setting ALARM_TOPIC_ARN)" ]]; then
    log "      warning: ALARM_TOPIC_ARN is empty, so the alarms of $ENVIRONMENT notify nobody" "$BOLD"
  fi
}

skipped() {
  case "$1" in
    infrastructure | alarms) [[ "$SKIP_INFRASTRUCTURE" == yes ]] ;;
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
    STEP=$step
    "step_$step"
  done
}

conclusion() {
  if [[ "$DRY_RUN" == yes ]]; then
    echo "dry run: nothing was changed"
  else
    look_at_ingress
    echo "done: $ENVIRONMENT runs $IMAGE_TAG at $(api_url)"
  fi
}

# Runs at every exit. A step that fails ends the script by `set -e`, so this is the one place that sees it.
finish() {
  local code=$1
  trap - EXIT
  trap '' INT TERM # what follows is worth the wait
  set +e
  if [[ -n "$RUNNING" ]]; then kill "$RUNNING" 2>/dev/null; fi
  if [[ "$code" -ne 0 ]]; then
    log "deploy.sh: failed at step $STEP" "$RED"
    code=1
    after_failure
  fi
  release_lock
  rm -rf "$WORK"
  exit "$code"
}

after_failure() {
  local rolled_back
  if lock_was_lost; then
    log "deploy.sh: the lock was lost to another deployment, or the cluster did not answer for long: nothing more is changed" "$RED"
    return
  fi
  if [[ "$APPLIED" == yes || " wait health verify " == *" $STEP "* ]]; then show_trouble; fi
  if [[ "$APPLIED" == yes && -z "$ONLY" ]]; then
    (set -e; step_rollback; say_what_stays)
    rolled_back=$?
    [[ "$rolled_back" -eq 0 ]] || log "deploy.sh: the roll-back failed too; see docs/operations.md, \"Rollback\"" "$RED"
  fi
}

# Removes what killed runs have left; the name of a folder holds the process that made it.
make_work_folder() {
  local folder pid
  mkdir -p "$ROOT/.local"
  for folder in "$ROOT"/.local/deploy.*; do
    pid=${folder##*/deploy.} pid=${pid%%.*}
    if [[ "$pid" =~ ^[0-9]+$ ]] && ! kill -0 "$pid" 2>/dev/null; then rm -rf "$folder"; fi
  done
  WORK=$(mktemp -d "$ROOT/.local/deploy.$$.XXXXXX")
  export KUBECONFIG=$WORK/kubeconfig # the operator's current context stays what it is
  MANIFESTS=${RENDERED_FILE:-$WORK/rendered.yaml}
}

main() {
  use_colours
  cd "$ROOT"
  parse_arguments "$@"
  require_complete_settings
  STEP=$ONLY APPLIED=no RUNNING="" STACK_CHANGED=no
  make_work_folder
  trap 'finish $?' EXIT
  trap 'exit 130' INT TERM
  if [[ "$ASSUME_ROLE" == yes ]]; then assume_role; fi
  if [[ -n "$ONLY" ]]; then
    log "[$ONLY]" "$BOLD"
    "step_$ONLY"
  else
    run_all
    log "$(conclusion)" "$BOLD"
  fi
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
