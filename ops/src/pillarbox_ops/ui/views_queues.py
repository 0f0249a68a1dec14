"""The queues: their depth, what is in them, and redrive and delete of dead letters with a confirmation between."""

from collections import Counter
from collections.abc import Sequence

from flask import Blueprint, abort, render_template, request
from werkzeug.wrappers import Response

from pillarbox_ops.dead_letters import DeadLetter, DeadLetterQueue
from pillarbox_ops.ui.mending import SAMPLE, Action, Plan, carry_out
from pillarbox_ops.ui.queues import Queue
from pillarbox_ops.ui.services import Services

_SHOWN = 100
_LOOKED_AT = 5000  # messages of a scan on AWS, so that a page comes in bounded time


def queue_views(services: Services) -> Blueprint:
    """Return the views."""
    views = Blueprint("queues", __name__, url_prefix="/queues")

    @views.get("")
    def overview() -> str:
        depths = [(queue, services.queues.depth(queue)) for queue in services.all_queues.values()]
        return render_template("part_depths.html" if "part" in request.args else "queues.html", depths=depths)

    @views.get("/<name>")
    def queue(name: str) -> str:
        queue = _queue(services, name)
        letters = services.queues.look(queue) if services.queues.is_free else None
        return _shown(services, queue, letters)

    @views.post("/<name>/receive")
    def receive(name: str) -> str:
        queue = _queue(services, name)
        letters = list(_scanned(queue.dead_letters)) if queue.dead_letters else services.queues.receive(queue)
        return _shown(services, queue, letters)

    _add_mending(views, services)
    return views


def _add_mending(views: Blueprint, services: Services) -> None:
    """Add the two steps of a redrive or a delete: its plan to confirm, and its work."""

    @views.post("/<name>/plan")
    def plan(name: str) -> tuple[str, int] | str:
        queue = _queue(services, name)
        if queue.dead_letters is None:
            abort(404)
        action: Action = "delete" if request.form.get("action") == "delete" else "redrive"
        letters = _chosen(services, queue, queue.dead_letters)
        if not letters:
            return render_template("nothing.html", queue=queue), 409
        found = Plan(action, name, frozenset(letter.sqs_message_id for letter in letters), letters[:SAMPLE])
        counts = Counter(letter.reason for letter in letters)
        return render_template("confirm.html", queue=queue, plan=found, number=services.plans.add(found), counts=counts)

    @views.post("/<name>/carry-out")
    def carry(name: str) -> str | Response:
        queue = _queue(services, name)
        plan = services.plans.take(request.form.get("number", ""))
        if queue.dead_letters is None or plan.queue_name != name:
            abort(404)
        return render_template("done.html", queue=queue, done=carry_out(queue.dead_letters, plan))


def _shown(services: Services, queue: Queue, letters: Sequence[DeadLetter] | None) -> str:
    reason = request.args.get("reason", "")
    every = letters or []
    matching = [letter for letter in every if not reason or letter.reason == reason]
    return render_template(
        "queue.html",
        queue=queue,
        depth=services.queues.depth(queue),
        is_free=services.queues.is_free,
        letters=None if letters is None else matching[:_SHOWN],
        matching=len(matching),
        total=len(every),
        reason=reason,
        counts=Counter(letter.reason for letter in every),
        now_at=services.now(),
    )


def _queue(services: Services, name: str) -> Queue:
    return services.all_queues.get(name) or abort(404)


def _scanned(letters: DeadLetterQueue) -> Sequence[DeadLetter]:
    found = []
    with letters.scan() as scan:
        for letter in scan:
            found.append(letter)
            if len(found) >= _LOOKED_AT:
                break
    return found


def _chosen(services: Services, queue: Queue, letters: DeadLetterQueue) -> list[DeadLetter]:
    """Return the messages that a form means: the ticked ones, else those of its reason, else all."""
    ids, reason = set(request.form.getlist("id")), request.form.get("reason", "")
    ticked = request.form.get("which") == "ticked"
    found = services.queues.look(queue) if services.queues.is_free else _scanned(letters)
    return [
        letter
        for letter in found
        if (letter.sqs_message_id in ids if ticked else not reason or letter.reason == reason)
    ]
