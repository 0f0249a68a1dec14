#!/usr/bin/env bash
# Checks out the commit that a deployment job was asked for. It runs where the job's own branch is checked out:
#   infrastructure/jenkins/check_out.sh ENVIRONMENT IMAGE_TAG
# 1. Refuses a commit that is neither of main nor of a release (branch release/*, tag v*): only those were reviewed,
#    and what is checked out runs with the credentials of the environment.
# 2. Takes the rules from the job's own branch, so that no commit can set its own:
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

# Production rules always need an approval. Only an environment that says OVERLAY=dev goes without one.
approvers() { # environment, file
  local names
  if [[ "$1" != prod && "$(setting OVERLAY "$2")" == dev ]]; then
    echo "not needed"
    return
  fi
  names=$(setting APPROVERS "$2")
  [[ -n "$names" ]] || fail "$2 names no APPROVERS (Jenkins users or groups, separated by commas)"
  echo "$names"
}

main() {
  local environment=$1 commit=$2 file=k8s/environments/$1.env
  [[ "$environment" =~ ^[a-z][a-z0-9-]{0,20}$ && -r "$file" ]] ||
    fail "there is no environment \"$environment\" ($file): the job must be named deploy-<environment>"
  [[ "$commit" =~ ^[0-9a-f]{40}$ ]] || fail "IMAGE_TAG must be a commit's SHA with 40 digits, got \"$commit\""
  git cat-file -e "$commit^{commit}" 2>/dev/null ||
    fail "there is no commit $commit here: the job must fetch all branches and tags, and not be shallow"
  is_released "$commit" || fail "$commit is neither of main nor of a release: it cannot be deployed from here"
  mkdir -p .local
  approvers "$environment" "$file" >.local/approvers.txt
  cp infrastructure/scan-exceptions.txt .local/scan-exceptions.txt
  git checkout --quiet --detach "$commit"
  exit 0 # bash must not read on in this file: the checkout may have replaced it
}

main "${1:?ENVIRONMENT, such as dev}" "${2:?IMAGE_TAG, the SHA of a commit}"
