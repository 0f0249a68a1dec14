# shellcheck shell=bash
# What the components service-monitor and monitoring need to know of an environment.

monitoring_patches() {
  local service
  if has_component service-monitor; then
    patch NetworkPolicy metrics \
      replace /spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name "\"$(setting PROMETHEUS_NAMESPACE)\""
    for service in ServiceMonitor/service1-api PodMonitor/service2-consumer PodMonitor/file-intake; do
      release_label "${service%/*}" "${service#*/}"
    done
  fi
  if has_component monitoring; then release_label PrometheusRule pillarbox; fi
}

release_label() { # kind, name
  if [[ -z "$(setting PROMETHEUS_RELEASE)" ]]; then return; fi
  patch "$1" "$2" add /metadata/labels/release "\"$(setting PROMETHEUS_RELEASE)\""
}

# Alerts and dashboards name the runbook by its path in this repository; a pager needs an address.
with_runbook() {
  if has_component monitoring && [[ -n "$(setting RUNBOOK_URL)" ]]; then
    sed "s|docs/operations\.md|$(setting RUNBOOK_URL)|g"
  else
    cat
  fi
}
