# shellcheck shell=bash
# The steps of deploy.sh in the cluster: render, diff, apply, wait, verify, and the way back.

readonly RELEASE=pillarbox-release # the ConfigMap that holds the manifests verified last

in_cluster() {
  [[ -e "$KUBECONFIG" ]] || in_aws eks update-kubeconfig --name "$CLUSTER" --kubeconfig "$KUBECONFIG" >/dev/null
  kubectl --namespace pillarbox "$@"
}

check_keda() {
  if [[ " ${COMPONENTS[*]} " == *" fixed-replicas "* ]]; then return; fi
  local found
  found=$(in_cluster api-resources --api-group=keda.sh --output=name)
  [[ "$found" == *scaledobjects.keda.sh* ]] ||
    fail "the cluster has no KEDA: install it, or pass --component fixed-replicas"
}

step_render() {
  read_outputs
  write_overlay
  KUBECONFIG=/dev/null kubectl kustomize "$WORK" >"$WORK/rendered.yaml"
  if [[ "$DRY_RUN" == no ]] && grep -n placeholder "$WORK/rendered.yaml" >&2; then
    fail "the lines above still hold placeholders: the stack lacks an output"
  fi
  log "      $(grep -c '^kind: ' "$WORK/rendered.yaml") objects"
}

write_overlay() {
  local component
  {
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "namespace: pillarbox"
    echo "resources: [../../k8s/overlays/$ENVIRONMENT]"
    echo "components:"
    for component in "${COMPONENTS[@]}" ${CERTIFICATE_ARN:+https}; do echo "  - ../../k8s/components/$component"; done
    echo "labels:"
    echo "  - {pairs: {app.kubernetes.io/version: \"$IMAGE_TAG\"}, includeTemplates: true}"
    echo "  - {pairs: {app.kubernetes.io/part-of: pillarbox, app.kubernetes.io/instance: pillarbox-$ENVIRONMENT}}"
    overlay_images
    overlay_settings
    overlay_patches
  } >"$WORK/kustomization.yaml"
}

overlay_images() {
  local service
  echo "images:"
  for service in "${SERVICES[@]}"; do
    echo "  - {name: pillarbox/$service, newName: $REGISTRY/pillarbox/$service, newTag: \"$IMAGE_TAG\"}"
  done
}

overlay_settings() {
  cat <<YAML
configMapGenerator:
  - name: service1-api-settings
    behavior: merge
    literals:
      - AWS_REGION=$REGION
      - SQS_QUEUE_URL=$(output QueueUrl)
      - SSM_PARAMETER_NAME=$(output TokenParameterName)
  - name: service2-consumer-settings
    behavior: merge
    literals:
      - AWS_REGION=$REGION
      - SQS_QUEUE_URL=$(output QueueUrl)
      - S3_BUCKET_NAME=$(output BucketName)
      - S3_PREFIX=$(output ObjectPrefix)
      - VISIBILITY_TIMEOUT_SECONDS=$(output VisibilityTimeoutSeconds)
YAML
}

overlay_patches() {
  local role=/metadata/annotations/eks.amazonaws.com~1role-arn
  cat <<YAML
patches:
  - target: {kind: ServiceAccount, name: service1-api}
    patch: |
      - {op: replace, path: $role, value: "$(output ApiRoleArn)"}
  - target: {kind: ServiceAccount, name: service2-consumer}
    patch: |
      - {op: replace, path: $role, value: "$(output ConsumerRoleArn)"}
  - target: {kind: ScaledObject, name: service2-consumer}
    patch: |
      - {op: replace, path: /spec/triggers/0/metadata/awsRegion, value: "$REGION"}
YAML
  if [[ -n "$CERTIFICATE_ARN" ]]; then
    cat <<YAML
  - target: {kind: Ingress, name: service1-api}
    patch: |
      - {op: replace, path: /metadata/annotations/alb.ingress.kubernetes.io~1certificate-arn, value: "$CERTIFICATE_ARN"}
      - {op: add, path: /spec/rules/0/host, value: "$API_HOSTNAME"}
YAML
  fi
}

rendered() {
  [[ -s "$WORK/rendered.yaml" ]] || step_render
}

