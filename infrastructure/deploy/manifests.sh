# shellcheck shell=bash
# The step render: an overlay over k8s/overlays/<dev|prod> with the stack's outputs and the environment's settings.
# It also has the functions that read a rendered file: its objects, images and settings.
# shellcheck disable=SC2153  # arguments.sh sets what is read here

readonly API_NAMESPACE=pillarbox CONSUMER_NAMESPACE=pillarbox-consumer
# The format of the archive is the same for the consumer and file-intake, so CONSUMER_SETTING_... sets both.
readonly SETTINGS_OF_THE_ARCHIVE='^(S3_KEY_TEMPLATE|OBJECT_[A-Z]+|BATCH_[A-Z_]+|ALLOW_OVERWRITE)='

# Each workload is a Deployment with a service account, a role and settings: the two services, and file-intake, which runs
# the consumer's image too. WORKLOADS has those of the environment.
namespace_of() { # workload
  if [[ "$1" == service1-api ]]; then echo "$API_NAMESPACE"; else echo "$CONSUMER_NAMESPACE"; fi
}

role_of() { # workload
  case "$1" in
    service1-api) output ApiRoleArn ;;
    service2-consumer) output ConsumerRoleArn ;;
    file-intake) output FileIntakeRoleArn ;;
  esac
}

has_component() { [[ " ${COMPONENTS[*]} " == *" $1 "* ]]; }

step_render() {
  read_outputs
  write_settings
  write_overlay
  KUBECONFIG=/dev/null kubectl kustomize "$WORK" | with_runbook >"$WORK/rendered.tmp"
  if [[ "$DRY_RUN" == no ]] && grep -n placeholder "$WORK/rendered.tmp" >&2; then
    fail "the lines above still contain placeholders: an output of the stack is missing"
  fi
  mv "$WORK/rendered.tmp" "$MANIFESTS"
  log "      $(grep -c '^kind: ' "$MANIFESTS") objects${RENDERED_FILE:+ in $RENDERED_FILE}"
}

# Requires manifests: a given file is used unchanged and never rendered again.
rendered() {
  if [[ -z "$RENDERED_FILE" ]]; then
    [[ -s "$MANIFESTS" ]] || step_render
    return
  fi
  [[ -s "$MANIFESTS" ]] || fail "--rendered $RENDERED_FILE: the file does not exist; --only render writes it"
  grep -q "^ *app.kubernetes.io/instance: pillarbox-$ENVIRONMENT\$" "$MANIFESTS" ||
    fail "$RENDERED_FILE was not rendered for the environment $ENVIRONMENT"
}

# In files, because kustomize reads their lines literally, quotes included.
write_settings() {
  {
    printf 'AWS_REGION=%s\nSQS_QUEUE_URL=%s\n' "$REGION" "$(output QueueUrl)"
    printf 'SSM_PARAMETER_NAME=%s\nLOG_LEVEL=%s\n' "$(output TokenParameterName)" "$(setting LOG_LEVEL)"
    payload_setting
    status_settings
    settings_after API_SETTING_
  } >"$WORK/service1-api.env"
  {
    consumer_settings "$(output QueueUrl)" "$(output VisibilityTimeoutSeconds)"
    payload_setting
    settings_after CONSUMER_SETTING_
  } >"$WORK/service2-consumer.env"
  {
    consumer_settings "$(output FilesQueueUrl)" "$(output FilesVisibilitySeconds)"
    printf 'INBOX_BUCKET_NAME=%s\n' "$(output InboxBucketName)"
    file_intake_settings
  } >"$WORK/file-intake.env"
}

consumer_settings() { # queue's URL, visibility timeout
  printf 'AWS_REGION=%s\nSQS_QUEUE_URL=%s\n' "$REGION" "$1"
  printf 'S3_BUCKET_NAME=%s\nS3_PREFIX=%s\n' "$(output BucketName)" "$(output ObjectPrefix)"
  printf 'VISIBILITY_TIMEOUT_SECONDS=%s\nLOG_LEVEL=%s\n' "$2" "$(setting LOG_LEVEL)"
}

# Only a stack with PayloadStore=true has the output.
payload_setting() {
  if [[ -n "${OUTPUTS[PayloadBucketName]:-}" ]]; then printf 'PAYLOAD_BUCKET=%s\n' "${OUTPUTS[PayloadBucketName]}"; fi
}

