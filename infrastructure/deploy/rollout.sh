# shellcheck shell=bash
# The steps of deploy.sh after the apply: wait for the pods, call the API, send an e-mail; and the diagnosis of failures.
# shellcheck disable=SC2034  # deploy.sh and the other files read what is set here

# Runs a long command in the background, so that the script handles signals at once.
interruptible() {
  "$@" >&2 &
  RUNNING=$!
  local code=0
  wait "$RUNNING" || code=$?
  RUNNING=""
  return "$code"
}

# Ends the script if the cluster does not have the rendered release: another release's pods verify nothing.
require_live() {
  local name namespace live=""
  while read -r name namespace; do
    live+=$(in_cluster --namespace "$namespace" get deployment "$name" --ignore-not-found --output \
      'jsonpath={.spec.template.spec.containers[*].image}{"\n"}{.spec.template.spec.containers[*].envFrom[*].configMapRef.name}{"\n"}' </dev/null)$'\n'
  done < <(deployments_of "$MANIFESTS")
  live=$(sed '/^$/d' <<<"$live" | LC_ALL=C sort -u)
  if [[ "$live" == "$(fingerprint "$MANIFESTS")" ]]; then return; fi
  APPLIED=no # another deployment's release must not be rolled back
  log "$live"
  fail "the cluster does not have this release: another deployment has replaced it (above: the live release)"
}

step_wait() {
  rendered
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would wait for the rollouts, the minimum number of pods and KEDA"
    return
  fi
  require_live
  wait_for_rollouts "$MANIFESTS" || {
    require_live
    fail "the rollout failed"
  }
  require_live
  local name namespace
  while read -r name namespace; do
    wait_for_replicas "$name" "$namespace" "$(least "$name")"
  done < <(deployments_of "$MANIFESTS")
  while read -r name namespace; do
    wait_for_keda "$name" "$namespace"
  done < <(inventory "$MANIFESTS" | awk '$1 == "ScaledObject.keda.sh" { print $3, $2 }')
}

# The Deployment's condition tells when a rollout has failed (progressDeadlineSeconds without progress); the time-out
# is an upper limit, for a paused Deployment. A Deployment that is scaled to zero is complete.
wait_for_rollouts() { # file
  local name namespace
  connect
  while read -r name namespace; do
    interruptible kubectl --namespace "$namespace" rollout status "deployment/$name" \
      --timeout="${ROLLOUT_TIMEOUT_SECONDS:-3600}s" </dev/null || return 1
  done < <(deployments_of "$1")
}

# Prints an autoscaler's minimum number of pods in the manifests, or nothing without an autoscaler.
least() { # workload
  documents_of "$MANIFESTS" "^(HorizontalPodAutoscaler|ScaledObject) [^ ]+ $1\$" | sed -nE 's/^  min(Replicas|ReplicaCount): //p'
}

# A first rollout is complete with one pod; the autoscaler adds the others afterwards.
wait_for_replicas() { # workload, namespace, number
  local deadline=$((SECONDS + ${REPLICAS_TIMEOUT_SECONDS:-180})) ready=""
  while true; do
    ready=$(in_cluster --namespace "$2" get deployment "$1" --output 'jsonpath={.status.readyReplicas}' </dev/null)
    if [[ "${ready:-0}" -ge "${3:-0}" ]]; then return; fi
    [[ "$SECONDS" -lt "$deadline" ]] || fail "$1: ${ready:-0} of at least $3 pods are ready"
    sleep 2
  done
}

