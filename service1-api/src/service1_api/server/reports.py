"""Reports of requests that the server itself rejects: the application's metrics, and one log line."""

import logging
from collections.abc import Mapping
from typing import Any

from service1_api.error_handlers import METRICS
from service1_api.metrics import Metrics
from service1_api.problems import Problem
from service1_api.request_log import caller_fields
from service1_api.server.answers import Report

log = logging.getLogger(__name__)


class _WithoutInput(logging.Filter):
    """Removes the text of waitress's own lines: it contains paths, which may contain anything."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info and record.exc_info[0]
        record.msg, record.args, record.exc_info = "error in the HTTP server", (), None
        record.__dict__["exception_type"] = kind.__name__ if kind else None
        return True


def report_to(application: Any, trusted_proxy_hops: int) -> Report:
    """Return a function that counts a rejection in the application's metrics and logs it."""
    metrics: Metrics = application.extensions[METRICS]

    def report(problem: Problem, trace_id: str, environ: Mapping[str, Any]) -> None:
        metrics.requests_total.labels("none", str(problem.status)).inc()
        metrics.rejections_total.labels(problem.code).inc()
        fields = {"status": problem.status, "code": problem.code, "trace_id": trace_id}
        log.info("request refused", extra=fields | caller_fields(environ, trusted_proxy_hops))

    return report


def quiet_waitress() -> None:
    """Let waitress log errors only; it warns of each request that waits for a thread, and quotes input."""
    for name in ("waitress", "waitress.queue"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.addFilter(_WithoutInput())