# Only a stack with StatusRoute=true has the output. The other values are the consumer's format of the archive.
status_settings() {
  if [[ -z "${OUTPUTS[StatusBucketName]:-}" ]]; then return; fi
  printf 'STATUS_BUCKET=%s\nSTATUS_PREFIX=%s\n' "${OUTPUTS[StatusBucketName]}" "$(output ObjectPrefix)"
  settings_after CONSUMER_SETTING_ | sed -n -e 's/^S3_KEY_TEMPLATE=/STATUS_KEY_TEMPLATE=/p' -e 's/^OBJECT_LAYOUT=/STATUS_OBJECT_LAYOUT=/p'
}

# Its own settings, which replace the consumer's settings of the archive. A duplicate key would be an error.
file_intake_settings() {
  {
    settings_after CONSUMER_SETTING_ | { grep -E "$SETTINGS_OF_THE_ARCHIVE" || true; }
    settings_after FILE_INTAKE_SETTING_
  } | awk '{ name = $0; sub(/=.*/, "", name); line[name] = $0 } END { for (name in line) print line[name] }' | LC_ALL=C sort
}

write_overlay() {
  local component service without_files=""
  if [[ "$(setting FILE_INTAKE)" == no ]]; then without_files=yes; fi
  {
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "resources: [../../k8s/overlays/$OVERLAY]"
    echo "components:"
    for component in "${COMPONENTS[@]}" ${CERTIFICATE_ARN:+https} ${without_files:+no-file-intake}; do echo "  - ../../k8s/components/$component"; done
    echo "labels:"
    echo "  - {pairs: {app.kubernetes.io/version: \"$IMAGE_TAG\"}, includeTemplates: true}"
    echo "  - {pairs: {app.kubernetes.io/part-of: pillarbox, app.kubernetes.io/instance: pillarbox-$ENVIRONMENT}, includeTemplates: true}"
    echo "images:"
    for service in "${SERVICES[@]}"; do
      echo "  - {name: pillarbox/$service, newName: $REGISTRY/pillarbox/$service, newTag: \"$IMAGE_TAG\"}"
    done
    echo "configMapGenerator:"
    for service in "${WORKLOADS[@]}"; do
      echo "  - {name: $service-settings, namespace: $(namespace_of "$service"), behavior: merge, envs: [$service.env]}"
    done
    if has_component fixed-replicas; then
      echo "replicas:"
      echo "  - {name: service2-consumer, count: $(at_least 2 CONSUMER_MIN_REPLICAS)}"
      if [[ -z "$without_files" ]]; then echo "  - {name: file-intake, count: $(at_least 1 FILE_INTAKE_MIN_REPLICAS)}"; fi
    fi
    echo "patches:"
    service_patches
    scaling_patches
    ingress_patches
    monitoring_patches
  } >"$WORK/kustomization.yaml"
}

# The number of pods without KEDA: two consumers, so that one can be replaced, and one file-intake, whose files can wait
# for a replacement; more if the environment requires more.
at_least() { # number, key
  local wanted
  wanted=$(setting "$2")
  echo $((wanted > $1 ? wanted : $1))
}

