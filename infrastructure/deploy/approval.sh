# shellcheck shell=bash
# Ensures that only the approved manifests are applied. A pipeline renders once and keeps the file, `--rendered FILE`;
# hours may pass between the approved diff and the apply. Two files beside it keep the state:
#   FILE.live      the live release at the time of the diff
#   FILE.applied   exists if this file has begun to change the cluster
# Without --rendered these functions do nothing.

# Prints the live release: the one that was verified last, and the images of all Deployments.
live_release() {
  local format='{range .items[*]}{.metadata.namespace}/{.metadata.name}{range .spec.template.spec.containers[*]} {.image}{end}{"\n"}{end}'
  in_cluster get configmap pillarbox-release --ignore-not-found \
    --output 'jsonpath=verified {.metadata.uid} {.metadata.resourceVersion}{"\n"}' &&
    in_cluster get deployments --all-namespaces --selector app.kubernetes.io/part-of=pillarbox --output "jsonpath=$format"
}

# A new render has not been approved or applied yet.
forget_approval() {
  [[ -n "${RENDERED_FILE:-}" ]] || return 0
  rm -f "$RENDERED_FILE.live" "$RENDERED_FILE.applied"
}

record_live() {
  [[ -n "${RENDERED_FILE:-}" ]] || return 0
  live_release >"$WORK/live" || fail "the live release cannot be read"
  mv "$WORK/live" "$RENDERED_FILE.live"
}

# Fails if another release went live since the diff, because the approval is no longer valid.
require_unchanged() {
  [[ -n "${RENDERED_FILE:-}" ]] || return 0
  [[ -r "$RENDERED_FILE.live" ]] || fail "there is no $RENDERED_FILE.live: run --only diff with the same file first"
  live_release >"$WORK/live" || fail "the live release cannot be read"
  if ! diff "$RENDERED_FILE.live" "$WORK/live" >&2; then
    fail "the live release has changed since the diff that was approved (above): start again"
  fi
}

mark_applied() {
  [[ -n "${RENDERED_FILE:-}" ]] || return 0
  : >"$RENDERED_FILE.applied"
}

nothing_was_applied() { [[ -n "${RENDERED_FILE:-}" && ! -e "$RENDERED_FILE.applied" ]]; }
