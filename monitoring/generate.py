"""Writes what is derived: the rules of the objectives, the dashboards, and the copies that Kubernetes gets.

`make docs` runs it; a test checks that the files are current.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from monitoring import boards, consumer_boards, objectives

REPOSITORY = Path(__file__).resolve().parent.parent
MONITORING = REPOSITORY / "monitoring"
COMPONENT = REPOSITORY / "k8s/components/monitoring"
BOARDS = (boards.overview(), boards.api(), consumer_boards.consumer(), consumer_boards.files())
RULES = MONITORING / "rules.yaml"
NOTE = "# Written by monitoring/generate.py; `make docs` writes it again.\n"
_NAMES = {"app.kubernetes.io/name": "monitoring", "app.kubernetes.io/component": "monitoring"}


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block, and no aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def generated() -> Iterator[tuple[Path, str]]:
    """Yield each derived file with the text that it should have."""
    slo = objectives.document()
    yield MONITORING / "slo.yaml", NOTE + _yaml(slo)
    for board in BOARDS:
        yield MONITORING / f"dashboards/{board.name}.json", json.dumps(board.model(), indent=2) + "\n"
    groups = yaml.safe_load(RULES.read_text())["groups"] + slo["groups"]
    yield COMPONENT / "rules.yaml", NOTE + _yaml(prometheus_rule(groups))
    yield COMPONENT / "dashboards.yaml", NOTE + _yaml(config_map())


def prometheus_rule(groups: list[Any]) -> dict[str, Any]:
    """Return the rules as an object of the Prometheus operator, which has the field `groups` of a rules file."""
    metadata = {"name": "pillarbox", "namespace": "pillarbox", "labels": _NAMES}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": {"groups": groups},
    }


def config_map() -> dict[str, Any]:
    """Return the dashboards as an object that Grafana's sidecar finds by its label.

    The JSON is in one line: deploy.sh keeps the manifests in a ConfigMap, which holds 1 MiB.
    """
    data = {f"pillarbox-{b.name}.json": json.dumps(b.model(), separators=(",", ":")) + "\n" for b in BOARDS}
    labels = _NAMES | {"grafana_dashboard": "1"}
    metadata = {
        "name": "pillarbox-dashboards",
        "namespace": "pillarbox",
        "labels": labels,
        "annotations": {"grafana_folder": "Pillarbox"},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100_000, allow_unicode=True)


def main() -> None:
    """Write every derived file that differs, and print its name."""
    for path, text in generated():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"written: {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
