#!/usr/bin/env bash
# Builds the images of both services, and pushes exactly what was built:
#   infrastructure/build_images.sh build TAG                      `make images` calls this
#   infrastructure/build_images.sh push TAG REGISTRY SERVICE      deploy.sh calls this
#   infrastructure/build_images.sh prune TAG                      `make clean-images` calls this
#   infrastructure/build_images.sh pin                            `make pin-base` calls this
#
# With docker buildx, `build` builds every platform of PLATFORMS into the builder's cache and loads one of them for the
# tests. `push` takes the same platforms from the same cache, with an SBOM and the provenance attached, and pushes them
# by digest only. It sets the tag after it has compared the pushed configuration digest with the one that was tested.
# Other tools build one platform.
#
# `build` writes the base image's digest, the platforms and the tested digests to .local/build-TAG.txt. `push` reads them.
# Settings: CONTAINER_TOOL (docker), PLATFORMS, BASE_IMAGE (infrastructure/base-image.txt), BUILDER (pillarbox),
# TRACING=yes (with OpenTelemetry), SBOM_GENERATOR (an image that replaces buildx's default SBOM scanner).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SERVICES=(service1-api service2-consumer)
readonly TOOL=${CONTAINER_TOOL:-docker}
readonly BUILDER=${BUILDER:-pillarbox}
readonly BASE_IMAGE=${BASE_IMAGE:-$(<infrastructure/base-image.txt)}
readonly TRACING=${TRACING:-no}

log() { printf 'build_images.sh: %s\n' "$*" >&2; }

fail() {
  log "$*"
  exit 1
}

has_buildx() { [[ "$TOOL" == docker ]] && docker buildx version >/dev/null 2>&1; }

recorded() { # name
  sed -n "s/^$1=//p" "$RECORD" 2>/dev/null
}

manifest() { # arguments of image_manifest.py; the JSON is on standard input
  "${PYTHON:-python3}" infrastructure/deploy/image_manifest.py "$@"
}

# Prints the locked requirements that go into the images.
requirements() { # yes or no: with OpenTelemetry
  case "$1" in
    yes) echo requirements-tracing.txt ;;
    no) echo requirements.txt ;;
    *) fail "TRACING: expected yes or no, got \"$1\"" ;;
  esac
}

# Runs buildx with all arguments that determine the image's content, so that `build` and `push` cannot differ.
# BuildKit takes all times in the configuration from SOURCE_DATE_EPOCH: the same layers give the same digest.
buildx_build() { # service, options...
  local service=$1 base
  shift
  base=$(recorded base)
  SOURCE_DATE_EPOCH=$(recorded epoch) docker buildx build --builder "$BUILDER" --file "$service/Dockerfile" \
    --build-arg "BASE_IMAGE=$base" --build-arg "REQUIREMENTS=$(recorded requirements)" \
    --label "org.opencontainers.image.revision=$TAG" --label "org.opencontainers.image.base.digest=${base##*@}" "$@" .
}

# docker's default builder supports one platform; the docker-container driver supports several.
make_builder() {
  docker buildx inspect "$BUILDER" >/dev/null 2>&1 ||
    docker buildx create --name "$BUILDER" --driver docker-container >/dev/null
}

# Prints the base image with the current digest of its tag. Every stage and platform of one build uses this digest.
pinned_base() { # image
  local digest
  if [[ "$1" == *@sha256:* ]]; then
    echo "$1"
    return
  fi
  digest=$(docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}') || return 1
  [[ "$digest" == sha256:* ]] || return 1
  echo "$1@$digest"
}

# Prints the platform that the tests run: the engine's own, or the first one when the engine's own is not built.
tested_platform() { # platforms, separated by commas
  local native
  native=$(docker version --format '{{.Server.Os}}/{{.Server.Arch}}')
  if [[ ",$1," == *",$native,"* ]]; then echo "$native"; else echo "${1%%,*}"; fi
}

build_with_buildx() {
  local service base tested platforms=${PLATFORMS:-linux/amd64,linux/arm64}
  make_builder
  base=$(pinned_base "$BASE_IMAGE") || fail "the digest of $BASE_IMAGE cannot be read"
  tested=$(tested_platform "$platforms")
  {
    echo "builder=buildx"
    echo "base=$base"
    echo "platforms=$platforms"
    echo "tested=$tested"
    echo "requirements=$REQUIREMENTS"
    echo "epoch=$(git log -1 --format=%ct 2>/dev/null || date +%s)"
  } >"$RECORD"
  for service in "${SERVICES[@]}"; do
    log "building pillarbox/$service:$TAG for $platforms on $base"
    buildx_build "$service" --platform "$tested" --provenance=false --load --tag "pillarbox/$service:$TAG" \
      --metadata-file "$WORK/metadata.json"
    echo "$service=$(manifest built-config <"$WORK/metadata.json")" >>"$RECORD"
    if [[ "$platforms" != "$tested" ]]; then
      buildx_build "$service" --platform "$platforms" --provenance=false --output type=cacheonly
    fi
  done
}

