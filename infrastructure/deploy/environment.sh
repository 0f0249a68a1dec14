# shellcheck shell=bash
# The environment file k8s/environments/<name>.env: its keys, their allowed values, and the check of both.
# The file is read line by line and never evaluated. docs/operations.md, "Environments", describes the keys.

declare -A SETTINGS=() PATTERNS=() EXPECTED=() # by key; SETTINGS starts with the defaults
readonly TEMPLATE=infrastructure/pipeline.yaml
TEMPLATE_PARAMETERS="" # of the template, one a line; set by stack_has_parameter
# Values that stack and pods must share come from the stack's outputs.
readonly SETTINGS_OF_THE_STACK=" AWS_REGION SQS_QUEUE_URL SSM_PARAMETER_NAME S3_BUCKET_NAME S3_PREFIX VISIBILITY_TIMEOUT_SECONDS PORT \
INTAKE INBOX_BUCKET_NAME PAYLOAD_BUCKET STATUS_BUCKET STATUS_PREFIX STATUS_KEY_TEMPLATE STATUS_OBJECT_LAYOUT "

key() { # name, default, pattern of a value, what is expected
  SETTINGS[$1]=$2 PATTERNS[$1]=$3 EXPECTED[$1]=$4
}

declare_keys() {
  local count='[1-9][0-9]{0,2}' yes_no='yes|no' component='fixed-replicas|service-monitor|monitoring|tracing|probe'
  key AWS_ACCOUNT_ID "" '[0-9]{12}' "12 digits"
  key AWS_REGION "" '[a-z]{2}(-[a-z]+)+-[0-9]' "a region such as eu-west-1"
  key ECR_REGISTRY "" '[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?' \
    "a name such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com"
  key EKS_CLUSTER "" '[A-Za-z0-9][A-Za-z0-9_-]{0,99}' "the name of an EKS cluster"
  key OVERLAY "" 'dev|prod' "dev or prod"
  key DEPLOY_ROLE_ARN "" 'arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+' "the ARN of an IAM role"
  key APPROVERS "" '[A-Za-z0-9@._-]+(,[A-Za-z0-9@._-]+)*' "names of users or groups, separated by commas"
  key CERTIFICATE_ARN "" 'arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/[A-Za-z0-9-]+' "the ARN of an ACM certificate"
  key API_HOST_NAME "" '[a-z0-9-]+(\.[a-z0-9-]+)+' "a host name"
  key ALB_SCHEME internet-facing 'internet-facing|internal' "internet-facing or internal"
  key ALB_SUBNETS "" '[A-Za-z0-9_-]+(,[A-Za-z0-9_-]+)+' "two or more subnets, separated by commas"
  key ALB_INBOUND_CIDRS "" '[0-9a-f:.]+/[0-9]{1,3}(,[0-9a-f:.]+/[0-9]{1,3})*' "address ranges such as 10.0.0.0/8,192.0.2.0/24"
  key WAF_ACL_ARN "" 'arn:[a-z-]+:wafv2:[a-z0-9-]+:[0-9]{12}:regional/webacl/[A-Za-z0-9_-]+/[A-Za-z0-9-]+' \
    "the ARN of a regional WAFv2 web ACL"
  key ALB_ACCESS_LOG_BUCKET "" '[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]' "the name of an S3 bucket"
  key ALB_DELETION_PROTECTION no "$yes_no" "yes or no"
  key API_MIN_REPLICAS 2 "$count" "a whole number from 1 to 999"
  key API_MAX_REPLICAS 10 "$count" "a whole number from 1 to 999"
  key CONSUMER_MIN_REPLICAS "" "0|$count" "a whole number from 0 to 999"
  key CONSUMER_MAX_REPLICAS 20 "$count" "a whole number from 1 to 999"
  key PROGRESS_DEADLINE_SECONDS 300 '[1-9][0-9]{0,3}' "a whole number from 1 to 9999"
  key KEDA_QUEUE_LENGTH 3000 '[1-9][0-9]{0,6}' "a whole number from 1 to 9999999"
  key KEDA_FALLBACK_REPLICAS 2 "$count" "a whole number from 1 to 999"
  key FILE_INTAKE yes "$yes_no" "yes or no"
  key FILE_INTAKE_MIN_REPLICAS 0 "0|$count" "a whole number from 0 to 999"
  key FILE_INTAKE_MAX_REPLICAS 20 "$count" "a whole number from 1 to 999"
  key FILE_INTAKE_QUEUE_LENGTH 10 '[1-9][0-9]{0,6}' "a whole number from 1 to 9999999"
  key KEDA_OPERATOR_ROLE none '[A-Za-z0-9+=,.@_-]{1,64}' "none, create, or the name of an IAM role"
  key COMPONENTS "" "($component)( ($component))*" \
    "fixed-replicas, service-monitor, monitoring, tracing, probe, or several with a space between"
  key PROMETHEUS_RELEASE "" '[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?' "the value of a label"
  key PROMETHEUS_NAMESPACE monitoring '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?' "the name of a namespace"
  key RUNBOOK_URL "" 'https?://[A-Za-z0-9._~:/?=%+-]+' "the address of docs/operations.md, such as https://git.example.com/mail/docs/operations.md"
  key PLATFORMS linux/amd64,linux/arm64 'linux/(amd64|arm64)(,linux/(amd64|arm64))?' "linux/amd64, linux/arm64, or both with a comma between"
  key ALARM_TOPIC_ARN "" 'arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+' "the ARN of an SNS topic"
  key API_LOG_GROUP "" '[A-Za-z0-9_./#-]{1,512}' "the name of a CloudWatch log group"
  key OBJECTIVE_ALARMS no "$yes_no" "yes or no"
  key CLOUDWATCH_DASHBOARD no "$yes_no" "yes or no"
  key POD_IDENTITY no "$yes_no" "yes or no"
  key LOG_LEVEL INFO 'DEBUG|INFO|WARNING|ERROR|CRITICAL' "DEBUG, INFO, WARNING, ERROR or CRITICAL"
  key TAGS "" '[A-Za-z0-9 _.:/+@-]+=[A-Za-z0-9 _.:/+@-]*(,[A-Za-z0-9 _.:/+@-]+=[A-Za-z0-9 _.:/+@-]*)*' \
    "tags such as Team=mail,CostCentre=4711"
}

