# shellcheck shell=bash
# The steps of deploy.sh for the images: build, push missing ones, look up digests, add tags.

readonly SERVICES=(service1-api service2-consumer)
# Without this list ECR converts the manifest of an image with several platforms.
readonly MANIFEST_TYPES=(application/vnd.oci.image.index.v1+json application/vnd.oci.image.manifest.v1+json
  application/vnd.docker.distribution.manifest.list.v2+json application/vnd.docker.distribution.manifest.v2+json)
DIGEST="" # set by find_image

registry_region() { cut -d. -f4 <<<"$REGISTRY"; }

in_registry() { # ECR action, service, options...
  local action=$1 service=$2
  shift 2
  aws --region "$(registry_region)" ecr "$action" --registry-id "${REGISTRY%%.*}" --repository-name "pillarbox/$service" "$@"
}

# Prints the interpreter for scripts that need only the standard library.
any_python() {
  if [[ -x "$ROOT/.venvs/local_stack/bin/python" ]]; then
    echo "$ROOT/.venvs/local_stack/bin/python"
  else
    echo "${PYTHON:-python3}"
  fi
}

# Prints the digest of an image in the registry. Returns 1 if there is none, 2 if the registry does not answer.
pushed_digest() { # service, tag
  local digest
  if digest=$(in_registry describe-images "$1" --image-ids "imageTag=$2" \
    --query 'imageDetails[0].imageDigest' --output text 2>"$WORK/ecr-error"); then
    if [[ "$digest" == None ]]; then return 1; fi
    [[ "$digest" == sha256:* ]] || return 2
    echo "$digest"
  elif grep -qE '\((Image|Repository)NotFoundException\)' "$WORK/ecr-error"; then
    return 1
  else
    cat "$WORK/ecr-error" >&2
    return 2
  fi
}

# Sets DIGEST to the digest of an image, or to nothing if the registry has none. Any other answer is a failure.
find_image() { # service, tag (default: the tag of this deployment)
  local code=0 tag=${2:-$IMAGE_TAG}
  DIGEST=$(pushed_digest "$1" "$tag") || code=$?
  [[ "$code" -lt 2 ]] || fail "cannot query $REGISTRY for pillarbox/$1:$tag (see the line above)"
}

require_image() { # service
  find_image "$1"
  [[ -n "$DIGEST" ]] || fail "the registry has no image pillarbox/$1:$IMAGE_TAG"
}

all_pushed() {
  local service
  for service in "${SERVICES[@]}"; do
    find_image "$service"
    [[ -n "$DIGEST" ]] || return 1
  done
}

step_build() {
  if all_pushed; then
    log "      $IMAGE_TAG exists in the registry already"
    return
  fi
  # The build must contain exactly the commit that the tag names.
  if [[ "$IMAGE_TAG" == "$(git rev-parse HEAD 2>/dev/null)" && -n "$(git status --porcelain --untracked-files=no)" ]]; then
    fail "there are uncommitted changes: commit them, or use another tag (--image-tag)"
  fi
  local tracing=()
  if [[ " ${COMPONENTS[*]:-} " == *" tracing "* ]]; then tracing=(TRACING=yes); fi
  change make images "TAG=$IMAGE_TAG" CONTAINER_TOOL=docker ${PLATFORMS:+"PLATFORMS=$PLATFORMS"} "${tracing[@]}"
}

step_push() {
  if [[ "$SKIP_BUILD" == yes ]]; then
    step_images
    return
  fi
  local service logged_in=no
  for service in "${SERVICES[@]}"; do
    find_image "$service"
    if [[ -n "$DIGEST" ]]; then
      log "      $service:$IMAGE_TAG exists in the registry already"
      continue
    fi
    if [[ "$logged_in" == no ]]; then log_in; logged_in=yes; fi
    push_image "$service"
  done
  [[ "$DRY_RUN" == yes ]] || step_images
}

# An image that buildx built is pushed from its cache with all platforms. Any other image is pushed by docker as it is.
push_image() { # service
  if grep -qx builder=buildx "$ROOT/.local/build-$IMAGE_TAG.txt" 2>/dev/null; then
    change infrastructure/build_images.sh push "$IMAGE_TAG" "$REGISTRY" "$1"
  else
    change docker tag "pillarbox/$1:$IMAGE_TAG" "$REGISTRY/pillarbox/$1:$IMAGE_TAG"
    change docker push "$REGISTRY/pillarbox/$1:$IMAGE_TAG"
  fi
}

log_in() {
  if [[ "$DRY_RUN" == yes ]]; then
    log "      would log in to $REGISTRY"
    return
  fi
  aws --region "$(registry_region)" ecr get-login-password |
    docker login --username AWS --password-stdin "$REGISTRY" >&2
}

# Requires both images in the registry and writes their digests to a file for the pipeline.
step_images() {
  local service
  : >"$WORK/digests"
  for service in "${SERVICES[@]}"; do
    if [[ "$DRY_RUN" == yes ]]; then
      find_image "$service"
      if [[ -z "$DIGEST" ]]; then
        log "      $service:$IMAGE_TAG is not in the registry yet"
        return
      fi
    else
      require_image "$service"
    fi
    echo "$REGISTRY/pillarbox/$service@$DIGEST" >>"$WORK/digests"
  done
  mv "$WORK/digests" "$ROOT/.local/images-$IMAGE_TAG.txt"
  log "      digests: .local/images-$IMAGE_TAG.txt"
}

# Adds the tag env-<environment>-<tag> to images that are about to be deployed, so that the registry keeps them.
tag_for_environment() { # services (default: all)
  local service wanted tag=env-$ENVIRONMENT-$IMAGE_TAG services=("$@")
  if [[ $# -eq 0 ]]; then services=("${SERVICES[@]}"); fi
  for service in "${services[@]}"; do
    if [[ "$DRY_RUN" == yes ]]; then
      log "      would tag $service:$IMAGE_TAG as $tag"
      continue
    fi
    require_image "$service"
    wanted=$DIGEST
    find_image "$service" "$tag"
    if [[ -z "$DIGEST" ]]; then
      add_tag "$service" "$wanted" "$tag"
    else
      [[ "$DIGEST" == "$wanted" ]] || fail "pillarbox/$service:$tag is $DIGEST, not $wanted: tags are never moved"
    fi
  done
}

# The manifest must be copied byte for byte: for the registry, a changed manifest is another image.
add_tag() { # service, digest, tag
  local media_type
  stored_manifest "$1" "$2"
  media_type=$("$(any_python)" "$ROOT/infrastructure/deploy/image_manifest.py" stored-type <"$WORK/stored.json")
  "$(any_python)" "$ROOT/infrastructure/deploy/image_manifest.py" stored <"$WORK/stored.json" >"$WORK/manifest.json"
  in_registry put-image "$1" --image-tag "$3" --image-digest "$2" --image-manifest "file://$WORK/manifest.json" \
    ${media_type:+--image-manifest-media-type "$media_type"} --query image.imageId.imageDigest --output text >/dev/null
  log "      $1:$IMAGE_TAG is tagged $3"
}

# Writes the registry's answer with the manifest of an image to $WORK/stored.json.
stored_manifest() { # service, digest
  in_registry batch-get-image "$1" --image-ids "imageDigest=$2" --accepted-media-types "${MANIFEST_TYPES[@]}" \
    --output json >"$WORK/stored.json"
}