step_diff() {
  rendered
  if ! in_cluster get namespace pillarbox >/dev/null 2>&1; then
    log "      a first deployment: all of it is new"
    grep -E '^kind: ' "$WORK/rendered.yaml" | sort | uniq -c >&2
    return
  fi
  local code=0
  in_cluster diff --server-side --force-conflicts --filename "$WORK/rendered.yaml" >&2 || code=$?
  case "$code" in
    0) log "      no difference" ;;
    1) ;;
    *) fail "kubectl diff failed" ;;
  esac
}

step_apply() {
  rendered
  confirm
  [[ -n "$CERTIFICATE_ARN" ]] || log "      note: without --certificate-arn the token travels unencrypted to the load balancer"
  change in_cluster apply --server-side --force-conflicts --filename "$WORK/rendered.yaml"
}

confirm() {
  if [[ "$YES" == yes || "$DRY_RUN" == yes ]]; then return; fi
  local answer=""
  read -r -p "Apply this to $ENVIRONMENT ($CLUSTER)? [y/N] " answer || true
  if [[ "$answer" != [yY]* ]]; then
    # shellcheck disable=SC2034  # deploy.sh reads it
    ROLL_BACK_ON_FAILURE=no
    fail "not applied"
  fi
}

step_wait() {
  local service
  for service in "${SERVICES[@]}"; do
    change in_cluster rollout status "deployment/$service" --timeout="${ROLLOUT_TIMEOUT_SECONDS:-300}s"
  done
}

load_balancer() {
  in_cluster get ingress service1-api --output 'jsonpath={.status.loadBalancer.ingress[0].hostname}' 2>/dev/null || true
}

api_url() {
  if [[ -n "$API_HOSTNAME" ]]; then
    echo "https://$API_HOSTNAME"
  else
    echo "http://$(load_balancer)"
  fi
}

# Waits until the load balancer exists, its name resolves and the API answers through it.
step_health() {
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would wait for GET /health through the load balancer"
    return
  fi
  local deadline=$((SECONDS + ${ROLLOUT_TIMEOUT_SECONDS:-300})) host
  while true; do
    host=$(load_balancer)
    if [[ -n "$host" ]] && curl --fail --silent --max-time 5 --output /dev/null \
      ${API_HOSTNAME:+--connect-to "$API_HOSTNAME:443:$host:443"} "$(api_url)/health"; then
      log "      $(api_url)/health answers"
      return
    fi
    [[ "$SECONDS" -lt "$deadline" ]] || fail "the load balancer (${host:-none yet}) does not answer GET /health with 200"
    sleep 5
  done
}

step_verify() {
  step_health
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would post an e-mail and look for its object"
    return
  fi
  rendered
  local token
  token=$(read_token)
  API_URL=$(api_url) ALB_DNS=${API_HOSTNAME:+$(load_balancer)} API_TOKEN=$token S3_BUCKET_NAME=$(output BucketName) \
    S3_PREFIX=$(output ObjectPrefix) AWS_REGION=$REGION E2E_TIMEOUT_SECONDS=${VERIFY_TIMEOUT_SECONDS:-180} \
    e2e_test/run_e2e.sh --yes >&2
  record_release
}

# What the next failed deployment goes back to.
record_release() {
  KUBECONFIG=/dev/null kubectl create configmap "$RELEASE" --namespace pillarbox \
    --from-file=manifests.yaml="$WORK/rendered.yaml" --dry-run=client --output=yaml >"$WORK/release.yaml"
  in_cluster apply --server-side --force-conflicts --filename "$WORK/release.yaml" >&2
}

show_events() {
  in_cluster get pods --output wide >&2
  in_cluster get events --sort-by=.lastTimestamp >&2
}

step_rollback() {
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would apply the manifests verified last"
    return
  fi
  in_cluster get configmap "$RELEASE" --ignore-not-found --output 'jsonpath={.data.manifests\.yaml}' >"$WORK/last.yaml"
  if [[ ! -s "$WORK/last.yaml" ]]; then
    log "      no release has been verified here before, so there is none to go back to: left as it is"
    return
  fi
  in_cluster apply --server-side --force-conflicts --filename "$WORK/last.yaml" >&2
  step_wait
  log "      rolled back to the release verified last"
}
