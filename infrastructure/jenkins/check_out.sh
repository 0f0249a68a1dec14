#!/usr/bin/env bash
# Checks out the commit for a deployment job. It runs in a checkout of the job's own branch:
#   infrastructure/jenkins/check_out.sh ENVIRONMENT IMAGE_TAG
# 1. Refuses a commit that is neither on main nor in a release (branch release/*, tag v*): only those were reviewed,
#    and the commit's code runs with the credentials of the environment.
# 2. Reads the rules from the job's own branch, so that a commit cannot set its own:
#    .local/approvers.txt         who may approve, or "not needed"
#    .local/scan-exceptions.txt   the findings that are accepted today, also for an older release
# 3. Checks the commit out.
set -euo pipefail

fail() {
  echo "check_out.sh: $*" >&2
  exit 1
}

setting() { # name, file
  sed -n "s/^$1=//p" "$2"
}

is_released() { # commit
  local reference
  while read -r reference; do
    if git merge-base --is-ancestor "$1" "$reference"; then return; fi
  done < <(git for-each-ref --format '%(refname)' refs/remotes/origin/main 'refs/remotes/origin/release/*' 'refs/tags/v*')
  return 1
}

# Production always needs an approval. Only an environment with OVERLAY=dev does not.
approvers() { # environment, file
  local names
  if [[ "$1" != prod && "$(setting OVERLAY "$2")" == dev ]]; then
    echo "not needed"
    return
  fi
  names=$(setting APPROVERS "$2")
  [[ -n "$names" ]] || fail "$2 has no APPROVERS (Jenkins users or groups, separated by commas)"
  echo "$names"
}

main() {
  local environment=$1 commit=$2 file=k8s/environments/$1.env
  [[ "$environment" =~ ^[a-z][a-z0-9-]{0,20}$ && -r "$file" ]] ||
    fail "there is no environment \"$environment\" ($file): the job must be named deploy-<environment>"
  [[ "$commit" =~ ^[0-9a-f]{40}$ ]] || fail "IMAGE_TAG must be a commit's SHA with 40 digits, got \"$commit\""
  git cat-file -e "$commit^{commit}" 2>/dev/null ||
    fail "there is no commit $commit here: the job must fetch all branches and tags, and not be shallow"
  is_released "$commit" || fail "$commit is neither on main nor in a release: it cannot be deployed"
  mkdir -p .local
  approvers "$environment" "$file" >.local/approvers.txt
  cp infrastructure/scan-exceptions.txt .local/scan-exceptions.txt
  git checkout --quiet --detach "$commit"
  exit 0 # bash must not continue in this file: the checkout may have replaced it
}

main "${1:?ENVIRONMENT, such as dev}" "${2:?IMAGE_TAG, the SHA of a commit}"
