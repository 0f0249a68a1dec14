#!/usr/bin/env bash
# Stands in for aws and kubectl, so that deploy.sh meets the emulator and the real API server of these tests: linked under
# the tool's name into a folder that comes first on PATH, before the stand-ins of tests/deploy.
#   aws      `eks update-kubeconfig` writes the access to this cluster; anything else goes to the next aws on PATH
#   kubectl  the real one; the load balancer's name, which only AWS could resolve, becomes the address of the local API
# While the file $SCENE_STATE/unreachable exists, nothing listens at the API server's address.
set -euo pipefail

write_access() {
  local access=$SCENE_KUBECONFIG
  while [[ "$1" != --kubeconfig ]]; do shift; done # $2 is the file from here on
  if [[ -e "$SCENE_STATE/unreachable" ]]; then
    sed 's,https://127.0.0.1:[0-9]*,https://127.0.0.1:1,' "$access" >"$2"
  else
    cp "$access" "$2"
  fi
}

main() {
  local tool
  tool=$(basename "$0")
  echo "$tool $*" >>"$SCENE_STATE/calls"
  case "$tool $*" in
    aws*" update-kubeconfig "*) write_access "$@" ;;
    kubectl*ingress*) "$SCENE_KUBECTL" "$@" | sed "s/load-balancer\.test/$SCENE_LOAD_BALANCER/g" ;;
    kubectl*) exec "$SCENE_KUBECTL" "$@" ;;
    *) PATH=${PATH#"$(dirname "$0"):"} exec "$tool" "$@" ;;
  esac
}

main "$@"
