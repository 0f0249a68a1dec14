"""The dashboards of the pipeline as a whole and of service1-api."""

from monitoring.objectives import OBJECTIVES
from monitoring.panels import CHOSEN, Board, Panel, Row
from monitoring.pods import pods_row
from monitoring.queries import quantile, rate

_AVAILABILITY, _LATENCY = OBJECTIVES
_API = f'container="service1-api",{CHOSEN}'
_LATE_SECONDS = 60
_SLOW_SECONDS = 2  # as the alarm on the load balancer


def _slo(name: str, slo: str) -> str:
    return f'{name}{{sloth_slo="{slo}",{CHOSEN}}}'


def _budget(slo: str, title: str) -> Panel:
    query = _slo("slo:period_error_budget_remaining:ratio", slo)
    text = "What is left of the error budget of 30 days. Below 0 the objective is missed."
    return Panel(title, "percentunit", {query: "{{environment}}"}, text, 0, good_above=True, stat=True, width=6)


def _errors(slo: str, budget: float, title: str, text: str) -> Panel:
    queries = {
        _slo(f"slo:sli_error:ratio_rate{window}", slo): f"{window} {{{{environment}}}}" for window in ("5m", "1h")
    }
    return Panel(title, "percentunit", queries, text, budget, width=12)


def overview() -> Board:
    """Return the first board to look at: the objectives, and the e-mails from request to archive."""
    return Board(
        "overview",
        "Pillarbox / Overview",
        "Are e-mails accepted, and archived in time?",
        '{namespace=~"${namespace:regex}"}',
        '{resource.service.name=~"service1-api|service2-consumer"}',
        [_objectives(), _flow()],
    )


def api() -> Board:
    """Return the board of service1-api."""
    return Board(
        "api",
        "Pillarbox / API",
        "service1-api: from a request to SQS.",
        '{namespace=~"${namespace:regex}",container="service1-api"}',
        '{resource.service.name="service1-api"}',
        [_requests(), _sqs(), pods_row("service1-api")],
    )


def _objectives() -> Row:
    firing = 'count(ALERTS{application="pillarbox",alertstate="firing"}) or vector(0)'
    dead = f"max by (container) (pillarbox_consumer_dead_letters{{{CHOSEN}}})"
    return Row(
        "Objectives",
        [
            _budget(_AVAILABILITY.name, "Budget: requests without 5xx"),
            _budget(_LATENCY.name, "Budget: archived within 60 s"),
            Panel("Alerts", "short", {firing: "firing"}, "Alerts of Pillarbox that fire.", 1, stat=True, width=6),
            Panel(
                "Dead letters",
                "short",
                {dead: "{{container}}"},
                "Messages in the dead-letter queue.",
                1,
                stat=True,
                width=6,
            ),
            _errors(
                _AVAILABILITY.name,
                _AVAILABILITY.budget,
                "Requests answered with 5xx",
                "Share of the valid requests. Above the line the error budget shrinks faster than it is given.",
            ),
            _errors(
                _LATENCY.name,
                _LATENCY.budget,
                "E-mails archived late",
                "Share of the e-mails archived later than 60 s after they were accepted.",
            ),
        ],
    )


def _flow() -> Row:
    email = f'container="service2-consumer",{CHOSEN}'
    files = f'container="file-intake",{CHOSEN}'
    stored = "pillarbox_consumer_stored_total"
    counts = {
        rate("pillarbox_api_published_total", "environment", CHOSEN): "accepted {{environment}}",
        rate(stored, "environment", email): "archived {{environment}}",
        rate(stored, "environment", files): "files archived {{environment}}",
    }
    ages = {quantile(q, "pillarbox_consumer_age_seconds", email): f"p{q * 100:g}" for q in (0.5, 0.9, 0.99)}
    queues = f'max by (container) (pillarbox_consumer_queue_messages{{{CHOSEN},state="visible"}})'
    pods = 'kube_deployment_status_replicas_available{namespace=~"$namespace"}'
    probes = {
        rate("pillarbox_api_probes_total", "environment", CHOSEN): "accepted {{environment}}",
        rate("pillarbox_consumer_probes_total", "environment", email): "archived {{environment}}",
    }
    return Row(
        "From request to archive",
        [
            Panel("E-mails", "short", counts, "Accepted by SQS, and archived for the first time, a second."),
            Panel("Time from accepted to archived", "s", ages, "Of e-mails through the API.", _LATE_SECONDS),
            Panel("Waiting", "short", {queues: "{{container}}"}, "Messages in the queues that were not received yet."),
            Panel("Pods", "short", {pods: "{{deployment}}"}, "Available pods.", width=12),
            Panel(
                "Probe", "short", probes, "E-mails of the probe a second. The panel E-mails leaves them out.", width=12
            ),
        ],
    )