# Until KEDA has read the queue for the first time, it reports success.
wait_for_keda() { # workload, namespace
  local settled=$((${APPLIED_AT:-$SECONDS} + ${KEDA_SETTLE_SECONDS:-15})) deadline state=""
  deadline=$((settled + ${REPLICAS_TIMEOUT_SECONDS:-180}))
  log "      waiting for KEDA to read the queue of $1"
  while true; do
    state=$(in_cluster --namespace "$2" get scaledobject "$1" --output \
      'jsonpath={.status.conditions[?(@.type=="Ready")].status}/{.status.conditions[?(@.type=="Fallback")].status}' </dev/null)
    if [[ "$SECONDS" -ge "$settled" && "$state" == True/* && "$state" != */True ]]; then return; fi
    if [[ "$SECONDS" -ge "$deadline" ]]; then break; fi
    sleep 2
  done
  in_cluster --namespace "$2" get scaledobject "$1" --output \
    'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' </dev/null >&2
  fail "KEDA cannot scale $1: can its operator read the queue (KEDA_OPERATOR_ROLE; docs/operations.md, \"Scaling\")?"
}

# Prints the URL for clients, from the Ingress that was read last.
api_url() {
  if [[ -n "$LIVE_HOST" ]]; then echo "https://$LIVE_HOST"; else echo "http://$LOAD_BALANCER"; fi
}

# Waits until the load balancer exists, its name resolves and the API answers through it.
step_health() {
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would wait for GET /health through the load balancer"
    return
  fi
  local deadline=$((SECONDS + ${HEALTH_TIMEOUT_SECONDS:-300}))
  while true; do
    look_at_ingress
    if [[ -n "$LOAD_BALANCER" ]] && curl --fail --silent --max-time 5 --output /dev/null \
      ${LIVE_HOST:+--connect-to "$LIVE_HOST:443:$LOAD_BALANCER:443"} "$(api_url)/health"; then
      log "      $(api_url)/health answers"
      return
    fi
    [[ "$SECONDS" -lt "$deadline" ]] || fail "the load balancer (${LOAD_BALANCER:-none yet}) does not answer GET /health with 200"
    sleep 5
  done
}

step_verify() {
  if [[ "$DRY_RUN" == yes ]]; then
    step_health
    log "      would post an e-mail and check its object"
    return
  fi
  rendered
  take_lock
  send_email
  require_live
  record_release
}

send_email() {
  step_health
  read_outputs
  local token
  token=$(read_token)
  API_URL=$(api_url) ALB_DNS=${LIVE_HOST:+$LOAD_BALANCER} API_TOKEN=$token S3_BUCKET_NAME=$(output BucketName) \
    S3_PREFIX=$(output ObjectPrefix) AWS_REGION=$REGION E2E_TIMEOUT_SECONDS=${VERIFY_TIMEOUT_SECONDS:-180} \
    e2e_test/run_e2e.sh --yes >&2
}

# After a change of the stack, the running release must work with it before the next one is rolled out.
verify_running_release() {
  local found
  found=$(in_cluster get configmap "$RELEASE" --ignore-not-found --output name)
  if [[ -z "$found" ]]; then
    log "      no running release to verify the changed stack with"
    return
  fi
  log "      the stack has changed: verifying it with the running release"
  (send_email) || {
    report_what_remains
    fail "the running release does not work with the changed stack: the new release was not rolled out"
  }
}

# Prints Kubernetes' data about a failure: pods, warnings, the last log lines of pods that are not ready.
show_diagnosis() {
  local namespace pod
  for namespace in "$API_NAMESPACE" "$CONSUMER_NAMESPACE"; do
    log "      --- $namespace: pods, warnings"
    in_cluster --namespace "$namespace" get pods --output wide | sed -n 1,12p
    in_cluster --namespace "$namespace" get events --field-selector type=Warning --sort-by=.lastTimestamp \
      --output 'custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message' --no-headers | tail -n 6
    for pod in $(failing_pods "$namespace" | sed -n 1,2p); do
      log "      --- $namespace/$pod: last lines"
      in_cluster --namespace "$namespace" logs "$pod" --tail=8 || true
      in_cluster --namespace "$namespace" logs "$pod" --tail=4 --previous 2>/dev/null || true
    done
  done 2>&1 | cut -c 1-200 | sed -n 1,70p >&2
}

failing_pods() { # namespace
  in_cluster --namespace "$1" get pods --output \
    'jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' |
    awk '$2 != "True" { print $1 }'
}
