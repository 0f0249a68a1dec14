#!/usr/bin/env bash
# Rotates the API token of an environment without locking out a client. All tokens of the parameter are valid:
#
#   1 infrastructure/rotate_token.sh add --environment NAME       adds a new token before the others
#   2 give the new token to all clients
#   3 infrastructure/rotate_token.sh remove --environment NAME    removes all tokens but the newest
#
#   infrastructure/rotate_token.sh status --environment NAME      prints the number of valid tokens
#
# The parameter keeps its KMS key and its tier. A token is never an argument of a program, and `add` shows the new one
# only on request: --print writes it to standard output, --write FILE into a new file that only its owner can
# read. Without either, read it later with `aws ssm get-parameter --with-decryption`; the newest is its first line.
#
# Options: --region REGION (else AWS_REGION), --parameter NAME (else the output TokenParameterName of the stack
# pillarbox-<environment>), --yes (remove does not ask). Exit codes: 0 done, 1 failed, 2 wrong usage.
set -euo pipefail

readonly USAGE="usage: infrastructure/rotate_token.sh status|add|remove --environment NAME [--region REGION]
         [--parameter NAME] [--print | --write FILE] [--yes]"

log() { echo "$1" >&2; }

fail() {
  log "rotate_token.sh: $1"
  exit 1
}

wrong_usage() {
  log "rotate_token.sh: $1"
  log "$USAGE"
  exit 2
}

parse_arguments() {
  ACTION=${1:-} ENVIRONMENT="" REGION=${AWS_REGION:-${AWS_DEFAULT_REGION:-}} PARAMETER="" PRINT=no FILE="" YES=no
  [[ "$ACTION" =~ ^(status|add|remove)$ ]] || wrong_usage "expected status, add or remove first, got \"$ACTION\""
  shift
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --print) PRINT=yes ;;
      --yes) YES=yes ;;
      --environment | --region | --parameter | --write)
        [[ -n "${2:-}" ]] || wrong_usage "$1 needs a value"
        take_option "$1" "$2"
        shift
        ;;
      *) wrong_usage "unknown option $1" ;;
    esac
    shift
  done
  check_arguments
}

take_option() { # name, value
  case "$1" in
    --environment) ENVIRONMENT=$2 ;;
    --region) REGION=$2 ;;
    --parameter) PARAMETER=$2 ;;
    --write) FILE=$2 ;;
  esac
}

check_arguments() {
  [[ "$ENVIRONMENT" =~ ^[a-z][a-z0-9-]{0,20}$ ]] || wrong_usage "--environment: expected a name such as prod"
  [[ -n "$REGION" ]] || wrong_usage "no region: give --region or set AWS_REGION"
  [[ "$ACTION" == add || ( "$PRINT" == no && -z "$FILE" ) ]] || wrong_usage "only add makes a token to show"
  [[ "$PRINT" == no || -z "$FILE" ]] || wrong_usage "--print and --write exclude each other"
  [[ -z "$FILE" || ! -e "$FILE" ]] || fail "$FILE exists already"
  [[ "$ACTION" != remove || "$YES" == yes || -t 0 ]] || wrong_usage "nobody can answer here: pass --yes"
}

in_aws() { aws --region "$REGION" "$@"; }

find_parameter() {
  [[ -z "$PARAMETER" ]] || return 0
  local query="Stacks[0].Outputs[?OutputKey=='TokenParameterName'].OutputValue"
  PARAMETER=$(in_aws cloudformation describe-stacks --stack-name "pillarbox-$ENVIRONMENT" \
    --query "$query" --output text) || PARAMETER=""
  [[ "$PARAMETER" == /* ]] || fail "the stack pillarbox-$ENVIRONMENT has no token parameter: set --parameter"
}

# Sets KEY_ID and TIER; a put without them would change them.
read_settings() {
  local text type
  text=$(in_aws ssm describe-parameters --parameter-filters "Key=Name,Values=$PARAMETER" \
    --query 'Parameters[].[Type, KeyId, Tier]' --output text) || fail "$PARAMETER could not be described"
  read -r type KEY_ID TIER <<<"$text"
  [[ "$type" == SecureString ]] || fail "there is no SecureString $PARAMETER in $REGION"
}

# Sets VERSION and TOKENS, the newest first, without blank lines.
read_tokens() {
  local text
  text=$(in_aws ssm get-parameter --name "$PARAMETER" --with-decryption --query 'Parameter.[Version, Value]' \
    --output text) || fail "$PARAMETER could not be read"
  VERSION=${text%%$'\t'*}
  mapfile -t TOKENS < <(tr -d '\r' <<<"${text#*$'\t'}" | grep -v '^[[:space:]]*$')
  [[ ${#TOKENS[@]} -gt 0 ]] || fail "$PARAMETER contains no token"
}

# Writes the tokens through a pipe, and detects a concurrent write: SSM has no conditional write.
write_tokens() { # tokens...
  local version IFS=$'\n'
  version=$(printf '%s' "$*" | in_aws ssm put-parameter --name "$PARAMETER" --type SecureString --overwrite \
    --key-id "$KEY_ID" --tier "$TIER" --value file:///dev/stdin --query Version --output text) ||
    fail "$PARAMETER was not written"
  [[ "$version" -eq $((VERSION + 1)) ]] ||
    fail "another client changed $PARAMETER at the same time: compare its versions $VERSION to $version"
}

random_token() { head -c 36 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }

step_status() {
  log "$PARAMETER: ${#TOKENS[@]} valid, key $KEY_ID"
}

step_add() {
  local token
  token=$(random_token)
  # Before the put: if the file cannot be created, no unknown token must remain.
  [[ -z "$FILE" ]] || write_file "$token"
  write_tokens "$token" "${TOKENS[@]}"
  if [[ "$PRINT" == yes ]]; then printf '%s\n' "$token"; fi
  log "$PARAMETER: token added, $((${#TOKENS[@]} + 1)) valid. Give it to all clients, then run"
  log "  $0 remove --environment $ENVIRONMENT"
}

write_file() { # token
  (umask 077 && set -o noclobber && printf '%s\n' "$1" >"$FILE") || fail "$FILE cannot be written"
}

step_remove() {
  if [[ ${#TOKENS[@]} -eq 1 ]]; then
    log "$PARAMETER: one token, nothing to remove"
    return
  fi
  confirm
  write_tokens "${TOKENS[0]}"
  log "$PARAMETER: $((${#TOKENS[@]} - 1)) removed, the newest remains. The API accepts the old ones for some minutes"
}

confirm() {
  if [[ "$YES" == yes ]]; then return; fi
  local answer=""
  log "All clients of $ENVIRONMENT must have the newest token by now."
  read -r -p "Remove the other $((${#TOKENS[@]} - 1))? [y/N] " answer || true
  [[ "$answer" == [yY]* ]] || fail "nothing removed"
}

main() {
  parse_arguments "$@"
  find_parameter
  read_settings
  read_tokens
  "step_$ACTION"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
