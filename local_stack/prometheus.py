"""Prometheus beside the stack: what it scrapes, with the rules of monitoring/, as one more process."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_stack.processes import Process, StackError

REPOSITORY = Path(__file__).resolve().parent.parent
RULES = (REPOSITORY / "monitoring/rules.yaml", REPOSITORY / "monitoring/slo.yaml")
_SCRAPE_SECONDS = 5
# The labels that the monitors of k8s/components/service-monitor add, by container.
_NAMESPACES: Mapping[str, str] = {
    "service1-api": "pillarbox",
    "service2-consumer": "pillarbox-consumer",
    "file-intake": "pillarbox-consumer",
}
SERVICES = tuple(_NAMESPACES)


def program() -> Path:
    """Return the program. Raise StackError where it is not installed."""
    found = shutil.which("prometheus")
    if not found:
        raise StackError(
            "PROMETHEUS=1 needs the program `prometheus` on PATH (Debian and Ubuntu: apt-get install prometheus; "
            "others: https://prometheus.io/download/)"
        )
    return Path(found)


def configuration(
    ports: Mapping[str, int],
    *,
    rules: Sequence[Path] = RULES,
    scrape_seconds: int = _SCRAPE_SECONDS,
    others: Mapping[str, int] | None = None,
) -> str:
    """Return the configuration file.

    `ports` are those of the services on 127.0.0.1, by container; `others` those of exporters, by job, whose own
    labels stay.
    """
    jobs = [
        {
            "job_name": container,
            "static_configs": [
                {
                    "targets": [f"127.0.0.1:{port}"],
                    "labels": {
                        "namespace": _NAMESPACES[container],
                        "pod": f"{container}-local",
                        "container": container,
                        "environment": "local",
                    },
                }
            ],
        }
        for container, port in ports.items()
    ]
    exporters = [
        {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in (others or {}).items()
    ]
    interval = f"{scrape_seconds}s"
    document = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [*jobs, *exporters],
    }
    return json.dumps(document, indent=2)  # which is YAML too


def new_prometheus(directory: Path, port: int, configured: str) -> Process:
    """Describe the process, not started yet; its configuration and data lie in `directory`. Raise StackError."""
    command = program()
    state = directory / "prometheus"
    state.mkdir(parents=True, exist_ok=True)
    file = state / "prometheus.yaml"
    file.write_text(configured)
    return Process(
        "prometheus",
        (
            command,
            f"--config.file={file}",
            f"--storage.tsdb.path={state / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ),
        environment=os.environ,
        directory=directory,
        working_directory=state,
        ready_url=f"http://127.0.0.1:{port}/-/ready",
    )
