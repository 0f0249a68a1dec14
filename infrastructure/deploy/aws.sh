# shellcheck shell=bash
# The steps of deploy.sh that use AWS: credentials, stacks and their outputs, token, alarms.
# shellcheck disable=SC2153  # arguments.sh sets these variables

declare -A OUTPUTS=()

in_aws() { aws --region "$REGION" "$@"; }

# Sets ANSWER to the output of the aws CLI, or to nothing if AWS reports that the resource does not exist.
# Any other error ends the script: a failed call must not be read as "does not exist".
ask_aws() { # pattern of the error code that means "none", arguments of the aws CLI...
  local none=$1
  shift
  if ANSWER=$(aws "$@" 2>"$WORK/aws-error"); then return; fi
  ANSWER=""
  if grep -Eq "$none" "$WORK/aws-error"; then return; fi
  log "$(<"$WORK/aws-error")"
  fail "AWS did not answer: aws $*"
}

# Assumes the environment's role: the SDK does it with a web identity token, else the current identity does.
assume_role() {
  local role credentials
  role=$(setting DEPLOY_ROLE_ARN)
  [[ -n "$role" ]] || fail "--assume-role: DEPLOY_ROLE_ARN is empty in the file of the environment $ENVIRONMENT"
  export AWS_ROLE_SESSION_NAME=pillarbox-deploy-$ENVIRONMENT
  if [[ -n "${AWS_WEB_IDENTITY_TOKEN_FILE:-}" ]]; then
    export AWS_ROLE_ARN=$role
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE # each of them would take precedence
    return
  fi
  credentials=$(in_aws sts assume-role --role-arn "$role" --role-session-name "$AWS_ROLE_SESSION_NAME" \
    --query 'Credentials.[AccessKeyId, SecretAccessKey, SessionToken]' --output text) || fail "cannot assume $role"
  read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN <<<"$credentials"
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
  unset AWS_PROFILE
}

check_credentials() {
  local account
  account=$(in_aws sts get-caller-identity --query Account --output text) || fail "no valid AWS credentials"
  [[ "$account" == "$ACCOUNT_ID" ]] || fail "the credentials belong to account $account, not to $ACCOUNT_ID"
}

check_cluster() {
  in_aws eks describe-cluster --name "$CLUSTER" --query cluster.status --output text >/dev/null ||
    fail "no EKS cluster $CLUSTER in $REGION, or no permission to describe it (another name: EKS_CLUSTER or --cluster)"
}

# Prints the tags of all resources that cost money, one per line.
cost_tags() {
  printf 'Application=pillarbox\nEnvironment=%s\n' "$ENVIRONMENT"
  tr ',' '\n' <<<"$(setting TAGS)" | sed '/^$/d'
}

deploy_stack() { # region, stack, template, tags (a line each), parameters...
  local region=$1 stack=$2 template=$3 tags
  mapfile -t tags <<<"$4"
  shift 4
  change aws --region "$region" cloudformation deploy --stack-name "$stack" --template-file "$template" \
    --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --tags "${tags[@]}" ${1:+--parameter-overrides "$@"}
}

# A registry of another account is managed there. All environments share the registry, so it has no environment tag.
step_registry() {
  if [[ "$REGISTRY" == "$ACCOUNT_ID".* ]]; then
    deploy_stack "$(registry_region)" pillarbox-registry infrastructure/registry.yaml Application=pillarbox
  else
    log "      the repositories belong to account ${REGISTRY%%.*}: not changed"
  fi
}

