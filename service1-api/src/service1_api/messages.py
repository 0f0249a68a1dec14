"""The routes that accept e-mails: one e-mail, or up to a hundred in a batch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import orjson
from flask import Blueprint, Response

from pillarbox.ids import derived_ids, new_message_id, parse_idempotency_key
from pillarbox.strict_json import JsonValue
from pillarbox.tracing import Span, Tracer
from service1_api.metrics import Metrics
from service1_api.outgoing import Message, MessageFactory, MessageRefusedError, OverloadedError, PublishError
from service1_api.payloads import StoreUnavailableError
from service1_api.problems import FieldError, Problem, problem_document
from service1_api.request_log import context_of, current_request
from service1_api.request_parsing import RequestParser
from service1_api.status import location_of

MAX_ITEMS = 100
ACCEPTED = "Email data processed and queued"
_KEY_HEADER = "HTTP_IDEMPOTENCY_KEY"


class PublishesMessages(Protocol):
    """Sends messages to the queue."""

    def publish(self, messages: Sequence[Message]) -> list[PublishError | None]:
        """Return each message's result; None means that the queue has it. Raise OverloadedError."""
        ...


def message_routes(
    parser: RequestParser,
    publisher: PublishesMessages,
    metrics: Metrics,
    tracer: Tracer,
    *,
    max_payload_bytes: int,
    located: bool,
) -> Blueprint:
    """Return the routes POST /api/message, its alias /process, and POST /api/messages.

    `max_payload_bytes` limits e-mails too large for SQS; 0 if `publisher` takes none. With `located` the answer to one
    e-mail says where its status is.
    """
    routes = Blueprint("messages", __name__)
    views = _Views(parser, publisher, metrics, tracer, max_payload_bytes=max_payload_bytes, located=located)
    routes.post("/api/message")(views.one)
    routes.post("/process", endpoint="process")(views.one)
    routes.post("/api/messages")(views.many)
    return routes


class _Views:
    def __init__(
        self,
        parser: RequestParser,
        publisher: PublishesMessages,
        metrics: Metrics,
        tracer: Tracer,
        *,
        max_payload_bytes: int,
        located: bool,
    ) -> None:
        self._parser = parser
        self._publisher = publisher
        self._metrics = metrics
        self._tracer = tracer
        self._factory = MessageFactory(max_payload_bytes)
        self._located = located

    def one(self) -> Response:
        current = current_request()
        context = context_of(current.environ)

        def message_of(data: JsonValue) -> Message:
            now = datetime.now(UTC)
            (message_id,) = _message_ids(current.environ.get(_KEY_HEADER), now, None)
            context.message_id = message_id
            span = self._tracer.create(context.span, message_id)
            return self._factory.message(data, message_id, now, span, "#/data")

        with self._parser.concurrency:
            (problem,) = self._published([self._parser.read(current, message_of)])
        if problem:
            raise problem
        response = _json(200, {"status": "success", "message": ACCEPTED, "message_id": context.message_id})
        if self._located:
            response.headers["Location"] = location_of(context.message_id or "")
        return response

    def many(self) -> Response:
        current = current_request()
        context = context_of(current.environ)

        def messages_of(data: JsonValue) -> tuple[list[str], list[Message | Problem]]:
            items = _items(data)
            now = datetime.now(UTC)
            ids = _message_ids(current.environ.get(_KEY_HEADER), now, len(items))
            spans = [self._tracer.create(context.span, message_id) for message_id in ids]
            return ids, [self._checked(item, ids[n], now, spans[n], f"#/data/{n}") for n, item in enumerate(items)]

        with self._parser.concurrency:
            ids, checked = self._parser.read(current, messages_of)
            results = iter(self._published([item for item in checked if isinstance(item, Message)]))
        problems = [next(results) if isinstance(item, Message) else item for item in checked]
        context.items, context.queued = len(ids), problems.count(None)
        response = _answer(ids, problems)
        # Only here: a batch that is rejected as a whole counts once, like any other request.
        for problem in filter(None, problems):
            self._metrics.rejections_total.labels(problem.code).inc()
        return response

    def _published(self, messages: Sequence[Message]) -> list[Problem | None]:
        """Return each message's problem; None means that the queue has it."""
        results: Sequence[PublishError | None]
        try:
            results = self._publisher.publish(messages) if messages else []
        except OverloadedError as exc:
            results = [exc] * len(messages)
        for message, result in zip(messages, results, strict=True):
            if result:
                self._metrics.publish_failures_total.labels(result.cause).inc()
                message.span.fail(result.cause)
            else:
                (self._metrics.probes_total if message.is_probe else self._metrics.published_total).inc()
            message.span.end()
        return [_problem(result) if result else None for result in results]

    def _checked(self, item: JsonValue, message_id: str, now: datetime, span: Span, pointer: str) -> Message | Problem:
        try:
            return self._factory.message(item, message_id, now, span, pointer)
        except Problem as problem:
            return problem


def _message_ids(key: str | None, now: datetime, count: int | None) -> list[str]:
    """Return the message id of a single e-mail (`count` None), or those of a batch's items. Raise Problem."""
    if key is None:
        return [new_message_id() for _ in range(1 if count is None else count)]
    try:
        message_id = parse_idempotency_key(key, now)
    except ValueError as exc:
        raise Problem("invalid_idempotency_key", str(exc)) from None
    return [message_id] if count is None else derived_ids(message_id, count)


def _items(data: JsonValue) -> list[JsonValue]:
    if not isinstance(data, list) or not 1 <= len(data) <= MAX_ITEMS:
        expected = f"must be a list of 1 to {MAX_ITEMS} e-mails"
        raise Problem("invalid_data", "`data` is not a list of e-mails", [FieldError("#/data", "type", expected)])
    return data


def _problem(error: PublishError) -> Problem:
    if isinstance(error, MessageRefusedError):
        return Problem("invalid_data", "the queue rejects this e-mail")
    if isinstance(error, OverloadedError):
        return Problem("overloaded", "too many e-mails are waiting for the queue")
    if isinstance(error, StoreUnavailableError):
        return Problem("store_unavailable", "this e-mail is too large for SQS, and it could not be stored in S3")
    return Problem("queue_unavailable", "the queue has not confirmed this e-mail")


def _answer(ids: Sequence[str], problems: Sequence[Problem | None]) -> Response:
    """Return the response to a batch: 200 if all were queued, 207 if some. Raise Problem with the results if none."""
    results = [_result(index, ids[index], problem) for index, problem in enumerate(problems)]
    failed = [problem for problem in problems if problem]
    if len(failed) == len(problems):
        # If the service failed for one item, a retry may succeed: that takes precedence over invalid items.
        raise Problem(
            max(failed, key=lambda problem: problem.status >= 500).code,
            "no e-mail was queued",
            extensions={"results": results},
        )
    status, word = (207, "partial") if failed else (200, "success")
    return _json(status, {"status": word, "queued": len(problems) - len(failed), "results": results})


def _result(index: int, message_id: str, problem: Problem | None) -> dict[str, object]:
    if problem is None:
        return {"index": index, "status": "success", "message_id": message_id}
    return {"index": index, "status": "error", "message_id": message_id, "problem": problem_document(problem)}


def _json(status: int, document: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(document), status, mimetype="application/json")
