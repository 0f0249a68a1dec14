# shellcheck shell=bash
# The step `scan` of deploy.sh: ECR's scan of each pushed image, platform by platform, as a gate.
# SCAN_TIMEOUT_SECONDS (600) limits the wait for one scan. SCAN_EXCEPTIONS names another file of exceptions.
# Needs ecr:BatchGetImage, ecr:DescribeImages, ecr:DescribeImageScanFindings and ecr:StartImageScan.

judge_scan() { "$(any_python)" "$ROOT/infrastructure/deploy/scan_findings.py" "$@"; }

step_scan() {
  local service refused=no
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would wait for the scans of $IMAGE_TAG and refuse critical findings"
    return
  fi
  for service in "${SERVICES[@]}"; do
    scan_service "$service" || refused=yes
  done
  [[ "$refused" == no ]] ||
    fail "the scan has the findings above: update the packages, or accept the findings in infrastructure/scan-exceptions.txt"
}

# ECR scans the images of an index, not the index. Returns 1 if one of the images is refused.
scan_service() { # service
  local service=$1 part platform line code result=0 exceptions=${SCAN_EXCEPTIONS:-$ROOT/infrastructure/scan-exceptions.txt}
  require_image "$service"
  { stored_manifest "$service" "$DIGEST" &&
    "$(any_python)" "$ROOT/infrastructure/deploy/image_manifest.py" stored-platforms <"$WORK/stored.json" >"$WORK/platforms"; } ||
    fail "the manifest of pillarbox/$service:$IMAGE_TAG cannot be read"
  while read -r part platform; do
    wait_for_scan "$service" "$part"
    code=0
    judge_scan judge "$service ($platform)" "$exceptions" <"$WORK/findings.json" >"$WORK/judgement" || code=$?
    while IFS= read -r line; do log "      $line"; done <"$WORK/judgement"
    [[ "$code" -lt 2 ]] || fail "the exceptions cannot be read"
    if [[ "$code" -ne 0 ]]; then result=1; fi
  done <"$WORK/platforms"
  return "$result"
}

# Waits until $WORK/findings.json has the finished scan of an image. A scan that cannot finish is a failure.
wait_for_scan() { # service, digest
  local deadline=$((SECONDS + ${SCAN_TIMEOUT_SECONDS:-600})) state started=no
  while true; do
    if in_registry describe-image-scan-findings "$1" --image-id "imageDigest=$2" --output json \
      >"$WORK/findings.json" 2>"$WORK/ecr-error"; then
      state=$(judge_scan state <"$WORK/findings.json") || fail "ECR's answer about the scan of $1 is invalid"
    elif grep -q '(ScanNotFoundException)' "$WORK/ecr-error"; then
      state="wait"
      if [[ "$started" == no ]]; then start_scan "$1" "$2"; started=yes; fi
    else
      cat "$WORK/ecr-error" >&2
      fail "the scan of $1 cannot be read (see the line above)"
    fi
    case "$state" in
      done) return ;;
      failed*) fail "ECR could not scan $1 ($2): ${state#failed }" ;;
    esac
    [[ "$SECONDS" -lt "$deadline" ]] || fail "ECR did not finish the scan of $1 ($2) within ${SCAN_TIMEOUT_SECONDS:-600} s"
    sleep "${SCAN_POLL_SECONDS:-5}"
  done
}

# Unnecessary with scan on push. Enhanced scanning refuses it and scans automatically, so a refusal is only logged.
start_scan() { # service, digest
  in_registry start-image-scan "$1" --image-id "imageDigest=$2" >/dev/null 2>"$WORK/ecr-error" ||
    log "      no scan yet, and none can be started: $(tr -d '\n' <"$WORK/ecr-error")"
}
