#!/usr/bin/env bash
# Sends one e-mail through the whole pipeline and checks its object in S3:
#   e2e_test/run_e2e.sh --local            against the running local stack (.local/stack.env)
#   e2e_test/run_e2e.sh [--yes]            against AWS: API_URL or ALB_DNS, API_TOKEN, S3_BUCKET_NAME, AWS_REGION
# Both API_URL and ALB_DNS: it connects to the load balancer and speaks to the URL's name. S3_PREFIX (messages/) and
# E2E_TIMEOUT_SECONDS (60) are optional. Exit code 0 passed, 1 failed, 2 wrong usage or settings. `--check` only says
# whether the Python that it needs is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  echo "usage: e2e_test/run_e2e.sh [--local | --yes | --check]" >&2
  exit 2
}

# Gives the first interpreter that has boto3; `make setup` makes one.
interpreter() {
  local python
  for python in "${E2E_PYTHON:-}" .venvs/local_stack/bin/python python3; do
    if [[ -n "$python" ]] && "$python" -c 'import sys, boto3; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  echo "needs Python 3.11 or newer with boto3: run \`make setup\` first, or name one in E2E_PYTHON" >&2
  exit 2
}

use_local_stack() {
  if [[ ! -r .local/stack.env ]]; then
    echo "no local stack: there is no .local/stack.env; start one with \`make run\`" >&2
    exit 2
  fi
  # shellcheck source=/dev/null
  source .local/stack.env
}

ask() {
  echo "This sends one e-mail through ${API_URL:-${ALB_DNS:-?}}, which costs a fraction of a cent."
  local answer=""
  read -r -p "Continue? [y/N] " answer || true
  if [[ "$answer" != [yY]* ]]; then
    echo "not sent" >&2
    exit 2
  fi
}

main() {
  local mode=ask python
  case "$#:${1:-}" in
    0:) ;;
    1:--local) mode=local ;;
    1:--yes) mode=yes ;;
    1:--check) mode=check ;;
    *) usage ;;
  esac
  python=$(interpreter)
  case "$mode" in
    local) use_local_stack ;;
    ask) ask ;;
    check) return ;;
  esac
  exec "$python" -m e2e_test.e2e_pipeline
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
