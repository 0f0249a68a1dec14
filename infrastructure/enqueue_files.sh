#!/usr/bin/env bash
# Sends events for the files that are older than the notification of their bucket, so that file intake archives them:
#   infrastructure/enqueue_files.sh --dry-run s3://BUCKET/PREFIX     only counts them
#   infrastructure/enqueue_files.sh s3://BUCKET/PREFIX               counts them, asks, sends
# --local uses the running local stack (.local/stack.env); else FILES_QUEUE_URL (not for a dry run) and AWS_REGION.
# --yes skips the question. --since 2026-12-01T00:00:00Z skips older files. A file that is archived already is not
# archived twice, so a failed run can be repeated. It needs s3:ListBucketVersions on the bucket and sqs:SendMessage
# on the queue. Exit code 0 done, 1 failed, 2 wrong usage or settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=e2e_test/target.sh
source e2e_test/target.sh

usage() {
  echo "usage: infrastructure/enqueue_files.sh [--local] [--dry-run | --yes] [--since TIME] s3://BUCKET/PREFIX" >&2
  exit 2
}

main() {
  local mode=ask since="" place="" python
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --local) use_local_stack ;;
      --dry-run) mode=dry-run ;;
      --yes) mode=yes ;;
      --since)
        [[ $# -ge 2 ]] || usage
        since=$2
        shift
        ;;
      s3://?*) [[ -z "$place" ]] || usage; place=$1 ;;
      *) usage ;;
    esac
    shift
  done
  [[ -n "$place" ]] || usage
  python=$(interpreter)
  if [[ "$mode" == ask ]]; then
    "$python" -m infrastructure.enqueue_files count "$place" "$since"
    ask "This sends an event for each of them to ${FILES_QUEUE_URL:-?}." >&2
    mode=yes
  fi
  if [[ "$mode" == dry-run ]]; then
    exec "$python" -m infrastructure.enqueue_files count "$place" "$since"
  fi
  exec "$python" -m infrastructure.enqueue_files send "$place" "$since"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
