# shellcheck shell=bash
# The records of releases in the cluster, the removal of obsolete objects, and the rollback.
#   ConfigMap pillarbox-release   the manifests verified last, and the settings of the release before (kept)
#   ConfigMap pillarbox-attempt   of an unverified release: the file's id, and every object that may exist
# shellcheck disable=SC2034  # deploy.sh and the other files read what is set here

readonly RELEASE=pillarbox-release ATTEMPT=pillarbox-attempt
# These objects would act on another release at once; all others are removed only after the new one is verified.
readonly SCALERS='^(ScaledObject|TriggerAuthentication|HorizontalPodAutoscaler)\.'

# Reads both ConfigMaps into files: last.yaml, kept, attempt (empty if there is none), and sets ATTEMPT_ID.
look_at_records() {
  in_cluster get configmap "$RELEASE" --ignore-not-found --output 'jsonpath={.data.manifests\.yaml}' >"$WORK/last.yaml"
  in_cluster get configmap "$RELEASE" --ignore-not-found --output 'jsonpath={.data.kept}' >"$WORK/kept"
  in_cluster get configmap "$ATTEMPT" --ignore-not-found --output 'jsonpath={.data.inventory}' >"$WORK/attempt"
  ATTEMPT_ID=$(in_cluster get configmap "$ATTEMPT" --ignore-not-found --output 'jsonpath={.data.id}')
}

# Prints the objects that this or an earlier release may have left in the cluster and that are not in a file.
leftovers() { # file
  {
    inventory "$WORK/last.yaml"
    cat "$WORK/kept" "$WORK/attempt"
  } | grep -v -e '^Namespace ' -e '^$' | LC_ALL=C sort -u | LC_ALL=C comm -23 - <(inventory "$1") || true
}

# Records what is about to be applied, so that another run can remove it too.
begin_attempt() {
  if [[ "$DRY_RUN" == yes ]]; then return; fi
  look_at_records
  {
    leftovers "$MANIFESTS"
    inventory "$MANIFESTS"
  } >"$WORK/inventory"
  ATTEMPT_ID=$(git hash-object "$MANIFESTS")
  write_record "$ATTEMPT" --from-literal=id="$ATTEMPT_ID" --from-file=inventory="$WORK/inventory"
  cp "$WORK/inventory" "$WORK/attempt"
  mark_applied
  APPLIED=yes
}

write_record() { # name, data...
  local name=$1
  shift
  KUBECONFIG=/dev/null kubectl create configmap "$name" --namespace "$API_NAMESPACE" "$@" \
    --dry-run=client --output=yaml >"$WORK/$name.yaml"
  apply "$WORK/$name.yaml" >&2
}

# Removes the objects on standard input, one per line: TYPE NAMESPACE NAME. Some may not exist.
remove_objects() {
  local type namespace name found
  while read -r type namespace name; do
    found=$(in_cluster --namespace "$namespace" get "$type" "$name" --ignore-not-found --output name </dev/null)
    if [[ -z "$found" ]]; then continue; fi
    log "      removing $type $namespace/$name"
    in_cluster --namespace "$namespace" delete "$type" "$name" --ignore-not-found --timeout=120s </dev/null >&2 ||
      fail "$type $namespace/$name is not deleted: if KEDA's operator does not run, its finalizer blocks the deletion (docs/operations.md, \"Removal\")"
  done
}

# A scaler of another release would continue to set the number of pods, so it is removed before the apply.
remove_other_scalers() { # file
  if [[ "$DRY_RUN" == yes ]]; then return; fi
  leftovers "$1" | { grep -E "$SCALERS" || true; } | remove_objects
}

# Records the release to which the next failed deployment rolls back. The previous release's settings are kept for
# `kubectl rollout undo`.
record_release() {
  look_at_records
  [[ -z "$ATTEMPT_ID" || "$ATTEMPT_ID" == "$(git hash-object "$MANIFESTS")" ]] ||
    fail "another deployment has begun in the meantime: this release is not recorded"
  { inventory "$WORK/last.yaml" | grep '^ConfigMap ' || true; } | LC_ALL=C comm -23 - <(inventory "$MANIFESTS") >"$WORK/kept.new"
  leftovers "$MANIFESTS" | LC_ALL=C comm -23 - "$WORK/kept.new" | remove_objects
  write_record "$RELEASE" --from-file=manifests.yaml="$MANIFESTS" --from-file=kept="$WORK/kept.new"
  end_attempt
}

end_attempt() {
  in_cluster delete configmap "$ATTEMPT" --ignore-not-found >/dev/null
  APPLIED=no
}

# Reports what the rollback of a failed deployment does not undo.
report_what_remains() {
  if [[ "${STACK_CHANGED:-no}" == yes ]]; then
    log "      not rolled back: the stack pillarbox-$ENVIRONMENT, which this run changed; deploy the previous commit to change it back"
  fi
  log "      not rolled back: a new token, and images and their tags in the registry (they are harmless)"
}

step_rollback() {
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would apply the manifests verified last"
    return
  fi
  if nothing_was_applied; then
    log "      nothing of $RENDERED_FILE was applied: nothing is changed"
    return
  fi
  look_at_records
  if [[ -z "$ATTEMPT_ID" ]]; then
    log "      nothing was applied since the release verified last: nothing is changed"
    return
  fi
  if [[ -n "$RENDERED_FILE" && "$ATTEMPT_ID" != "$(git hash-object "$MANIFESTS")" ]]; then
    log "      what was applied last is not $RENDERED_FILE: nothing is changed"
    return
  fi
  if [[ ! -s "$WORK/last.yaml" ]]; then
    log "      no release has been verified here before, so there is none to go back to: nothing is changed"
    return
  fi
  take_lock
  go_back
}

go_back() {
  remove_other_scalers "$WORK/last.yaml"
  apply "$WORK/last.yaml" >&2
  wait_for_rollouts "$WORK/last.yaml"
  leftovers "$WORK/last.yaml" | LC_ALL=C comm -23 - "$WORK/kept" | remove_objects
  end_attempt
  log "      rolled back to the release verified last"
}