# Exits with code 2 and a message that names the file, the line and the expected value.
wrong_line() { # file:line, error
  log "deploy.sh: $1: $2" "$RED"
  exit 2
}

read_environment_file() { # name of the environment
  local file=${ENVIRONMENTS_FOLDER:-k8s/environments}/$1.env line number=0 name
  local -A seen=()
  [[ -r "$file" ]] || wrong_usage "--environment $1: there is no file $file"
  while IFS= read -r line || [[ -n "$line" ]]; do
    number=$((number + 1))
    line=${line%$'\r'}
    if [[ "$line" =~ ^[[:space:]]*(#.*)?$ ]]; then continue; fi
    [[ "$line" =~ ^([A-Z][A-Za-z0-9_]*)=(.*)$ ]] ||
      wrong_line "$file:$number" "expected KEY=VALUE or a comment, got \"$line\""
    name=${BASH_REMATCH[1]}
    [[ -z "${seen[$name]:-}" ]] || wrong_line "$file:$number" "$name is set already in line ${seen[$name]}"
    seen[$name]=$number
    take_setting "$file:$number" "$name" "${BASH_REMATCH[2]}"
  done <"$file"
}

take_setting() { # file:line, name, value
  case "$2" in
    STACK_*) check_parameter "$1" "${2#STACK_}" "$3" ;;
    API_SETTING_*) check_service_setting "$1" service1-api "${2#API_SETTING_}" ;;
    CONSUMER_SETTING_*) check_service_setting "$1" service2-consumer "${2#CONSUMER_SETTING_}" ;;
    FILE_INTAKE_SETTING_*) check_service_setting "$1" service2-consumer "${2#FILE_INTAKE_SETTING_}" ;;
    *)
      [[ -n "${PATTERNS[$2]:-}" ]] || wrong_line "$1" "unknown key $2 (docs/operations.md, \"Environments\", lists them)"
      if [[ -z "$3" ]]; then return; fi # empty: the default
      [[ "$3" =~ ^(${PATTERNS[$2]})$ ]] || wrong_line "$1" "$2: expected ${EXPECTED[$2]}, got \"$3\""
      ;;
  esac
  SETTINGS[$2]=$3
}

# The aws CLI silently ignores a parameter that the template does not have.
stack_has_parameter() { # name
  if [[ -z "$TEMPLATE_PARAMETERS" ]]; then
    TEMPLATE_PARAMETERS=$(sed -nE '/^Parameters:/,/^[A-Z][A-Za-z]*:/s/^  ([A-Za-z0-9]+):.*/\1/p' "$ROOT/$TEMPLATE")
  fi
  [[ $'\n'"$TEMPLATE_PARAMETERS"$'\n' == *$'\n'"$1"$'\n'* ]]
}

check_parameter() { # file:line, parameter, value
  stack_has_parameter "$2" || wrong_line "$1" "$TEMPLATE has no parameter $2"
}

check_service_setting() { # file:line, service, variable
  [[ "$SETTINGS_OF_THE_STACK" != *" $3 "* ]] || wrong_line "$1" "$3 comes from the stack and is not set here"
  if [[ "$3" == OTEL_*_HEADERS* ]]; then
    wrong_line "$1" "$3 may hold a secret: send traces to a collector in the cluster that knows it"
  fi
  if [[ "$3" == AWS_* || "$3" == OTEL_* ]]; then return; fi # for the AWS SDK and OpenTelemetry
  grep -Eq "^(# )?$3=" "$ROOT/$2/.env.example" || wrong_line "$1" "$2 reads no setting $3 ($2/.env.example lists them)"
}

setting() { echo "${SETTINGS[$1]}"; } # key

# Prints the settings whose keys have a prefix, as NAME=VALUE without the prefix, in a stable order.
settings_after() { # prefix
  local name
  for name in "${!SETTINGS[@]}"; do
    if [[ "$name" == "$1"* ]]; then printf '%s=%s\n' "${name#"$1"}" "${SETTINGS[$name]}"; fi
  done | LC_ALL=C sort
}

# Prints what is missing in the environment for the requested step; nothing if it is complete.
missing_settings() {
  local file=${ENVIRONMENTS_FOLDER:-k8s/environments}/$ENVIRONMENT.env
  [[ -n "$ACCOUNT_ID" ]] || echo "$file: AWS_ACCOUNT_ID is empty"
  [[ -n "$REGION" ]] || echo "$file: AWS_REGION is empty"
  if [[ "$OVERLAY" == prod && " all check render diff apply " == *" ${ONLY:-all} "* ]]; then
    [[ -n "$CERTIFICATE_ARN" ]] || echo "$file: CERTIFICATE_ARN is empty, and production is not deployed without HTTPS"
    [[ -n "$API_HOSTNAME" ]] || echo "$file: API_HOST_NAME is empty, and production is not deployed without HTTPS"
  fi
}

require_complete_settings() {
  local missing
  missing=$(missing_settings)
  if [[ -z "$missing" ]]; then return; fi
  log "$missing" "$RED"
  fail "the environment $ENVIRONMENT is not complete (see the lines above)"
}
