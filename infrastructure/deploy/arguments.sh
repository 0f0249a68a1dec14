# shellcheck shell=bash
# The command line of deploy.sh: sets the variables that the steps read, or ends with a usage line and exit code 2.
# shellcheck disable=SC2034  # the other files read what is set here

readonly USAGE="usage: ./deploy.sh ECR_REGISTRY AWS_ACCOUNT_ID [--environment dev|prod] [--region REGION] [--cluster NAME]
         [--image-tag TAG] [--skip-build] [--skip-infrastructure] [--dry-run] [--yes]
         [--component fixed-replicas|service-monitor]... [--certificate-arn ARN --hostname NAME]
         [--parameter NAME=VALUE]... [--only STEP]
   e.g.: ./deploy.sh 123456789012.dkr.ecr.eu-west-1.amazonaws.com 123456789012 --environment prod"

readonly ONLY_STEPS=" check registry infrastructure token build push images render diff apply wait health verify rollback "

wrong_usage() {
  log "deploy.sh: $1"
  log "$USAGE"
  exit 2
}

require_match() { # what, value, pattern, what is expected
  [[ "$2" =~ ^($3)$ ]] || wrong_usage "$1: expected $4, got \"$2\""
}

parse_arguments() {
  ENVIRONMENT=dev REGION="" CLUSTER="" IMAGE_TAG="" CERTIFICATE_ARN="" API_HOSTNAME="" ONLY=""
  SKIP_BUILD=no SKIP_INFRASTRUCTURE=no DRY_RUN=no YES=no
  COMPONENTS=() PARAMETERS=()
  local positional=()
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --skip-build) SKIP_BUILD=yes ;;
      --skip-infrastructure) SKIP_INFRASTRUCTURE=yes ;;
      --dry-run) DRY_RUN=yes ;;
      --yes) YES=yes ;;
      --help) log "$USAGE"; exit 0 ;;
      --*)
        [[ $# -ge 2 ]] || wrong_usage "$1 needs a value, or is no option"
        take_option "$1" "$2"
        shift
        ;;
      *) positional+=("$1") ;;
    esac
    shift
  done
  [[ ${#positional[@]} -eq 2 ]] || wrong_usage "expected two arguments before the options, got ${#positional[@]}"
  REGISTRY=${positional[0]} ACCOUNT_ID=${positional[1]}
  check_arguments
}

take_option() { # name, value
  case "$1" in
    --environment) ENVIRONMENT=$2 ;;
    --region) REGION=$2 ;;
    --cluster) CLUSTER=$2 ;;
    --image-tag) IMAGE_TAG=$2 ;;
    --component) COMPONENTS+=("$2") ;;
    --certificate-arn) CERTIFICATE_ARN=$2 ;;
    --hostname) API_HOSTNAME=$2 ;;
    --parameter) PARAMETERS+=("$2") ;;
    --only) ONLY=$2 ;;
    *) wrong_usage "unknown option $1" ;;
  esac
}

check_arguments() {
  local value
  require_match ECR_REGISTRY "$REGISTRY" '[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?' \
    "a name such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com"
  require_match AWS_ACCOUNT_ID "$ACCOUNT_ID" '[0-9]{12}' "12 digits"
  require_match --environment "$ENVIRONMENT" 'dev|prod' "dev or prod"
  value=${REGISTRY#*.dkr.ecr.}
  REGION=${REGION:-${value%%.*}}
  require_match --region "$REGION" '[a-z]{2}(-[a-z]+)+-[0-9]' "a region such as eu-west-1"
  CLUSTER=${CLUSTER:-pillarbox-$ENVIRONMENT}
  require_match --cluster "$CLUSTER" '[A-Za-z0-9][A-Za-z0-9_-]{0,99}' "the name of an EKS cluster"
  IMAGE_TAG=${IMAGE_TAG:-$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || true)}
  require_match --image-tag "$IMAGE_TAG" '[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?' "a tag such as a commit's SHA"
  for value in "${COMPONENTS[@]}"; do
    require_match --component "$value" 'fixed-replicas|service-monitor' "fixed-replicas or service-monitor"
  done
  for value in "${PARAMETERS[@]}"; do
    require_match --parameter "$value" '[A-Za-z]+=.*' "NAME=VALUE with a parameter of infrastructure/pipeline.yaml"
  done
  [[ -z "$ONLY" || "$ONLY_STEPS" == *" $ONLY "* ]] || wrong_usage "--only: expected one of$ONLY_STEPS, got \"$ONLY\""
  check_https
  if [[ "$DRY_RUN" == no && "$YES" == no && ( -z "$ONLY" || "$ONLY" == apply ) && ! -t 0 ]]; then
    wrong_usage "nobody can answer here: pass --yes (or --dry-run)"
  fi
}

# The certificate bears the host name, so neither makes sense alone.
check_https() {
  [[ -n "$CERTIFICATE_ARN" || -z "$API_HOSTNAME" ]] || wrong_usage "--hostname needs --certificate-arn"
  [[ -z "$CERTIFICATE_ARN" || -n "$API_HOSTNAME" ]] || wrong_usage "--certificate-arn needs --hostname"
  [[ -z "$CERTIFICATE_ARN" ]] || {
    require_match --certificate-arn "$CERTIFICATE_ARN" 'arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/[A-Za-z0-9-]+' \
      "the ARN of an ACM certificate"
    require_match --hostname "$API_HOSTNAME" '[a-z0-9-]+(\.[a-z0-9-]+)+' "a host name"
  }
}
