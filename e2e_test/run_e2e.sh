#!/usr/bin/env bash
# Sends one e-mail through the whole pipeline and checks its object in S3:
#   e2e_test/run_e2e.sh --local            against the running local stack (.local/stack.env)
#   e2e_test/run_e2e.sh [--yes]            against AWS: API_URL or ALB_DNS, API_TOKEN, S3_BUCKET_NAME, AWS_REGION
# With both API_URL and ALB_DNS it connects to the load balancer and uses the URL's host name. S3_PREFIX (messages/) and
# E2E_TIMEOUT_SECONDS (60) are optional. With --files it then puts 25 files into the inbox and waits for their
# records (e2e_test/send_files.sh; needs INBOX_BUCKET_NAME). Exit code 0 passed, 1 failed, 2 wrong usage or settings.
# `--check` only checks whether a suitable Python exists.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=e2e_test/target.sh
source e2e_test/target.sh

usage() {
  echo "usage: e2e_test/run_e2e.sh [--local | --yes | --check] [--files]" >&2
  exit 2
}

about_files() { # yes or no
  if [[ "$1" == yes ]]; then echo " Then it puts 25 files into ${INBOX_BUCKET_NAME:-?}, and does not delete them and their records."; fi
}

main() {
  local mode=ask files=no python
  case "${1:-}" in
    --local | --yes | --check)
      mode=${1#--}
      shift
      ;;
  esac
  if [[ "${1:-}" == --files ]]; then
    files=yes
    shift
  fi
  [[ $# -eq 0 ]] || usage
  python=$(interpreter)
  case "$mode" in
    local) use_local_stack ;;
    ask) ask "This sends one e-mail through ${API_URL:-${ALB_DNS:-?}}, which costs a fraction of a cent.$(about_files "$files")" ;;
    check) return ;;
  esac
  if [[ "$files" == no ]]; then exec "$python" -m e2e_test.e2e_pipeline; fi
  "$python" -m e2e_test.e2e_pipeline
  exec "$python" -m e2e_test.send_files 25
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
