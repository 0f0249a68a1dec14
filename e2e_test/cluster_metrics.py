"""An exporter of what only a cluster has, and of the faults that no test causes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMESPACES = {
    "service1-api": "pillarbox",
    "service2-consumer": "pillarbox-consumer",
    "file-intake": "pillarbox-consumer",
}
_OF_A_POD = """
kube_deployment_status_replicas_available{{namespace="{namespace}",deployment="{name}"}} 1
kube_replicaset_created{{namespace="{namespace}",replicaset="{name}-1"}} {started}
kube_pod_container_status_restarts_total{{{pod}}} 0
kube_pod_container_resource_limits{{{pod},resource="memory",unit="byte"}} 536870912
container_memory_working_set_bytes{{{pod}}} 134217728
container_cpu_cfs_periods_total{{{pod}}} {counter}
container_cpu_cfs_throttled_periods_total{{{pod}}} {counter}
"""
_OF_A_CONSUMER = """
keda_scaler_metrics_value{{scaledObject="{name}",metric="s0-aws-sqs"}} 3
keda_scaler_active{{scaledObject="{name}",metric="s0-aws-sqs"}} 1
keda_scaled_object_errors_total{{scaledObject="{name}"}} 0
keda_scaled_object_errors{{scaledObject="{name}"}} 0
pillarbox_consumer_invalid_total{{{pod},reason="store_refused"}} 0
pillarbox_consumer_store_failures_total{{{pod},cause="server_error"}} {counter}
pillarbox_consumer_read_failures_total{{{pod},cause="server_error"}} {counter}
"""
_OF_THE_PROBES = """
kube_cronjob_created{{namespace="pillarbox",cronjob="pillarbox-probe"}} {started}
kube_cronjob_spec_suspend{{namespace="pillarbox",cronjob="pillarbox-probe"}} 0
kube_cronjob_status_last_successful_time{{namespace="pillarbox",cronjob="pillarbox-probe"}} {now}
probe_ssl_earliest_cert_expiry{{job="pillarbox-api",instance="https://mail.example.com/health"}} {far}
"""


def exposition(started: int, now: int) -> str:
    """Return the metrics in Prometheus's text format; counters grow by one a second."""
    text = _OF_THE_PROBES.format(started=started, now=now, far=now + 90 * 86_400)
    for name, namespace in NAMESPACES.items():
        pod = f'namespace="{namespace}",pod="{name}-local",container="{name}"'
        parts = _OF_A_POD if name == "service1-api" else _OF_A_POD + _OF_A_CONSUMER
        text += parts.format(name=name, namespace=namespace, pod=pod, started=started, counter=now - started)
    return "".join(f"{line}\n" for line in text.splitlines() if line)


@contextmanager
def served_on(port: int) -> Iterator[None]:
    """Serve the metrics on 127.0.0.1 for as long as the context lasts."""
    started = int(time.time())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server calls this name
            body = exposition(started, int(time.time())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # a scrape a second
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