def _of_the_api(metric: str, label: str) -> dict[str, str]:
    return {rate(f"pillarbox_api_{metric}_total", label, _API): f"{{{{{label}}}}}"}


def _requests() -> Row:
    routes = f'{_API},route=~"/api/message|/api/messages|/process"'
    latency = {quantile(q, "pillarbox_api_request_seconds", routes): f"p{q * 100:g}" for q in (0.5, 0.95, 0.99)}
    busy = f"sum by (pod) (pillarbox_api_requests_in_flight{{{_API}}})"
    limits = _of_the_api("rate_limit_failures", "pod")
    refused = "`none`: no such route, or refused early."
    rejections = _of_the_api("rejections", "code")
    return Row(
        "Requests",
        [
            Panel("Requests by status", "reqps", _of_the_api("requests", "status"), "All routes.", stacked=True),
            Panel("Requests by route", "reqps", _of_the_api("requests", "route"), refused),
            Panel("Response time", "s", latency, "Of the routes that accept e-mails.", _SLOW_SECONDS),
            Panel("Rejections", "short", rejections, "By the code of the problem.", stacked=True),
            Panel("Requests in flight", "short", {busy: "{{pod}}"}, "MAX_REQUESTS_IN_FLIGHT bounds them."),
            Panel("Rate limit failures", "short", limits, "Requests allowed because its store failed."),
        ],
    )


def _sqs() -> Row:
    publish = {quantile(q, "pillarbox_api_publish_seconds", _API): f"p{q * 100:g}" for q in (0.5, 0.99)}
    batch = " / ".join(rate(f"pillarbox_api_publish_batch_size_{part}", "pod", _API) for part in ("sum", "count"))
    gauges = {
        f"sum by (pod) (pillarbox_api_{name}{{{_API}}})": f"{text} {{{{pod}}}}"
        for name, text in (("publish_in_flight", "calls"), ("publish_waiting", "e-mails waiting"))
    }
    failures = _of_the_api("publish_failures", "cause")
    token = {f"max by (pod) (pillarbox_api_token_age_seconds{{{_API}}})": "{{pod}}"} | {
        f"max by (environment) (pillarbox_api_token_{name}_seconds{{{_API}}})": f"{text} {{{{environment}}}}"
        for name, text in (("cache", "read again"), ("stale", "used no more"))
    }
    payload = {quantile(0.99, "pillarbox_api_payload_put_seconds", _API): "p99"}
    return Row(
        "SQS and token",
        [
            Panel("Time of a call to SQS", "s", publish, "Retries included."),
            Panel("E-mails in a call", "short", {batch: "{{pod}}"}, "10 at the most.", maximum=10),
            Panel("Publishing", "short", gauges, "Calls in flight, and e-mails that wait for the next one."),
            Panel("Not confirmed", "short", failures, "E-mails that SQS did not confirm.", stacked=True),
            Panel("Token age", "s", token, "And the ages at which it is read again and used no more."),
            Panel("Reads of the token", "short", _of_the_api("token_refreshes", "outcome"), "From SSM."),
            Panel("Large e-mails", "short", _of_the_api("payloads", "outcome"), "Stored beside the queue.", width=12),
            Panel("Time to store a large e-mail", "s", payload, "Retries included.", width=12),
        ],
    )