build_with_one_platform() {
  local service platform=${PLATFORMS:-}
  [[ "$platform" != *,* ]] || fail "$TOOL without buildx builds one platform, not $platform"
  : >"$RECORD"
  for service in "${SERVICES[@]}"; do
    log "building pillarbox/$service:$TAG${platform:+ for $platform}"
    "$TOOL" build ${platform:+--platform "$platform"} --file "$service/Dockerfile" --build-arg "BASE_IMAGE=$BASE_IMAGE" \
      --build-arg "REQUIREMENTS=$REQUIREMENTS" --label "org.opencontainers.image.revision=$TAG" --tag "pillarbox/$service:$TAG" .
  done
  {
    echo "builder=$TOOL"
    echo "base=$(used_base)"
    echo "platforms=$platform"
    echo "requirements=$REQUIREMENTS"
  } >"$RECORD"
}

# Prints the base image with its digest in the tool, if the tool has one.
used_base() {
  local digest=""
  if [[ "$BASE_IMAGE" != *@sha256:* ]]; then
    case "$TOOL" in
      buildah) digest=$(buildah inspect --type image --format '{{.FromImageDigest}}' "$BASE_IMAGE" 2>/dev/null || true) ;;
      podman) digest=$(podman image inspect --format '{{.Digest}}' "$BASE_IMAGE" 2>/dev/null || true) ;;
      *) digest=$("$TOOL" image inspect --format '{{index .RepoDigests 0}}' "$BASE_IMAGE" 2>/dev/null || true) ;;
    esac
  fi
  echo "$BASE_IMAGE${digest:+@${digest##*@}}"
}

build() {
  REQUIREMENTS=$(requirements "$TRACING")
  mkdir -p .local
  if has_buildx; then build_with_buildx; else build_with_one_platform; fi
  log "built on $(recorded base); see $RECORD"
}

push() { # registry, service
  local repository=$1/pillarbox/$2 digest sbom=true
  [[ "$(recorded builder)" == buildx ]] || fail "buildx did not build $TAG here: make images TAG=$TAG"
  if [[ -n "${SBOM_GENERATOR:-}" ]]; then sbom="generator=$SBOM_GENERATOR"; fi
  make_builder
  buildx_build "$2" --platform "$(recorded platforms)" --provenance=mode=max --sbom="$sbom" \
    --output "type=image,name=$repository,push-by-digest=true,name-canonical=true,push=true" \
    --metadata-file "$WORK/metadata.json"
  digest=$(manifest built-digest <"$WORK/metadata.json")
  require_tested "$repository@$digest" "$2"
  docker buildx imagetools create --builder "$BUILDER" --tag "$repository:$TAG" "$repository@$digest"
}

# Fails unless the pushed image of the tested platform is the tested image: same configuration, so the same layers.
require_tested() { # image by digest, service
  local image=$1 tested own config
  tested=$(recorded "$2")
  own=$(docker buildx imagetools inspect --builder "$BUILDER" --raw "$image" | manifest platform "$(recorded tested)")
  config=$(docker buildx imagetools inspect --builder "$BUILDER" --raw "${image%@*}@$own" | manifest config)
  [[ "$config" == "$tested" ]] ||
    fail "$image is not the tested image: its $(recorded tested) image has configuration $config, tested was $tested; it got no tag"
}

# Removes the local images of this tag. The builder's cache keeps what was used within a week.
prune() {
  local ids
  ids=$("$TOOL" image ls --quiet --filter "label=org.opencontainers.image.revision=$TAG" | sort -u)
  if [[ -n "$ids" ]]; then
    # shellcheck disable=SC2086  # one argument for each id
    "$TOOL" image rm --force $ids >/dev/null
  fi
  "$TOOL" image prune --force >/dev/null
  if has_buildx; then docker buildx prune --builder "$BUILDER" --force --filter until=168h >/dev/null; fi
  rm -f "$RECORD"
}

# Writes the current digest of the base image's tag to the file that later builds read.
pin() {
  local name base
  name=$(<infrastructure/base-image.txt)
  base=$(pinned_base "${name%@*}") || fail "the digest of ${name%@*} cannot be read"
  echo "$base" >infrastructure/base-image.txt
  log "infrastructure/base-image.txt: $base"
}

main() {
  local action=${1:-}
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  case "$action:$#" in
    build:2 | push:4 | prune:2)
      readonly TAG=$2 RECORD=.local/build-$2.txt
      shift 2
      "$action" "$@"
      ;;
    pin:1) pin ;;
    *)
      sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
      exit 2
      ;;
  esac
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then main "$@"; fi