# Changes only the stack, before any pod: the running release must work with it.
step_infrastructure() {
  step_registry
  local identity
  mapfile -t identity < <(identity_parameters)
  [[ ${#identity[@]} -gt 0 ]] || fail "the pods would have no AWS identity (see the line above)"
  STACK_CHANGED=no
  deploy_stack "$REGION" "pillarbox-$ENVIRONMENT" infrastructure/pipeline.yaml "$(cost_tags)" \
    "TokenParameterName=/email-service/$ENVIRONMENT/api-token" "AlarmTopicArn=$(setting ALARM_TOPIC_ARN)" \
    "KedaOperatorRole=$(setting KEDA_OPERATOR_ROLE)" "FileIntake=$(file_intake)" "${identity[@]}" "${STACK_PARAMETERS[@]}" "${PARAMETERS[@]}" \
    2>&1 | tee "$WORK/stack-output" >&2
  OUTPUTS=()
  if [[ "$DRY_RUN" == yes ]]; then return; fi
  if ! grep -q "No changes to deploy" "$WORK/stack-output"; then STACK_CHANGED=yes; fi
  read_outputs
  if [[ "$(setting POD_IDENTITY)" == yes ]]; then associate_pod_identities; fi
  if [[ -n "${OUTPUTS[KedaOperatorRoleArn]:-}" ]]; then
    log "      KEDA's operator (keda/keda-operator) must have the role ${OUTPUTS[KedaOperatorRoleArn]}: see docs/operations.md, \"Scaling\""
  fi
  if [[ "$STACK_CHANGED" == yes ]]; then verify_running_release; fi
}

file_intake() { if [[ "$(setting FILE_INTAKE)" == yes ]]; then echo true; else echo false; fi; }

# Prints the parameters by which the pods get their roles; prints nothing, and logs an error, if they cannot.
identity_parameters() {
  if [[ "$(setting POD_IDENTITY)" == yes ]]; then
    printf 'PodIdentity=yes\nClusterName=%s\n' "$CLUSTER"
    return
  fi
  local provider
  provider=$(oidc_provider_arn) || return 0
  printf 'PodIdentity=no\nOidcProviderArn=%s\n' "$provider"
}

# Prints the cluster's IAM OIDC provider. Without it the pods would have no credentials.
oidc_provider_arn() {
  local identity partition issuer arn
  identity=$(in_aws sts get-caller-identity --query Arn --output text) || fail "no valid AWS credentials"
  partition=$(cut -d: -f2 <<<"$identity")
  issuer=$(in_aws eks describe-cluster --name "$CLUSTER" --query cluster.identity.oidc.issuer --output text) ||
    fail "no EKS cluster $CLUSTER in $REGION, or no permission to describe it"
  arn="arn:$partition:iam::$ACCOUNT_ID:oidc-provider/${issuer#*://}"
  ask_aws NoSuchEntity iam get-open-id-connect-provider --open-id-connect-provider-arn "$arn" --query Url --output text
  [[ -n "$ANSWER" ]] ||
    fail "IAM has no OIDC provider for $CLUSTER: eksctl utils associate-iam-oidc-provider --cluster $CLUSTER --approve, or POD_IDENTITY=yes"
  echo "$arn"
}

associate_pod_identities() {
  local workload
  for workload in "${WORKLOADS[@]}"; do
    associate "$(namespace_of "$workload")" "$workload" "$(role_of "$workload")"
  done
  if [[ -n "${OUTPUTS[KedaOperatorRoleArn]:-}" ]]; then associate keda keda-operator "${OUTPUTS[KedaOperatorRoleArn]}"; fi
}

associate() { # namespace, service account, role
  local id role
  id=$(in_aws eks list-pod-identity-associations --cluster-name "$CLUSTER" --namespace "$1" --service-account "$2" \
    --query 'associations[0].associationId' --output text)
  if [[ "$id" == None ]]; then
    change in_aws eks create-pod-identity-association --cluster-name "$CLUSTER" --namespace "$1" --service-account "$2" \
      --role-arn "$3" --query association.associationId --output text
    return
  fi
  role=$(in_aws eks describe-pod-identity-association --cluster-name "$CLUSTER" --association-id "$id" \
    --query association.roleArn --output text)
  if [[ "$role" != "$3" ]]; then
    change in_aws eks update-pod-identity-association --cluster-name "$CLUSTER" --association-id "$id" --role-arn "$3" \
      --query association.associationId --output text
  fi
}

# Reads the stack's outputs once. A dry run before the first deployment uses placeholders.
read_outputs() {
  [[ ${#OUTPUTS[@]} -eq 0 ]] || return 0
  local name value
  ask_aws 'Stack with id .* does not exist' --region "$REGION" cloudformation describe-stacks \
    --stack-name "pillarbox-$ENVIRONMENT" --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]' --output text
  if [[ -z "$ANSWER" ]]; then
    [[ "$DRY_RUN" == yes ]] || fail "there is no stack pillarbox-$ENVIRONMENT; run without --skip-infrastructure once"
    log "      there is no stack pillarbox-$ENVIRONMENT yet: its values are shown as placeholders"
    OUTPUTS[TokenParameterName]=/email-service/$ENVIRONMENT/api-token
    return 0
  fi
  while read -r name value; do
    OUTPUTS[$name]=$value
  done <<<"$ANSWER"
}

output() { # name
  echo "${OUTPUTS[$1]:-placeholder}"
}

step_token() {
  read_outputs
  local name key=${OUTPUTS[TokenKmsKeyArn]:-}
  name=$(output TokenParameterName)
  ask_aws ParameterNotFound --region "$REGION" ssm get-parameter --name "$name" --query Parameter.Version --output text
  if [[ -n "$ANSWER" ]]; then
    log "      $name exists already"
    return
  fi
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would create a random token in $name"
    return
  fi
  # Through a pipe: an argument would be visible in the list of processes.
  random_token | in_aws ssm put-parameter --name "$name" --type SecureString --value file:///dev/stdin \
    ${key:+--key-id "$key"} >/dev/null
  log "      $name created; read it with: aws ssm get-parameter --with-decryption --name $name"
}

random_token() { head -c 36 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }

# Prints the newest valid token, which only the verification uses.
read_token() {
  in_aws ssm get-parameter --name "$(output TokenParameterName)" --with-decryption --query Parameter.Value --output text |
    sed -n 1p
}

# The alarms on the load balancer, which exists only after the Ingress has been applied.
step_alarms() {
  local balancer="" group=""
  if [[ "$DRY_RUN" == no ]]; then
    look_at_ingress
    balancer=$(load_balancer_arn)
    [[ "$balancer" == arn:* ]] || fail "AWS has no load balancer named ${LOAD_BALANCER:-(none yet)}: does it belong to another account or region?"
    group=$(in_aws elbv2 describe-target-groups --load-balancer-arn "$balancer" --query 'TargetGroups[0].TargetGroupArn' --output text)
    [[ "$group" == arn:* ]] || fail "the load balancer $LOAD_BALANCER has no target group"
  fi
  local watched=("EnvironmentName=$ENVIRONMENT" "LoadBalancerFullName=${balancer#*:loadbalancer/}"
    "TargetGroupFullName=targetgroup/${group#*:targetgroup/}" "AlarmTopicArn=$(setting ALARM_TOPIC_ARN)")
  deploy_stack "$REGION" "pillarbox-$ENVIRONMENT-alarms" infrastructure/alarms.yaml "$(cost_tags)" "${watched[@]}" \
    "ApiLogGroupName=$(setting API_LOG_GROUP)" "CertificateArn=$CERTIFICATE_ARN" \
    "Dashboard=$(setting CLOUDWATCH_DASHBOARD)"
  if [[ "$(setting OBJECTIVE_ALARMS)" == yes ]]; then
    deploy_stack "$REGION" "pillarbox-$ENVIRONMENT-objectives" infrastructure/objectives.yaml "$(cost_tags)" "${watched[@]}"
  fi
}

load_balancer_arn() {
  in_aws elbv2 describe-load-balancers --query "LoadBalancers[?DNSName=='$LOAD_BALANCER'].LoadBalancerArn | [0]" --output text
}
