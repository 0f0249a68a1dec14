# shellcheck shell=bash
# One deployment at a time: the Lease pillarbox-deploy in the cluster has a holder and is renewed until the script ends.
# A lock is stale if it is not renewed while this script watches it; clocks of two machines are never compared.

readonly LOCK=pillarbox-deploy
LOCK_HELD=no LOCK_RENEWER=""

lock_seconds() { echo "${LOCK_SECONDS:-60}"; }

lock_manifest() { # resource version, or nothing for a new one
  local version=""
  if [[ -n "$1" ]]; then version="resourceVersion: \"$1\""; fi
  cat <<YAML
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: $LOCK
  namespace: $API_NAMESPACE
  labels: {app.kubernetes.io/part-of: pillarbox}
  $version
spec:
  holderIdentity: "$LOCK_HOLDER"
  leaseDurationSeconds: $(lock_seconds)
  acquireTime: "$(utc_now)"
  renewTime: "$(utc_now)"
YAML
}

utc_now() { date -u +%Y-%m-%dT%H:%M:%S.000000Z; }

# Sets LOCK_FOUND to "holder|time of renewal|resource version" of the lock, or to nothing if there is none.
look_at_lock() {
  LOCK_FOUND=$(in_cluster get lease "$LOCK" --ignore-not-found \
    --output 'jsonpath={.spec.holderIdentity}|{.spec.renewTime}|{.metadata.resourceVersion}')
}

# Acquires the lock, or ends the script if another deployment holds it.
take_lock() {
  if [[ "$LOCK_HELD" == yes || "$DRY_RUN" == yes ]]; then return; fi
  local seen deadline
  LOCK_HOLDER="${BUILD_TAG:-$(id -un)@$(uname -n)}/$$-$RANDOM"
  look_at_lock
  if [[ -n "$LOCK_FOUND" ]]; then
    seen=$LOCK_FOUND deadline=$((SECONDS + $(lock_seconds)))
    log "      ${seen%%|*} holds the lock: waiting for $(lock_seconds) s to see whether it is still active"
    while [[ "$LOCK_FOUND" == "$seen" && "$SECONDS" -lt "$deadline" ]]; do
      sleep 1
      look_at_lock
    done
    if [[ -n "$LOCK_FOUND" && "$LOCK_FOUND" != "$seen" ]]; then
      fail "another deployment is running: ${LOCK_FOUND%%|*}"
    fi
  fi
  write_lock "${LOCK_FOUND##*|}"
  LOCK_HELD=yes
  renew_lock </dev/null >/dev/null 2>&1 & # without the script's output, whose reader would wait for this process
  LOCK_RENEWER=$!
}

# The API server decides a race: only one script can create the lock or replace the version that it has read.
write_lock() { # resource version, or nothing for a new one
  lock_manifest "$1" >"$WORK/lock.yaml"
  local verb=create
  if [[ -n "$1" ]]; then verb=replace; fi
  in_cluster "$verb" --filename "$WORK/lock.yaml" >/dev/null 2>"$WORK/lock-error" || {
    log "$(<"$WORK/lock-error")"
    look_at_lock
    fail "the lock was not acquired${LOCK_FOUND:+: another deployment has taken it, ${LOCK_FOUND%%|*}}"
  }
}

# Runs in the background. It ends when the script ends or is killed; if the lock is lost, it ends the script.
renew_lock() {
  local last=$SECONDS every=$(($(lock_seconds) / 4)) holder
  trap - EXIT INT TERM
  while sleep "$((every > 0 ? every : 1))" && kill -0 $$; do
    if in_cluster --request-timeout=10s patch lease "$LOCK" --type=json --patch \
      "[{\"op\":\"test\",\"path\":\"/spec/holderIdentity\",\"value\":\"$LOCK_HOLDER\"},{\"op\":\"replace\",\"path\":\"/spec/renewTime\",\"value\":\"$(utc_now)\"}]"; then
      last=$SECONDS
      continue
    fi
    if holder=$(in_cluster --request-timeout=10s get lease "$LOCK" --ignore-not-found --output 'jsonpath={.spec.holderIdentity}'); then
      if [[ "$holder" == "$LOCK_HOLDER" ]]; then continue; fi
    elif [[ $((SECONDS - last)) -lt $(lock_seconds) ]]; then
      continue
    fi
    touch "$WORK/lock-lost"
    kill -TERM $$
    return
  done
}

lock_was_lost() { [[ -e "$WORK/lock-lost" ]]; }

release_lock() {
  if [[ "$LOCK_HELD" == no ]]; then return; fi
  LOCK_HELD=no
  kill "$LOCK_RENEWER" 2>/dev/null || true
  wait "$LOCK_RENEWER" 2>/dev/null || true
  if lock_was_lost; then return; fi
  in_cluster --request-timeout=10s delete lease "$LOCK" --ignore-not-found >/dev/null
}

step_unlock() {
  look_at_lock
  if [[ -z "$LOCK_FOUND" ]]; then
    log "      there is no lock"
    return
  fi
  local holder renewed
  IFS='|' read -r holder renewed _ <<<"$LOCK_FOUND"
  log "      held by $holder, last renewed at $renewed"
  confirm "Remove the lock of a deployment that no longer runs?"
  change in_cluster delete lease "$LOCK" --ignore-not-found
}
