# shellcheck shell=bash
# What the component probe needs of an environment: a stack of its own, settings, and the role of its service account.
# shellcheck disable=SC2153  # arguments.sh sets what is read here

# Gives the value of a parameter of the environment's stack, or nothing where neither the file nor the command line has it.
stack_parameter() { # name
  local given value=${SETTINGS[STACK_$1]:-}
  for given in "${PARAMETERS[@]}"; do
    if [[ "$given" == "$1="* ]]; then value=${given#*=}; fi
  done
  echo "$value"
}

check_probe() {
  if ! has_component probe; then return; fi
  [[ -n "$CERTIFICATE_ARN" && -n "$API_HOSTNAME" ]] ||
    wrong_usage "COMPONENTS: probe needs CERTIFICATE_ARN and API_HOST_NAME, since the token travels with its e-mail"
  [[ "$(stack_parameter StatusRoute)" == true ]] ||
    wrong_usage "COMPONENTS: probe needs STACK_StatusRoute=true, by which it sees that its e-mail is archived"
}

# The aws CLI drops the parameters that this template does not have, so all that was said of the other stack is passed.
deploy_probe_stack() { # parameters of the environment's stack...
  deploy_stack "$REGION" "pillarbox-$ENVIRONMENT-probe" infrastructure/probe.yaml "$(cost_tags)" "$@" \
    "QueueArn=$(output QueueArn)" "DeadLetterQueueArn=$(output DeadLetterQueueArn)" "BucketArn=$(output BucketArn)" \
    "TokenParameterName=$(output TokenParameterName)" "TokenKmsKeyArn=${OUTPUTS[TokenKmsKeyArn]:-}"
  if [[ "$DRY_RUN" == no ]]; then add_outputs "pillarbox-$ENVIRONMENT-probe"; fi
}

# Ends the script where the stacks are not ready for the probe: its pods would fail one by one.
require_probe_stack() {
  if ! has_component probe || [[ "$DRY_RUN" == yes ]]; then return; fi
  [[ -n "${OUTPUTS[StatusBucketName]:-}" ]] ||
    fail "the stack pillarbox-$ENVIRONMENT has no status route yet, which the probe needs: run without --skip-infrastructure once"
  [[ -n "${OUTPUTS[ProbeRoleArn]:-}" ]] ||
    fail "there is no stack pillarbox-$ENVIRONMENT-probe; run without --skip-infrastructure once"
}

probe_settings() {
  printf 'AWS_REGION=%s\nSQS_QUEUE_URL=%s\n' "$REGION" "$(output QueueUrl)"
  printf 'SQS_DLQ_URL=%s\nS3_BUCKET_NAME=%s\n' "$(output DeadLetterQueueUrl)" "$(output BucketName)"
  printf 'S3_PREFIX=%s\nSSM_PARAMETER_NAME=%s\n' "$(output ObjectPrefix)" "$(output TokenParameterName)"
  printf 'API_URL=https://%s\n' "$API_HOSTNAME"
}

# By patches: kustomize generates the ConfigMaps of an overlay before it reads its components, so nothing is there to merge.
probe_patches() {
  local name value changes=()
  while IFS='=' read -r name value; do
    value=${value//\\/\\\\}
    changes+=(replace "/data/$name" "\"${value//\"/\\\"}\"")
  done < <(probe_settings)
  patch ConfigMap probe-settings "${changes[@]}"
  role_patch probe
  patch CronJob pillarbox-probe replace "/spec/jobTemplate/spec/template/spec/$NODE_ARCHITECTURES" "[${PLATFORMS//linux\//}]"
}
