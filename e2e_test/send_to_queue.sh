#!/usr/bin/env bash
# Sends test e-mails directly to the queue, without the API, and prints their message ids, one per line:
#   e2e_test/send_to_queue.sh --local [COUNT]     to the running local stack (.local/stack.env)
#   e2e_test/send_to_queue.sh [--yes] [COUNT]     to AWS: SQS_QUEUE_URL, AWS_REGION
# COUNT is 1 by default, at most 10000. The consumer stores them like any other e-mail; their records are not
# deleted. Exit code 0 sent, 1 failed, 2 wrong usage or settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=e2e_test/target.sh
source e2e_test/target.sh

usage() {
  echo "usage: e2e_test/send_to_queue.sh [--local | --yes] [COUNT]" >&2
  exit 2
}

main() {
  local mode=ask count python
  case "${1:-}" in
    --local) mode=local; shift ;;
    --yes) mode=yes; shift ;;
  esac
  count=${1:-1}
  [[ $# -le 1 && "$count" =~ ^[1-9][0-9]{0,4}$ && "$count" -le 10000 ]] || usage
  python=$(interpreter)
  case "$mode" in
    local) use_local_stack ;;
    ask) ask "This sends $count e-mail(s) to ${SQS_QUEUE_URL:-?}, which stay in the archive." >&2 ;;
  esac
  exec "$python" -m e2e_test.send_to_queue "$count"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
