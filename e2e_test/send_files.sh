#!/usr/bin/env bash
# Puts generated e-mail files into the inbox and waits for the record of each in the archive:
#   e2e_test/send_files.sh --local [COUNT]     the running local stack (.local/stack.env)
#   e2e_test/send_files.sh [--yes] [COUNT]     AWS: INBOX_BUCKET_NAME, S3_BUCKET_NAME, AWS_REGION
# COUNT is 25 by default, at most 1000. INBOX_PREFIX (inbox/), S3_PREFIX (messages/) and E2E_TIMEOUT_SECONDS (60)
# are optional. Files and records are not deleted. It prints the keys of the records, one per line. It needs s3:PutObject on the
# inbox, s3:ListBucket and s3:GetObject on the archive. Exit code 0 all archived, 1 failed, 2 wrong usage or settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=e2e_test/target.sh
source e2e_test/target.sh

usage() {
  echo "usage: e2e_test/send_files.sh [--local | --yes] [COUNT]" >&2
  exit 2
}

main() {
  local mode=ask count python
  case "${1:-}" in
    --local) mode=local; shift ;;
    --yes) mode=yes; shift ;;
  esac
  count=${1:-25}
  [[ $# -le 1 && "$count" =~ ^[1-9][0-9]{0,3}$ && "$count" -le 1000 ]] || usage
  python=$(interpreter)
  case "$mode" in
    local) use_local_stack ;;
    ask) ask "This puts $count file(s) into ${INBOX_BUCKET_NAME:-?}, and does not delete them and their records." >&2 ;;
  esac
  exec "$python" -m e2e_test.send_files "$count"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
