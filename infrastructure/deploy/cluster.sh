# shellcheck shell=bash
# The steps of deploy.sh in the cluster up to the apply: requirements, difference, change.
# shellcheck disable=SC2034  # deploy.sh and the other files read what is set here

readonly FIELD_MANAGER=pillarbox-deploy
readonly CERTIFICATE_ANNOTATION='alb\.ingress\.kubernetes\.io/certificate-arn'

# Creates a separate kubeconfig for this run, so that the operator's context is not changed.
connect() {
  if [[ -e "$KUBECONFIG" ]]; then return; fi
  in_aws eks update-kubeconfig --name "$CLUSTER" --kubeconfig "$KUBECONFIG.new" >/dev/null
  KUBECONFIG=$KUBECONFIG.new kubectl config set-context --current --namespace "$API_NAMESPACE" >/dev/null
  mv "$KUBECONFIG.new" "$KUBECONFIG"
}

# Runs kubectl; the default namespace is that of the API.
in_cluster() {
  connect
  kubectl "$@"
}

# Server-side apply: no annotation of the last configuration, and the cluster records the owner of each field.
apply() { # file
  in_cluster apply --server-side --force-conflicts --field-manager "$FIELD_MANAGER" --filename "$1"
}

# Returns whether the cluster's API has these resources. Ends the script if the API does not answer.
api_has() { # group/version, resources...
  local found resource
  if ! found=$(in_cluster get --raw "/apis/$1" 2>"$WORK/api-error"); then
    if grep -q NotFound "$WORK/api-error"; then return 1; fi
    log "$(<"$WORK/api-error")"
    fail "the cluster does not answer"
  fi
  shift
  for resource in "$@"; do
    [[ "$found" == *"\"name\":\"$resource\""* ]] || return 1
  done
}

# Checks the requirements of the components before any change.
check_components() {
  if ! has_component fixed-replicas; then
    api_has keda.sh/v1alpha1 scaledobjects triggerauthentications ||
      fail "the cluster has no KEDA: install it, or choose the component fixed-replicas"
  fi
  if has_component service-monitor; then
    api_has monitoring.coreos.com/v1 servicemonitors podmonitors ||
      fail "the cluster has no Prometheus operator: install it, or remove the component service-monitor"
  fi
  if has_component monitoring; then
    api_has monitoring.coreos.com/v1 prometheusrules ||
      fail "the cluster has no Prometheus operator: install it, or remove the component monitoring"
  fi
}

# Sets LIVE_CERTIFICATE, LIVE_HOST and LOAD_BALANCER from the live Ingress; empty if there is none.
look_at_ingress() {
  local text
  text=$(in_cluster get ingress service1-api --ignore-not-found --output \
    "jsonpath={.metadata.annotations.$CERTIFICATE_ANNOTATION}|{.spec.rules[0].host}|{.status.loadBalancer.ingress[0].hostname}")
  IFS='|' read -r LIVE_CERTIFICATE LIVE_HOST LOAD_BALANCER <<<"$text"
}

# Without this check, a deployment without the certificate would send tokens in clear text.
require_https_kept() { # "yes" where the new manifests have a certificate
  look_at_ingress
  if [[ -z "$LIVE_CERTIFICATE" || "$1" == yes ]]; then return; fi
  fail "the live Ingress has the certificate $LIVE_CERTIFICATE and the new one has none: set CERTIFICATE_ARN and
API_HOST_NAME in the environment's file. To go back to HTTP on purpose, take the annotation off the Ingress first"
}

has_certificate() { # file
  if grep -q '^    alb.ingress.kubernetes.io/certificate-arn: ' "$1"; then echo yes; else echo no; fi
}

# Prints the namespaces of the rendered file that do not exist in the cluster yet.
missing_namespaces() {
  local name found
  for name in $(inventory "$MANIFESTS" | awk '$1 == "Namespace" { print $3 }'); do
    found=$(in_cluster get namespace "$name" --ignore-not-found --output name) || return 1
    if [[ -z "$found" ]]; then echo "$name"; fi
  done
}

step_diff() {
  rendered
  local missing name code=0
  missing=$(missing_namespaces) || fail "the cluster does not answer"
  for name in $missing; do
    log "      the namespace $name is new, with all its objects:"
    inventory "$MANIFESTS" | awk -v name="$name" '$2 == name { print "        " $1 " " $3 }' >&2
  done
  documents_of "$MANIFESTS" "^($(live_namespaces_pattern "$missing"))\$" >"$WORK/known.yaml"
  if [[ -s "$WORK/known.yaml" ]]; then
    in_cluster diff --server-side --force-conflicts --field-manager "$FIELD_MANAGER" --filename "$WORK/known.yaml" >&2 || code=$?
    if [[ "$code" -gt 1 ]]; then fail "kubectl diff failed"; fi
  fi
  look_at_records
  leftovers "$MANIFESTS" | sed 's/^/      would be removed: /' >&2
  if [[ "$code" -eq 0 && -z "$missing" ]]; then log "      no difference"; fi
  record_live
}

# Prints a pattern for documents_of: all objects except those of the missing namespaces.
live_namespaces_pattern() { # missing namespaces
  local name pattern="none"
  for name in $(inventory "$MANIFESTS" | awk '$1 == "Namespace" { print $3 }'); do
    if [[ " $(tr '\n' ' ' <<<"$1")" != *" $name "* ]]; then pattern="$pattern|Namespace - $name|[^ ]+ $name [^ ]+"; fi
  done
  echo "$pattern"
}

step_apply() {
  rendered
  confirm "Apply this to $ENVIRONMENT ($CLUSTER)?"
  local https
  https=$(has_certificate "$MANIFESTS")
  require_https_kept "$https"
  [[ "$https" == yes ]] || log "      note: without a certificate the token travels unencrypted to the load balancer"
  tag_for_environment
  make_namespaces
  take_lock
  require_unchanged
  begin_attempt
  remove_other_scalers "$MANIFESTS"
  change apply "$MANIFESTS"
  APPLIED_AT=$SECONDS
}

# The lock is in a namespace, so a first deployment creates the namespace before it.
make_namespaces() {
  local missing
  missing=$(missing_namespaces) || fail "the cluster does not answer"
  if [[ -z "$missing" ]]; then return; fi
  documents_of "$MANIFESTS" '^Namespace ' >"$WORK/namespaces.yaml"
  change apply "$WORK/namespaces.yaml"
}

confirm() { # question
  if [[ "$YES" == yes || "$DRY_RUN" == yes ]]; then return; fi
  local answer=""
  read -r -p "$1 [y/N] " answer || true
  [[ "$answer" == [yY]* ]] || fail "not done"
}
