"""The parts of a Grafana dashboard as plain dictionaries: panels, variables, links, and the dashboard around them.

The names are those of Grafana's dashboard JSON model, schema version 39 (Grafana 11 and newer read it).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
TAG = "pillarbox"
RUNBOOK = "docs/operations.md"
_WIDTH = 24
_SCHEMA_VERSION = 39
# By these a metric belongs to the pods that the variables choose; it need not have the label `environment`.
CHOSEN = 'namespace=~"$namespace",environment=~"$environment"'


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph, or with `stat` a single number; `queries` maps each expression to the legend of its series.

    `objective` draws a line at that value: red above it, or below it with `good_above`.
    """

    title: str
    unit: str
    queries: dict[str, str]
    description: str
    objective: float | None = None
    good_above: bool = False
    stat: bool = False
    width: int = 8
    stacked: bool = False
    maximum: float | None = None

    @property
    def height(self) -> int:
        """The height in rows of the grid."""
        return 4 if self.stat else 8

    def model(self, number: int, x: int, y: int) -> Json:
        """Return the panel's JSON model at a place of the grid, which is 24 columns wide."""
        defaults: Json = {"unit": self.unit, "thresholds": self._thresholds()}
        if self.maximum is not None:
            defaults["max"] = self.maximum
        options: Json = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "area"}
        if not self.stat:
            defaults["min"] = 0
            defaults["color"] = {"mode": "palette-classic"}
            defaults["custom"] = {
                "lineWidth": 1,
                "fillOpacity": 20 if self.stacked else 0,
                "showPoints": "never",
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "off" if self.objective is None else "dashed"},
            }
            options = {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        else:
            defaults["color"] = {"mode": "thresholds"}
        return {
            "id": number,
            "type": "stat" if self.stat else "timeseries",
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
            "targets": [_target(n, *query) for n, query in enumerate(self.queries.items())],
        }

    def _thresholds(self) -> Json:
        colors = ("red", "green") if self.good_above else ("green", "red")
        steps: list[Json] = [{"color": colors[0] if self.objective is not None else "green", "value": None}]
        if self.objective is not None:
            steps.append({"color": colors[1], "value": self.objective})
        return {"mode": "absolute", "steps": steps}


@dataclass(frozen=True, slots=True)
class Row:
    """A headline with its panels, from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; its uid and file name stay, so that links and bookmarks do."""

    name: str
    title: str
    description: str
    log_selector: str
    trace_query: str
    rows: Sequence[Row] = field(default_factory=tuple)

    def model(self) -> Json:
        """Return the dashboard's JSON model."""
        return {
            "uid": f"pillarbox-{self.name}",
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "timezone": "browser",
            "schemaVersion": _SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "templating": {"list": _variables()},
            "annotations": {"list": [_deployments()]},
            "links": self._links(),
            "panels": self._placed(),
        }

    def _placed(self) -> list[Json]:
        models: list[Json] = []
        y = 0
        for row in self.rows:
            grid = {"h": 1, "w": _WIDTH, "x": 0, "y": y}
            header = {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": grid}
            models.append({"id": len(models) + 1, **header})
            x, y, height = 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > _WIDTH:
                    x, y, height = 0, y + height, 0
                models.append(panel.model(len(models) + 1, x, y))
                x, height = x + panel.width, max(height, panel.height)
            y += height
        return models

    def _links(self) -> list[Json]:
        dashboards = {"type": "dashboards", "title": "Pillarbox", "tags": [TAG], "asDropdown": True, "keepTime": True}
        logs = {"expr": self.log_selector}
        traces = {"queryType": "traceql", "query": self.trace_query}
        return [
            dashboards | {"includeVars": True},
            _link("Runbook", "${runbook}#alerts"),
            _link("Logs", _explore("logs", "loki", logs)),
            _link("Traces", _explore("traces", "tempo", traces)),
        ]


def _target(number: int, expr: str, legend: str) -> Json:
    return {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}


def _link(title: str, url: str) -> Json:
    return {"type": "link", "title": title, "url": url, "icon": "doc", "targetBlank": True, "tags": []}


def _explore(variable: str, kind: str, query: Json) -> str:
    """Return the address of Grafana's Explore page with a query of a data source that a variable chooses."""
    source = {"type": kind, "uid": f"${{{variable}}}"}
    pane = {
        "datasource": source["uid"],
        "queries": [{"refId": "A", "datasource": source, **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = json.dumps({"a": pane}, separators=(",", ":"))
    return f"/explore?schemaVersion=1&orgId=1&panes={quote(panes, safe='${}:,[]')}"


def _variables() -> list[Json]:
    datasources = (("datasource", "Metrics", "prometheus"), ("logs", "Logs", "loki"), ("traces", "Traces", "tempo"))
    variables: list[Json] = [
        {"name": name, "label": label, "type": "datasource", "query": kind, "hide": 0, "refresh": 1, "regex": ""}
        for name, label, kind in datasources
    ]
    up = 'up{container=~"service1-api|service2-consumer|file-intake"}'
    variables += [
        {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": f"label_values({up}, {name})", "refId": "A"},
            "hide": 0,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",  # it matches series without the label too
            "current": {"text": ["All"], "value": ["$__all"]},
        }
        for name in ("namespace", "environment")
    ]
    return [*variables, {"name": "runbook", "type": "constant", "query": RUNBOOK, "hide": 2, "skipUrlSync": True}]


def _deployments() -> Json:
    """Return the annotation of deployments: each makes a ReplicaSet, which a change of the number of pods does not."""
    return {
        "name": "Deployments",
        "enable": True,
        "datasource": DATASOURCE,
        "expr": 'kube_replicaset_created{namespace=~"$namespace"} * 1000',
        "useValueForTime": True,
        "titleFormat": "Deployment",
        "textFormat": "{{replicaset}}",
        "iconColor": "blue",
        "step": "60s",
    }
