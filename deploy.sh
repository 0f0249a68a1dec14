#!/usr/bin/env bash
# Deploys Pillarbox to an EKS cluster or updates it. A second run changes nothing.
# k8s/environments/<name>.env defines an environment.
#
#    1 check            settings, tools, credentials, cluster
#    2 infrastructure   the CloudFormation stacks: image repositories, then queue, bucket and roles; a changed stack is
#                       verified with the running release
#    3 token            a random API token in SSM, if there is none
#    4 build            both images
#    5 push             the images that the registry does not have yet
#    6 render           the manifests, with the stack's outputs in a temporary overlay
#    7 diff             the changes to the cluster
#    8 apply            under a lock: one deployment at a time
#    9 wait             for the rollout, the minimum number of pods, and KEDA
#   10 verify           the load balancer answers; an e-mail posted there becomes an object; the release is recorded
#   11 alarms           the stack with the alarms on the load balancer
#
# If step 8, 9 or 10 fails, it shows the pods' logs, reapplies the release that was verified last, removes what the
# failed release added, and exits with 1. docs/operations.md lists the variables that limit the waiting times.
# shellcheck disable=SC2034  # the files of infrastructure/deploy read these variables
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

# Runs a command that changes something; in a dry run, only prints it.
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

# Runs at every exit. A failed step ends the script by `set -e`, so failures are handled only here.
finish() {
  local code=$1
  trap - EXIT
  trap '' INT TERM # the roll-back must not be interrupted
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
  if [[ "$APPLIED" == yes || " wait health verify " == *" $STEP "* ]]; then show_diagnosis; fi
  if [[ "$APPLIED" == yes && -z "$ONLY" ]]; then
    (set -e; step_rollback; report_what_remains)
    rolled_back=$?
    [[ "$rolled_back" -eq 0 ]] || log "deploy.sh: the roll-back failed too; see docs/operations.md, \"Rollback\"" "$RED"
  fi
}

# Removes the folders of killed runs; a folder's name contains the id of its process.
make_work_folder() {
  local folder pid
  mkdir -p "$ROOT/.local"
  for folder in "$ROOT"/.local/deploy.*; do
    pid=${folder##*/deploy.} pid=${pid%%.*}
    if [[ "$pid" =~ ^[0-9]+$ ]] && ! kill -0 "$pid" 2>/dev/null; then rm -rf "$folder"; fi
  done
  WORK=$(mktemp -d "$ROOT/.local/deploy.$$.XXXXXX")
  export KUBECONFIG=$WORK/kubeconfig # the operator's current context is not changed
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
