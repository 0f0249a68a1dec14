"""A queue, an archive and a clock in memory, and a lane that uses them."""

import hashlib
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from pillarbox.ids import message_id_at
from pillarbox.message import encode_body
from pillarbox.object_key import KeyTemplate
from pillarbox.strict_json import JsonValue
from pillarbox.tracing import NoTracer, Tracer
from service2_consumer.batching import Batcher, SingleBatcher
from service2_consumer.clock import Clock, PollTiming, StopEvents
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.intake.message_filter import MessageFilter
from service2_consumer.intake.messages import MessageIntake
from service2_consumer.lane import Lane
from service2_consumer.metrics import Metrics
from service2_consumer.model import InFlightMessage, Outcome, StoredObject, Upload
from service2_consumer.ports import (
    Intake,
    ObjectChangedError,
    ObjectMissingError,
    ObjectTooLargeError,
    OverwritesError,
    QueueError,
    RefusedObjectError,
    StoreError,
)
from service2_consumer.read_budget import ReadBudget
from service2_consumer.record import Recorder
from service2_consumer.transfer_threads import TransferThreads

START = datetime(2026, 12, 10, 14, 30, 22, tzinfo=UTC)
DEFAULT_TEMPLATE = "{prefix}{date:%Y/%m/%d}/{message_id}.json"


def email(number: int = 0, **changes: JsonValue) -> dict[str, JsonValue]:
    """Return a valid e-mail."""
    fields: dict[str, JsonValue] = {
        "email_subject": f"Letter {number}",
        "email_sender": "Jane Doe <jane@example.com>",
        "email_timestream": "1693561101",
        "email_content": "Happy new year!",
    }
    return fields | changes


def message_id(number: int, timestamp: datetime = START) -> str:
    """Return a UUIDv7 made from a number."""
    return message_id_at(timestamp, number.to_bytes(10, "big"))


class FakeClock(Clock):
    """Time that passes only during waits; `at` schedules an action."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []
        self._events: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        self._events.append((seconds, action))

    def wait(self, event: threading.Event, seconds: float) -> None:
        self.waits.append(seconds)
        if not event.is_set():
            self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        for due in [e for e in self._events if e[0] <= self.seconds]:
            self._events.remove(due)
            due[1]()


@dataclass
class _Stored:
    message: InFlightMessage
    visible_at: float = 0.0
    receives: int = 0
    receipt: str = ""


class FakeQueue:
    """Messages with visibility, receive counts and a dead-letter queue, on a fake clock."""

    def __init__(self, clock: FakeClock, *, visibility_seconds: int = 300, max_receive_count: int = 3) -> None:
        self._clock = clock
        self._visibility_seconds = visibility_seconds
        self._max_receive_count = max_receive_count
        self._ids = itertools.count(1)
        self.messages: dict[str, _Stored] = {}
        self.dead: list[str] = []
        self.deleted: list[str] = []
        self.delete_calls = 0
        self.extensions: list[tuple[float, int]] = []
        self.waits: list[int] = []
        self.failing = ""
        self.failing_dead_letters = ""
        self.has_dead_letter_queue = True
        self.failing_deletes = False
        self.failing_extensions = False
        self.when_received: Callable[[], None] = lambda: None
        self.when_released: Callable[[], None] = lambda: None

    def send(self, body: str | None = None, attributes: dict[str, str] | None = None, *, number: int = 0) -> str:
        sqs_id = f"sqs-{next(self._ids)}"
        if body is None:
            body = encode_body(email(number))
        message = InFlightMessage(sqs_id, "", body, attributes or {}, self._clock.now(), 0)
        self.messages[sqs_id] = _Stored(message)
        return sqs_id

    def receive(self, wait_seconds: int) -> list[InFlightMessage]:
        self.waits.append(wait_seconds)
        if self.failing:
            raise QueueError(self.failing)
        now = self._clock.monotonic()
        taken: list[InFlightMessage] = []
        for sqs_id, stored in list(self.messages.items()):
            if stored.visible_at > now or len(taken) == 10:
                continue
            if stored.receives == self._max_receive_count:
                self.dead.append(self.messages.pop(sqs_id).message.sqs_message_id)
                continue
            stored.receives += 1
            stored.receipt = f"{sqs_id}#{stored.receives}"
            stored.visible_at = now + self._visibility_seconds
            found = stored.message
            taken.append(
                InFlightMessage(sqs_id, stored.receipt, found.body, found.attributes, found.sent_at, stored.receives)
            )
        if not taken:
            self._clock.advance(wait_seconds)
        self.when_received()
        return taken

    def delete(self, receipts: Sequence[str]) -> list[str]:
        self.delete_calls += 1
        if self.failing_deletes:
            return list(receipts)
        for receipt in receipts:
            sqs_id = receipt.partition("#")[0]
            self.deleted.append(sqs_id)
            self.messages.pop(sqs_id, None)
        return []

    def change_visibility(self, receipts: Sequence[str], seconds: int) -> list[str]:
        if self.failing_extensions:
            return list(receipts)
        for receipt in receipts:
            self.messages[receipt.partition("#")[0]].visible_at = self._clock.monotonic() + seconds
        if seconds:
            self.extensions.append((self._clock.monotonic(), seconds))
        else:
            self.when_released()
        return []

    def depth(self) -> dict[str, int]:
        if self.failing:
            raise QueueError(self.failing)
        return {"visible": len(self.messages)}

    def dead_letters(self) -> int | None:
        if self.failing or self.failing_dead_letters:
            raise QueueError(self.failing or self.failing_dead_letters)
        return len(self.dead) if self.has_dead_letter_queue else None

    def receives_of(self, sqs_id: str) -> int:
        return self.messages[sqs_id].receives

    def visible(self) -> list[str]:
        return [i for i, stored in self.messages.items() if stored.visible_at <= self._clock.monotonic()]


class FakeArchive:
    """Objects that are written once; `failing` makes every write fail, `refusing` refuses keys permanently.

    `failing_keys` and `failing_records` do not affect the probe: some keys fail, or all except that of the probe.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Upload] = {}
        self.failing: StoreError | None = None
        self.failing_records: StoreError | None = None
        self.failing_keys: set[str] = set()
        self.error_of_keys = StoreError("server_error", "InternalError")
        self.overwrites = False
        self.asked: list[str] = []
        self.refusing: set[str] = set()
        self.probes = 0
        self.when_put: Callable[[], None] = lambda: None

    def put(self, upload: Upload) -> Outcome:
        self.asked.append(upload.key)
        self.when_put()
        if upload.key in self.refusing:
            raise RefusedObjectError("KeyTooLongError")
        error = self.failing or self.failing_records
        if error or upload.key in self.failing_keys:
            raise error or self.error_of_keys
        held = self.objects.setdefault(upload.key, upload)
        if held is upload:
            return Outcome.STORED
        if held.digest == upload.digest or upload.conflict_key is None:
            return Outcome.DUPLICATE
        self.objects.setdefault(upload.conflict_key, upload)
        return Outcome.CONFLICT

    def probe(self) -> None:
        self.probes += 1
        if self.failing:
            raise self.failing

    def check(self) -> None:
        self.probe()
        if self.overwrites:
            raise OverwritesError("the store ignores If-None-Match")


