# shellcheck shell=bash
# The steps of deploy.sh in AWS: credentials, the stacks and their outputs, the token.
# shellcheck disable=SC2153  # arguments.sh sets what is read here

declare -A OUTPUTS=()

in_aws() { aws --region "$REGION" "$@"; }

check_credentials() {
  local account
  account=$(in_aws sts get-caller-identity --query Account --output text) || fail "no valid AWS credentials"
  [[ "$account" == "$ACCOUNT_ID" ]] || fail "the credentials are of account $account, not of $ACCOUNT_ID"
}

check_cluster() {
  in_aws eks describe-cluster --name "$CLUSTER" --query cluster.status --output text >/dev/null ||
    fail "no EKS cluster $CLUSTER in $REGION (another name: --cluster)"
}

deploy_stack() { # region, stack, template, parameters...
  local region=$1 stack=$2 template=$3
  shift 3
  change aws --region "$region" cloudformation deploy --stack-name "$stack" --template-file "$template" \
    --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset ${1:+--parameter-overrides "$@"}
}

# A registry of another account is that account's to keep.
step_registry() {
  if [[ "$REGISTRY" == "$ACCOUNT_ID".* ]]; then
    deploy_stack "$(registry_region)" pillarbox-registry infrastructure/registry.yaml
  else
    log "      the repositories belong to account ${REGISTRY%%.*}: left alone"
  fi
}

step_infrastructure() {
  step_registry
  local provider
  provider=$(oidc_provider_arn)
  deploy_stack "$REGION" "pillarbox-$ENVIRONMENT" infrastructure/pipeline.yaml "OidcProviderArn=$provider" \
    "TokenParameterName=/email-service/$ENVIRONMENT/api-token" "${PARAMETERS[@]}"
}

# Gives the IAM OIDC provider of the cluster, whose absence would leave the pods without credentials.
oidc_provider_arn() {
  local identity partition issuer arn
  identity=$(in_aws sts get-caller-identity --query Arn --output text)
  partition=$(cut -d: -f2 <<<"$identity")
  issuer=$(in_aws eks describe-cluster --name "$CLUSTER" --query cluster.identity.oidc.issuer --output text)
  arn="arn:$partition:iam::$ACCOUNT_ID:oidc-provider/${issuer#*://}"
  in_aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$arn" >/dev/null 2>&1 ||
    fail "IAM has no OIDC provider for $CLUSTER: eksctl utils associate-iam-oidc-provider --cluster $CLUSTER --approve"
  echo "$arn"
}

# Reads the stack's outputs once; a dry run before the first deployment has none and shows placeholders.
read_outputs() {
  [[ ${#OUTPUTS[@]} -eq 0 ]] || return 0
  local text name value
  if ! text=$(in_aws cloudformation describe-stacks --stack-name "pillarbox-$ENVIRONMENT" \
    --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]' --output text 2>/dev/null); then
    [[ "$DRY_RUN" == yes ]] || fail "there is no stack pillarbox-$ENVIRONMENT; run without --skip-infrastructure once"
    log "      there is no stack pillarbox-$ENVIRONMENT yet: its values show as placeholders"
    OUTPUTS[TokenParameterName]=/email-service/$ENVIRONMENT/api-token
    return 0
  fi
  while read -r name value; do
    OUTPUTS[$name]=$value
  done <<<"$text"
}

output() { # name
  echo "${OUTPUTS[$1]:-placeholder}"
}

step_token() {
  read_outputs
  local name key=${OUTPUTS[TokenKmsKeyArn]:-}
  name=$(output TokenParameterName)
  if in_aws ssm get-parameter --name "$name" --query Parameter.Version --output text >/dev/null 2>&1; then
    log "      $name is there already"
    return
  fi
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would make a random token in $name"
    return
  fi
  # Through a pipe: an argument would show in the list of processes.
  random_token | in_aws ssm put-parameter --name "$name" --type SecureString --value file:///dev/stdin \
    ${key:+--key-id "$key"} >/dev/null
  log "      $name made; read it with: aws ssm get-parameter --with-decryption --name $name"
}

random_token() { head -c 36 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }

# Gives the newest of the valid tokens, for the verification alone.
read_token() {
  in_aws ssm get-parameter --name "$(output TokenParameterName)" --with-decryption --query Parameter.Value --output text |
    sed -n 1p
}
