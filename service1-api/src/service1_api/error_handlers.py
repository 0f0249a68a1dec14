"""The one place that turns the exceptions of a request into responses."""

import logging
from types import TracebackType

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from service1_api.metrics import Metrics
from service1_api.problems import PROBLEM_MEDIA_TYPE, Problem, problem_document, problem_headers
from service1_api.request_log import context_of

# Where the app's extensions keep the metrics: the HTTP server rejects requests too.
METRICS = "service1_api.metrics"

log = logging.getLogger(__name__)


def register(app: Flask, metrics: Metrics) -> None:
    """Answer every exception of a request with a problem; log an unexpected one with its traceback."""

    def answer(problem: Problem) -> Response:
        metrics.rejections_total.labels(problem.code).inc()
        context = context_of(request.environ)
        context.code = problem.code
        return Response(
            orjson.dumps(problem_document(problem) | {"trace_id": context.trace_id}),
            problem.status,
            problem_headers(problem),
            mimetype=PROBLEM_MEDIA_TYPE,
        )

    def http_error(exc: HTTPException) -> Response:
        if exc.code == 404:
            return answer(Problem("not_found", "no route has this path"))
        if exc.code == 405:
            allowed = ", ".join(sorted(getattr(exc, "valid_methods", None) or ()))
            return answer(Problem("method_not_allowed", f"this route accepts {allowed}", headers={"Allow": allowed}))
        return unexpected(exc)

    def unexpected(exc: Exception) -> Response:
        context = context_of(request.environ)
        extra = {"message_id": context.message_id, "trace_id": context.trace_id}
        log.error("request failed unexpectedly", exc_info=_without_text(exc), extra=extra)
        return answer(Problem("internal_error", "an unexpected error; it has been logged"))

    app.extensions[METRICS] = metrics
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unexpected)


def _without_text(exc: Exception) -> tuple[type[Exception], Exception, TracebackType | None]:
    """Return an exception's type and traceback without its text, which may quote an e-mail or a token."""
    return type(exc), RuntimeError(type(exc).__name__), exc.__traceback__