class FakeSource:
    """Objects to read, all in one bucket; `failing` makes every read fail, `failing_keys` some."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}
        self.metadata: dict[str, str] = {}
        self.failing: StoreError | None = None
        self.failing_keys: set[str] = set()
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.when_read: Callable[[str], None] = lambda _key: None

    def read(self, key: str, *, version: str | None, etag: str | None, max_bytes: int) -> StoredObject:
        self.asked.append((key, version, etag))
        self.when_read(key)
        if self.failing or key in self.failing_keys:
            raise self.failing or StoreError("server_error", "InternalError")
        if key not in self.objects:
            raise ObjectMissingError
        content = self.objects[key]
        current = hashlib.md5(content).hexdigest()  # noqa: S324  # as S3 makes an eTag
        if etag not in (None, current):
            raise ObjectChangedError
        if len(content) > max_bytes:
            raise ObjectTooLargeError
        return StoredObject(content, START, current, self.metadata)

    def probe(self) -> None:
        if self.failing:
            raise self.failing


@dataclass
class LaneHarness:
    """A lane with fakes around it."""

    batcher: Batcher = field(default_factory=SingleBatcher)
    visibility_seconds: int = 300
    max_receive_count: int = 3
    poll_interval_seconds: int = 0
    long_poll_seconds: int = 20
    template: str = DEFAULT_TEMPLATE
    max_retries_alone: int = 12
    intake: Intake | None = None
    read_budget_bytes: int = 1000
    tracer: Tracer = field(default_factory=NoTracer)

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.queue = FakeQueue(
            self.clock, visibility_seconds=self.visibility_seconds, max_receive_count=self.max_receive_count
        )
        self.archive = FakeArchive()
        self.metrics = Metrics(CollectorRegistry())
        self.stop_events = StopEvents()
        self.threads = TransferThreads(self.archive, self.metrics, 4, self.tracer)
        self.budget = ReadBudget(self.read_budget_bytes)
        self.lane = self.new_lane()

    def message_intake(self) -> MessageIntake:
        return MessageIntake(
            self.recorder, MessageFilter(), on_filtered="dead_letter", payloads=None, max_payload_bytes=1000
        )

    @property
    def recorder(self) -> Recorder:
        return Recorder(KeyTemplate(self.template, "messages/"), "1.2.3")

    def new_lane(self) -> Lane:
        return Lane(
            queue=self.queue,
            archive=self.archive,
            threads=self.threads,
            budget=self.budget,
            intake=self.intake or self.message_intake(),
            batcher=self.batcher,
            in_flight=InFlightMessages(self.queue, self.metrics, self.visibility_seconds),
            metrics=self.metrics,
            tracer=self.tracer,
            timing=PollTiming(
                self.long_poll_seconds, self.poll_interval_seconds, max_retries_alone=self.max_retries_alone
            ),
            stop_events=self.stop_events,
            clock=self.clock,
        )

    def checked(self) -> "LaneHarness":
        """Run the check of the lane."""
        self.lane.run_once()
        assert self.lane.checked
        return self

    def value(self, name: str, **labels: str) -> float:
        """Return a metric's value, 0 if it has none yet."""
        return self.metrics.registry.get_sample_value(f"pillarbox_consumer_{name}", labels) or 0.0

    def stop(self) -> None:
        self.stop_events.requested.set()
