# shellcheck shell=bash
# The steps of deploy.sh around the images: build, push what the registry lacks, look up what it has.

readonly SERVICES=(service1-api service2-consumer)

registry_region() { cut -d. -f4 <<<"$REGISTRY"; }

# Gives the digest of a service's image in the registry; fails where there is none.
pushed_digest() { # service
  local digest
  digest=$(aws --region "$(registry_region)" ecr describe-images --registry-id "${REGISTRY%%.*}" \
    --repository-name "pillarbox/$1" --image-ids "imageTag=$IMAGE_TAG" \
    --query 'imageDetails[0].imageDigest' --output text 2>/dev/null) || return 1
  [[ "$digest" == sha256:* ]] || return 1
  echo "$digest"
}

all_pushed() {
  local service
  for service in "${SERVICES[@]}"; do
    pushed_digest "$service" >/dev/null || return 1
  done
}

step_build() {
  if all_pushed; then
    log "      $IMAGE_TAG is in the registry already"
    return
  fi
  # What is built must be the commit that the tag names.
  if [[ "$IMAGE_TAG" == "$(git rev-parse HEAD 2>/dev/null)" && -n "$(git status --porcelain --untracked-files=no)" ]]; then
    fail "there are changes that are not committed: commit them, or give them a tag of their own (--image-tag)"
  fi
  change make images "TAG=$IMAGE_TAG" CONTAINER_TOOL=docker
}

step_push() {
  if [[ "$SKIP_BUILD" == yes ]]; then
    step_images
    return
  fi
  local service logged_in=no
  for service in "${SERVICES[@]}"; do
    if pushed_digest "$service" >/dev/null; then
      log "      $service:$IMAGE_TAG is in the registry already"
      continue
    fi
    if [[ "$logged_in" == no ]]; then log_in; logged_in=yes; fi
    change docker tag "pillarbox/$service:$IMAGE_TAG" "$REGISTRY/pillarbox/$service:$IMAGE_TAG"
    change docker push "$REGISTRY/pillarbox/$service:$IMAGE_TAG"
  done
  [[ "$DRY_RUN" == yes ]] || step_images
}

log_in() {
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would log in to $REGISTRY"
    return
  fi
  aws --region "$(registry_region)" ecr get-login-password |
    docker login --username AWS --password-stdin "$REGISTRY" >&2
}

# Makes sure that both images are there, and writes their digests where a pipeline can archive them.
step_images() {
  local service digest
  : >"$WORK/digests"
  for service in "${SERVICES[@]}"; do
    if digest=$(pushed_digest "$service"); then
      echo "$REGISTRY/pillarbox/$service@$digest" >>"$WORK/digests"
    elif [[ "$DRY_RUN" == yes ]]; then
      log "      $service:$IMAGE_TAG is not in the registry yet"
      return
    else
      fail "the registry has no image pillarbox/$service:$IMAGE_TAG"
    fi
  done
  mv "$WORK/digests" "$ROOT/.local/images-$IMAGE_TAG.txt"
  log "      digests: .local/images-$IMAGE_TAG.txt"
}
