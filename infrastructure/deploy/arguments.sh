# shellcheck shell=bash
# The command line of deploy.sh: sets the variables of the steps, or prints the usage and exits with code 2.
# shellcheck disable=SC2034  # the other files read these variables

readonly USAGE="usage: ./deploy.sh --environment NAME [options]
       ./deploy.sh ECR_REGISTRY AWS_ACCOUNT_ID [--environment NAME] [options]
         [--image-tag TAG] [--skip-build] [--skip-infrastructure] [--dry-run] [--yes] [--assume-role]
         [--only STEP] [--rendered FILE]
       replacing values of the environment's file:
         [--region REGION] [--cluster NAME] [--certificate-arn ARN] [--hostname NAME]
         [--component fixed-replicas|service-monitor|monitoring|tracing]... [--parameter NAME=VALUE]...
   e.g.: ./deploy.sh --environment prod --image-tag 4f0c9d1 --skip-build"

readonly ONLY_STEPS=" check registry infrastructure token build push images scan render diff apply wait health verify alarms rollback unlock "

wrong_usage() {
  log "deploy.sh: $1"
  log "$USAGE"
  exit 2
}

require_match() { # what, value, pattern, what is expected
  [[ "$2" =~ ^($3)$ ]] || wrong_usage "$1: expected $4, got \"$2\""
}

parse_arguments() {
  SKIP_BUILD=no SKIP_INFRASTRUCTURE=no DRY_RUN=no YES=no ASSUME_ROLE=no
  declare -gA OPTIONS=()
  EXTRA_COMPONENTS=() PARAMETERS=()
  local positional=()
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --skip-build) SKIP_BUILD=yes ;;
      --skip-infrastructure) SKIP_INFRASTRUCTURE=yes ;;
      --dry-run) DRY_RUN=yes ;;
      --yes) YES=yes ;;
      --assume-role) ASSUME_ROLE=yes ;;
      --help) log "$USAGE"; exit 0 ;;
      --*)
        [[ $# -ge 2 ]] || wrong_usage "$1 needs a value or is unknown"
        take_option "$1" "$2"
        shift
        ;;
      *) positional+=("$1") ;;
    esac
    shift
  done
  read_environment "${positional[@]}"
  check_arguments
}

take_option() { # name, value
  case "$1" in
    --component) EXTRA_COMPONENTS+=("$2") ;;
    --parameter) PARAMETERS+=("$2") ;;
    --environment) take_once "$@" ;;
    --region) take_once "$@" ;;
    --cluster) take_once "$@" ;;
    --image-tag) take_once "$@" ;;
    --certificate-arn) take_once "$@" ;;
    --hostname) take_once "$@" ;;
    --only) take_once "$@" ;;
    --rendered) take_once "$@" ;;
    *) wrong_usage "unknown option $1" ;;
  esac
}

# A second value would silently replace the first: options that a job adds must not change the target.
take_once() { # name, value
  [[ -z "${OPTIONS[$1]+given}" ]] || wrong_usage "$1 is given twice"
  [[ -n "$2" ]] || wrong_usage "$1: expected a value, got \"\""
  OPTIONS[$1]=$2
}