patch() { # kind, name, then operation, path and value for each change
  printf '  - target: {kind: %s, name: %s}\n    patch: |\n' "$1" "$2"
  shift 2
  while [[ $# -gt 0 ]]; do
    printf '      - {op: %s, path: %s%s}\n' "$1" "$2" "${3:+, value: $3}"
    shift 3
  done
}

service_patches() {
  local service role=/metadata/annotations/eks.amazonaws.com~1role-arn
  for service in "${WORKLOADS[@]}"; do
    if [[ "$(setting POD_IDENTITY)" == yes ]]; then
      patch ServiceAccount "$service" remove "$role" "" # with it the SDK would prefer IRSA to Pod Identity
    else
      patch ServiceAccount "$service" replace "$role" "\"$(role_of "$service")\""
    fi
    patch Deployment "$service" \
      replace /spec/progressDeadlineSeconds "$(setting PROGRESS_DEADLINE_SECONDS)" \
      replace /spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0/values \
      "[${PLATFORMS//linux\//}]"
  done
}

scaling_patches() {
  patch HorizontalPodAutoscaler service1-api \
    replace /spec/minReplicas "$(setting API_MIN_REPLICAS)" \
    replace /spec/maxReplicas "$(setting API_MAX_REPLICAS)"
  patch ScaledObject service2-consumer \
    replace /spec/minReplicaCount "$(setting CONSUMER_MIN_REPLICAS)" \
    replace /spec/maxReplicaCount "$(setting CONSUMER_MAX_REPLICAS)" \
    replace /spec/fallback/replicas "$(setting KEDA_FALLBACK_REPLICAS)" \
    replace /spec/triggers/0/metadata/queueLength "\"$(setting KEDA_QUEUE_LENGTH)\"" \
    replace /spec/triggers/0/metadata/awsRegion "\"$REGION\""
  patch ScaledObject file-intake \
    replace /spec/minReplicaCount "$(setting FILE_INTAKE_MIN_REPLICAS)" \
    replace /spec/maxReplicaCount "$(setting FILE_INTAKE_MAX_REPLICAS)" \
    replace /spec/triggers/0/metadata/queueLength "\"$(setting FILE_INTAKE_QUEUE_LENGTH)\"" \
    replace /spec/triggers/0/metadata/awsRegion "\"$REGION\""
}

ingress_patches() {
  local alb=/metadata/annotations/alb.ingress.kubernetes.io changes=()
  changes+=(replace "$alb~1scheme" "\"$(setting ALB_SCHEME)\"")
  changes+=(replace "$alb~1load-balancer-attributes" "\"$(load_balancer_attributes)\"")
  changes+=(add "$alb~1tags" "\"$(cost_tags | paste -sd, -)\"")
  if [[ -n "$(setting ALB_SUBNETS)" ]]; then changes+=(add "$alb~1subnets" "\"$(setting ALB_SUBNETS)\""); fi
  if [[ -n "$(setting ALB_INBOUND_CIDRS)" ]]; then changes+=(add "$alb~1inbound-cidrs" "\"$(setting ALB_INBOUND_CIDRS)\""); fi
  if [[ -n "$(setting WAF_ACL_ARN)" ]]; then changes+=(add "$alb~1wafv2-acl-arn" "\"$(setting WAF_ACL_ARN)\""); fi
  if [[ -n "$CERTIFICATE_ARN" ]]; then
    changes+=(replace "$alb~1certificate-arn" "\"$CERTIFICATE_ARN\"" add /spec/rules/0/host "\"$API_HOSTNAME\"")
  fi
  patch Ingress service1-api "${changes[@]}"
}

# The controller does not change attributes that are missing here, so disabled ones are listed too.
load_balancer_attributes() {
  local bucket
  bucket=$(setting ALB_ACCESS_LOG_BUCKET)
  sed -n 's/^ *alb.ingress.kubernetes.io\/load-balancer-attributes: *//p' k8s/base/api/service1-api-ingress.yaml | tr -d '\n'
  printf ',deletion_protection.enabled=%s' "$(if [[ "$(setting ALB_DELETION_PROTECTION)" == yes ]]; then echo true; else echo false; fi)"
  if [[ -n "$bucket" ]]; then
    printf ',access_logs.s3.enabled=true,access_logs.s3.bucket=%s,access_logs.s3.prefix=pillarbox-%s' "$bucket" "$ENVIRONMENT"
  else
    printf ',access_logs.s3.enabled=false'
  fi
}

# Prints the objects of a rendered file, one per line: TYPE NAMESPACE NAME, with - for no namespace.
inventory() { # file
  awk '
    function finish() { if (kind != "") print kind group, (namespace == "" ? "-" : namespace), name; kind = group = namespace = name = "" }
    /^---/ { finish() }
    /^[a-z]/ { part = $1 }
    /^apiVersion: .*\// { group = $2; sub(/\/.*/, "", group); group = "." group }
    /^kind: / { kind = $2 }
    part == "metadata:" && /^  name: / { name = $2 }
    part == "metadata:" && /^  namespace: / { namespace = $2 }
    END { finish() }
  ' "$1" | LC_ALL=C sort -u
}

# Prints the Deployments of a file, one per line: NAME NAMESPACE.
deployments_of() { # file
  inventory "$1" | awk '$1 == "Deployment.apps" { print $3, $2 }'
}

# Prints the documents of a file whose "TYPE NAMESPACE NAME" matches a pattern.
documents_of() { # file, pattern of "TYPE NAMESPACE NAME"
  awk -v wanted="$2" '
    function finish() { if ((kind " " namespace " " name) ~ wanted) printf "---\n%s", text; text = kind = name = ""; namespace = "-" }
    BEGIN { namespace = "-" }
    /^---/ { finish(); part = ""; next }
    /^[a-z]/ { part = $1 }
    /^kind: / { kind = $2 }
    part == "metadata:" && /^  name: / { name = $2 }
    part == "metadata:" && /^  namespace: / { namespace = $2 }
    { text = text $0 "\n" }
    END { finish() }
  ' "$1"
}

# Prints what identifies a release in the cluster: the images and the names of the ConfigMaps, one per line.
fingerprint() { # file
  sed -n -e 's/^ *image: //p' -e '/^ *- configMapRef:/{n;s/^ *name: //p;}' "$1" | LC_ALL=C sort -u
}
