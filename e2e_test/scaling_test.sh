#!/usr/bin/env bash
# Sends e-mails to the queue and watches KEDA scale the consumer from 0 up and back to 0:
#   SQS_QUEUE_URL=... AWS_REGION=... e2e_test/scaling_test.sh [--yes] [COUNT]
# COUNT is 25 by default. It uses kubectl's current context, prints a line for each change of the number of pods, and
# ends with PASSED or FAILED. Optional: SCALING_NAMESPACE (pillarbox-consumer), SCALING_TIMEOUT_SECONDS (600, for each of
# the three waits) and SCALING_POLL_SECONDS (2). Exit code 0 passed, 1 failed, 2 wrong usage or settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=e2e_test/target.sh
source e2e_test/target.sh

readonly NAME=service2-consumer
NAMESPACE=${SCALING_NAMESPACE:-pillarbox-consumer}
TIMEOUT_SECONDS=${SCALING_TIMEOUT_SECONDS:-600}
POLL_SECONDS=${SCALING_POLL_SECONDS:-2}

in_cluster() { kubectl --namespace "$NAMESPACE" "$@"; }

unfit() {
  echo "scaling_test.sh: $1" >&2
  exit 2
}

check_settings() { # arguments...
  YES=no
  if [[ "${1:-}" == --yes ]]; then YES=yes; shift; fi
  COUNT=${1:-25}
  [[ $# -le 1 && "$COUNT" =~ ^[1-9][0-9]{0,3}$ ]] || unfit "usage: e2e_test/scaling_test.sh [--yes] [COUNT]"
  [[ -n "${SQS_QUEUE_URL:-}" && -n "${AWS_REGION:-}" ]] || unfit "set SQS_QUEUE_URL and AWS_REGION"
  [[ "$TIMEOUT_SECONDS" =~ ^[1-9][0-9]{0,5}$ ]] || unfit "SCALING_TIMEOUT_SECONDS: expected whole seconds"
  command -v kubectl >/dev/null || unfit "kubectl is not installed, or not on PATH"
}

# A consumer that never scales to 0 would not scale for a few e-mails.
check_cluster() {
  local least
  least=$(in_cluster get scaledobject "$NAME" --output 'jsonpath={.spec.minReplicaCount}') ||
    unfit "there is no ScaledObject $NAME in $NAMESPACE: the test needs KEDA"
  [[ "${least:-0}" == 0 ]] || unfit "$NAME keeps $least pod(s): the test needs an environment that goes down to 0"
}

# Sets REPLICAS and READY, and prints a line when either has changed. A failed read is repeated.
look() {
  local text replicas ready
  text=$(in_cluster get deployment "$NAME" \
    --output 'jsonpath={.status.replicas},{.status.readyReplicas}') || return 0
  replicas=${text%,*} ready=${text#*,}
  replicas=${replicas:-0} ready=${ready:-0}
  if [[ "$replicas,$ready" != "$REPLICAS,$READY" ]]; then
    printf '%4d s  pods %2d  ready %2d  %s\n' "$((SECONDS - STARTED))" "$replicas" "$ready" \
      "$(printf '%*s' "$replicas" '' | tr ' ' '#')"
    REPLICAS=$replicas READY=$ready
  fi
}

idle() { [[ "$REPLICAS" == 0 ]]; }
scaled_up() { [[ "$READY" -gt 0 ]]; }

# Waits until the condition holds, and sets TOOK to the seconds since the e-mails were sent.
wait_until() { # condition, error text
  local deadline=$((SECONDS + TIMEOUT_SECONDS))
  look
  until "$1"; do
    if [[ "$SECONDS" -ge "$deadline" ]]; then
      echo "FAILED: $2 within $TIMEOUT_SECONDS s"
      exit 1
    fi
    if [[ "$REPLICAS" -gt "$PEAK" ]]; then PEAK=$REPLICAS; fi
    sleep "$POLL_SECONDS"
    look
  done
  if [[ "$REPLICAS" -gt "$PEAK" ]]; then PEAK=$REPLICAS; fi
  TOOK=$((SECONDS - STARTED))
}

main() {
  local up
  check_settings "$@"
  check_cluster
  if [[ "$YES" == no ]]; then
    ask "This sends $COUNT e-mails to $SQS_QUEUE_URL and watches $(kubectl config current-context)/$NAMESPACE."
  fi
  STARTED=$SECONDS REPLICAS=-1 READY=-1 PEAK=0
  echo "[1/3] waiting for $NAME to be idle"
  wait_until idle "$NAME did not go down to 0, or other e-mails keep coming,"
  echo "[2/3] sending $COUNT e-mails, waiting for a pod that is ready"
  e2e_test/send_to_queue.sh --yes "$COUNT" >/dev/null
  STARTED=$SECONDS PEAK=0
  wait_until scaled_up "no pod was ready"
  up=$TOOK
  echo "[3/3] waiting for $NAME to go back to 0"
  wait_until idle "$NAME did not go back to 0"
  echo "PASSED: 0 -> $PEAK -> 0 pods; the first was ready after $up s, the last was gone after $TOOK s"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