# Reads the environment's file; options of the command line take precedence.
read_environment() { # [registry, account id]
  [[ $# -eq 2 || ($# -eq 0 && -n "${OPTIONS[--environment]:-}") ]] ||
    wrong_usage "expected --environment NAME, or two arguments before the options; got $# arguments"
  ENVIRONMENT=${OPTIONS[--environment]:-dev}
  require_match --environment "$ENVIRONMENT" '[a-z][a-z0-9-]{0,20}' "a name such as dev or prod"
  declare_keys
  read_environment_file "$ENVIRONMENT"
  if [[ $# -eq 2 ]]; then
    override ECR_REGISTRY ECR_REGISTRY "$1"
    override AWS_ACCOUNT_ID AWS_ACCOUNT_ID "$2"
  fi
  override AWS_REGION --region "${OPTIONS[--region]:-}"
  override EKS_CLUSTER --cluster "${OPTIONS[--cluster]:-}"
  [[ -z "${OPTIONS[--hostname]:-}" || -n "${OPTIONS[--certificate-arn]:-}${SETTINGS[CERTIFICATE_ARN]}" ]] ||
    wrong_usage "--hostname needs --certificate-arn"
  [[ -z "${OPTIONS[--certificate-arn]:-}" || -n "${OPTIONS[--hostname]:-}${SETTINGS[API_HOST_NAME]}" ]] ||
    wrong_usage "--certificate-arn needs --hostname"
  override CERTIFICATE_ARN --certificate-arn "${OPTIONS[--certificate-arn]:-}"
  override API_HOST_NAME --hostname "${OPTIONS[--hostname]:-}"
}

override() { # key, name of the option, value or nothing
  if [[ -z "$3" ]]; then return; fi
  require_match "$2" "$3" "${PATTERNS[$1]}" "${EXPECTED[$1]}"
  SETTINGS[$1]=$3
}

check_arguments() {
  ACCOUNT_ID=$(setting AWS_ACCOUNT_ID) REGISTRY=$(setting ECR_REGISTRY) REGION=$(setting AWS_REGION)
  if [[ -z "$REGION" && -n "$REGISTRY" ]]; then REGION=$(cut -d. -f4 <<<"$REGISTRY"); fi
  REGISTRY=${REGISTRY:-$(default_registry)}
  CLUSTER=$(setting EKS_CLUSTER)
  CLUSTER=${CLUSTER:-pillarbox-$ENVIRONMENT}
  CERTIFICATE_ARN=$(setting CERTIFICATE_ARN) API_HOSTNAME=$(setting API_HOST_NAME)
  PLATFORMS=$(setting PLATFORMS)
  OVERLAY=$(setting OVERLAY)
  OVERLAY=${OVERLAY:-$(if [[ "$ENVIRONMENT" == prod ]]; then echo prod; else echo dev; fi)}
  ONLY=${OPTIONS[--only]:-} RENDERED_FILE=${OPTIONS[--rendered]:-}
  [[ -z "$ONLY" || "$ONLY_STEPS" == *" $ONLY "* ]] || wrong_usage "--only: expected one of$ONLY_STEPS, got \"$ONLY\""
  check_image_tag
  check_lists
  check_pairs
  if [[ "$DRY_RUN" == no && "$YES" == no && " all apply unlock " == *" ${ONLY:-all} "* && ! -t 0 ]]; then
    wrong_usage "standard input is not a terminal: pass --yes (or --dry-run)"
  fi
}

default_registry() {
  if [[ -n "$ACCOUNT_ID" && -n "$REGION" ]]; then
    local suffix=""
    if [[ "$REGION" == cn-* ]]; then suffix=.cn; fi
    echo "$ACCOUNT_ID.dkr.ecr.$REGION.amazonaws.com$suffix"
  fi
}

# The tag is the option's, else that of the rendered file, else the commit.
check_image_tag() {
  local rendered=""
  if [[ " diff apply wait health verify rollback " == *" ${ONLY:-all} "* && -n "$RENDERED_FILE" && -s "$RENDERED_FILE" ]]; then
    rendered=$(sed -n 's/^ *image: .*://p' "$RENDERED_FILE" | sed -n 1p)
  fi
  IMAGE_TAG=${OPTIONS[--image-tag]:-$rendered}
  IMAGE_TAG=${IMAGE_TAG:-$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || true)}
  require_match --image-tag "$IMAGE_TAG" '[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?' "a tag such as a commit's SHA"
  [[ -z "$rendered" || "$rendered" == "$IMAGE_TAG" ]] ||
    wrong_usage "--image-tag $IMAGE_TAG: $RENDERED_FILE contains the images of $rendered"
}

check_lists() {
  local value
  WORKLOADS=("${SERVICES[@]}")
  if [[ "$(setting FILE_INTAKE)" == yes ]]; then WORKLOADS+=(file-intake); fi
  read -ra COMPONENTS <<<"$(setting COMPONENTS)"
  for value in "${EXTRA_COMPONENTS[@]}"; do
    require_match --component "$value" 'fixed-replicas|service-monitor|monitoring|tracing' "fixed-replicas, service-monitor, monitoring or tracing"
    if [[ " ${COMPONENTS[*]} " != *" $value "* ]]; then COMPONENTS+=("$value"); fi
  done
  mapfile -t STACK_PARAMETERS < <(settings_after STACK_)
  for value in "${PARAMETERS[@]}"; do
    require_match --parameter "$value" '[A-Za-z]+=.*' "NAME=VALUE with a parameter of $TEMPLATE"
    stack_has_parameter "${value%%=*}" || wrong_usage "--parameter $value: $TEMPLATE has no such parameter"
  done
}

# Values that are valid separately but not together.
check_pairs() {
  [[ "$ENVIRONMENT" != prod || "$OVERLAY" == prod ]] || wrong_usage "the environment prod needs OVERLAY=prod"
  if [[ -z "$(setting CONSUMER_MIN_REPLICAS)" ]]; then
    # Production runs one idle consumer, so that the first e-mail after a pause is stored at once.
    SETTINGS[CONSUMER_MIN_REPLICAS]=$(if [[ "$OVERLAY" == prod ]]; then echo 1; else echo 0; fi)
  fi
  at_most API_MIN_REPLICAS API_MAX_REPLICAS
  at_most CONSUMER_MIN_REPLICAS CONSUMER_MAX_REPLICAS
  at_most FILE_INTAKE_MIN_REPLICAS FILE_INTAKE_MAX_REPLICAS
  at_most KEDA_FALLBACK_REPLICAS CONSUMER_MAX_REPLICAS
  # Without the component the images have no OpenTelemetry, and the services would end at once.
  local name
  for name in "${!SETTINGS[@]}"; do
    [[ "$name" != *_SETTING_OTEL_EXPORTER_OTLP*ENDPOINT || " ${COMPONENTS[*]} " == *" tracing "* ]] ||
      wrong_usage "$name needs COMPONENTS=tracing"
  done
  [[ -z "$CERTIFICATE_ARN" || -n "$API_HOSTNAME" || "$OVERLAY" == prod ]] || wrong_usage "CERTIFICATE_ARN needs API_HOST_NAME"
  [[ -z "$API_HOSTNAME" || -n "$CERTIFICATE_ARN" || "$OVERLAY" == prod ]] || wrong_usage "API_HOST_NAME needs CERTIFICATE_ARN"
}

at_most() { # key, key of its upper bound
  (($(setting "$1") <= $(setting "$2"))) || wrong_usage "$1 ($(setting "$1")) is more than $2 ($(setting "$2"))"
}
