"""The routes that take e-mails: one, or up to a hundred."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import orjson
from flask import Blueprint, Response
from flask.globals import request_ctx

from pillarbox.message import MAX_MESSAGE_BYTES, Envelope, encode_body, field_problems, sqs_size_bytes
from pillarbox.strict_json import JsonValue
from service1_api import SERVICE
from service1_api.errors import FieldError, Problem, problem_document
from service1_api.idempotency import message_ids
from service1_api.intake import Intake
from service1_api.metrics import Metrics
from service1_api.observe import notes_of
from service1_api.publisher import Message, MessageRefusedError, OverloadedError, PublishError

MAX_ITEMS = 100
ACCEPTED = "Email data processed and queued"
_KEY_HEADER = "HTTP_IDEMPOTENCY_KEY"


class PublishesMessages(Protocol):
    """What carries messages to the queue."""

    def publish(self, messages: Sequence[Message]) -> list[PublishError | None]:
        """Give each message's result; None means that the queue has it. Raises OverloadedError."""
        ...


def message_routes(intake: Intake, publisher: PublishesMessages, metrics: Metrics) -> Blueprint:
    """Give the routes POST /api/message, its alias /process, and POST /api/messages."""
    routes = Blueprint("messages", __name__)
    posting = _Posting(intake, publisher, metrics)
    routes.post("/api/message")(posting.one)
    routes.post("/process", endpoint="process")(posting.one)
    routes.post("/api/messages")(posting.many)
    return routes


class _Posting:
    def __init__(self, intake: Intake, publisher: PublishesMessages, metrics: Metrics) -> None:
        self._intake = intake
        self._publisher = publisher
        self._metrics = metrics

    def one(self) -> Response:
        request = request_ctx.request
        notes = notes_of(request.environ)
        with self._intake.slots:
            data = self._intake.data(request)
            now = datetime.now(UTC)
            (message_id,) = message_ids(request.environ.get(_KEY_HEADER), now, None)
            notes.message_id = message_id
            envelope = Envelope(message_id, now, SERVICE, notes.traceparent)
            (problem,) = self._published([_message(data, envelope, "#/data")])
        if problem:
            raise problem
        return _json(200, {"status": "success", "message": ACCEPTED, "message_id": message_id})

    def many(self) -> Response:
        request = request_ctx.request
        notes = notes_of(request.environ)
        with self._intake.slots:
            items = _items(self._intake.data(request))
            now = datetime.now(UTC)
            ids = message_ids(request.environ.get(_KEY_HEADER), now, len(items))
            envelopes = [Envelope(message_id, now, SERVICE, notes.traceparent) for message_id in ids]
            checked = [_checked(item, envelopes[place], f"#/data/{place}") for place, item in enumerate(items)]
            results = iter(self._published([message for message in checked if isinstance(message, Message)]))
        problems = [next(results) if isinstance(message, Message) else message for message in checked]
        notes.items, notes.queued = len(items), problems.count(None)
        answer = _answer(ids, problems)
        for problem in filter(None, problems):  # a batch that is refused whole counts once, as any other request
            self._metrics.rejections_total.labels(problem.code).inc()
        return answer

    def _published(self, messages: Sequence[Message]) -> list[Problem | None]:
        """Give each message's problem; None means that the queue has it."""
        results: Sequence[PublishError | None]
        try:
            results = self._publisher.publish(messages) if messages else []
        except OverloadedError as exc:
            results = [exc] * len(messages)
        for result in results:
            if result:
                self._metrics.publish_failures_total.labels(result.cause).inc()
            else:
                self._metrics.published_total.inc()
        return [_problem(result) if result else None for result in results]


def _items(data: JsonValue) -> list[JsonValue]:
    if not isinstance(data, list) or not 1 <= len(data) <= MAX_ITEMS:
        expected = f"must be a list of 1 to {MAX_ITEMS} e-mails"
        raise Problem("invalid_data", "`data` is not a list of e-mails", [FieldError("#/data", "type", expected)])
    return data


def _checked(item: JsonValue, envelope: Envelope, pointer: str) -> Message | Problem:
    try:
        return _message(item, envelope, pointer)
    except Problem as problem:
        return problem


def _message(data: JsonValue, envelope: Envelope, pointer: str) -> Message:
    problems = field_problems(data)
    if problems or not isinstance(data, dict):
        errors = [FieldError(f"{pointer}/{p.field}" if p.field else pointer, p.code, p.text) for p in problems]
        raise Problem("invalid_data", "the e-mail breaks the contract", errors)
    body = encode_body(data)
    attributes = envelope.to_attributes()
    size = sqs_size_bytes(body, attributes)
    if size > MAX_MESSAGE_BYTES:
        raise Problem("too_large", f"an e-mail is at most {MAX_MESSAGE_BYTES} bytes in the queue; this one has {size}")
    return Message(body, attributes, size)


def _problem(error: PublishError) -> Problem:
    if isinstance(error, MessageRefusedError):
        return Problem("invalid_data", "the queue refuses this e-mail")
    if isinstance(error, OverloadedError):
        return Problem("overloaded", "too many e-mails wait for the queue")
    return Problem("queue_unavailable", "the queue has not confirmed this e-mail")


def _answer(ids: Sequence[str], problems: Sequence[Problem | None]) -> Response:
    """Answer a batch: 200 if all were queued, 207 if some were; raises a Problem with the results if none was."""
    results = [_result(place, ids[place], problem) for place, problem in enumerate(problems)]
    failed = [problem for problem in problems if problem]
    if len(failed) == len(problems):
        # Where the service failed for one item, a retry may succeed: that outranks the items that are wrong.
        raise Problem(
            max(failed, key=lambda problem: problem.status >= 500).code,
            "no e-mail was queued",
            extensions={"results": results},
        )
    status, word = (207, "partial") if failed else (200, "success")
    return _json(status, {"status": word, "queued": len(problems) - len(failed), "results": results})


def _result(place: int, message_id: str, problem: Problem | None) -> dict[str, object]:
    if problem is None:
        return {"index": place, "status": "success", "message_id": message_id}
    return {"index": place, "status": "error", "message_id": message_id, "problem": problem_document(problem)}


def _json(status: int, document: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(document), status, mimetype="application/json")
