"""Redrive and delete of dead letters in two steps: the ids that were confirmed are changed, and nothing else."""

import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pillarbox_ops.dead_letters import DeadLetter, DeadLetterQueue
from pillarbox_ops.errors import OpsError

Action = Literal["redrive", "delete"]
SAMPLE = 5
_OPEN_PLANS = 20


@dataclass(frozen=True)
class Plan:
    """A change that waits for its confirmation: the SQS ids of the messages it means, and a sample to show."""

    action: Action
    queue_name: str
    ids: frozenset[str]
    sample: Sequence[DeadLetter]

    def __repr__(self) -> str:
        return f"Plan(action={self.action!r}, queue_name={self.queue_name!r}, messages={len(self.ids)})"


@dataclass(frozen=True, slots=True)
class Done:
    """What a plan did: how many messages, how many of them were not found any more, and the failures by code."""

    action: Action
    changed: int
    missing: int
    failed: Counter[str]


class Plans:
    """The plans that wait; each is carried out at most once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    def add(self, plan: Plan) -> str:
        """Keep a plan and return its number."""
        number = secrets.token_urlsafe(9)
        with self._lock:
            self._plans[number] = plan
            if len(self._plans) > _OPEN_PLANS:
                self._plans.popitem(last=False)
        return number

    def take(self, number: str) -> Plan:
        """Return a plan and forget it. Raise OpsError if it was carried out before."""
        with self._lock:
            plan = self._plans.pop(number, None)
        if plan is None:
            raise OpsError("this action was already carried out, or is from an earlier run; reload the queue")
        return plan


def carry_out(queue: DeadLetterQueue, plan: Plan) -> Done:
    """Do what a plan says. A message that is gone or hidden counts as missing. Raise OpsError."""
    from pillarbox_ops.pace import Pace  # noqa: PLC0415  with redrive, which imports botocore
    from pillarbox_ops.redrive import Sender, move  # noqa: PLC0415
    from pillarbox_ops.scan import BATCH, chunks  # noqa: PLC0415

    if plan.action == "redrive" and not queue.source_url:
        raise OpsError("the URL of the queue to move the messages to is not known")
    sender = Sender(queue.sqs, queue.source_url, Pace(None))
    seen: set[str] = set()
    failed: Counter[str] = Counter()
    with queue.scan() as scan:
        meant = (letter for letter in scan if letter.sqs_message_id in plan.ids)
        for part in chunks(meant, BATCH):
            seen |= {letter.sqs_message_id for letter in part}
            if plan.action == "redrive":
                failed.update(move(part, sender, scan, _ignore).failed.values())
            else:
                failed.update(scan.delete(part).values())
            if len(seen) == len(plan.ids):
                break
    return Done(plan.action, len(seen) - failed.total(), len(plan.ids) - len(seen), failed)


def _ignore(_count: int) -> None:
    """Count nothing: the page shows the result only."""
