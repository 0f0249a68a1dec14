"""Fakes of the systems around the service: a queue, a source of tokens, a publisher, a clock."""

import threading
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from service1_api.metrics import Metrics
from service1_api.outgoing import Message, PublishError
from service1_api.status import ArchivedObject
from service1_api.tokens import TokenSourceError, TokensUnavailableError

TOKEN = "$DJISA<$#45ex3RtYr"


def new_metrics() -> Metrics:
    return Metrics(CollectorRegistry())


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeTokens:
    """The API's tokens, without a thread."""

    def __init__(self) -> None:
        self.ready = True
        self.valid = {TOKEN}

    def check(self, presented: str) -> bool:
        if not self.ready:
            raise TokensUnavailableError
        return presented in self.valid


class FakeArchive:
    """The objects of the archive by key; `before` is called before each look and may raise."""

    def __init__(self) -> None:
        self.objects: dict[str, ArchivedObject] = {}
        self.looks = 0
        self.before: Callable[[], None] = lambda: None

    def find(self, key: str) -> ArchivedObject | None:
        self.looks += 1
        self.before()
        return self.objects.get(key)

    def has_below(self, prefix: str) -> bool:
        self.before()
        return any(key.startswith(prefix) for key in self.objects)


class FakePublisher:
    """Keeps the published messages; `fail` decides the result of a message."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.fail: Callable[[Message], PublishError | None] = lambda _message: None

    def publish(self, messages: Sequence[Message], deadline: float | None = None) -> list[PublishError | None]:
        results = [self.fail(message) for message in messages]
        self.published += [message for message, result in zip(messages, results, strict=True) if result is None]
        return results


class FakeTokenSource:
    """A parameter with a text that a test sets; an exception in its place is raised."""

    def __init__(self, text: str | TokenSourceError = TOKEN) -> None:
        self.text = text
        self.reads = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.reading = threading.Event()

    def read(self) -> str:
        self.reads += 1
        text = self.text
        self.reading.set()
        assert self.may_answer.wait(10)
        if isinstance(text, TokenSourceError):
            raise text
        return text


class FakeQueue:
    """A queue whose calls wait for the test; `result` decides the result of a message of a call."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.confirmed: list[str] = []
        self.most_in_flight = 0
        self.result: Callable[[Message, int], PublishError | None] = lambda _message, _count: None
        self.whole_call: Callable[[Sequence[Message]], PublishError | None] = lambda _messages: None
        self._in_flight = 0
        self._changed = threading.Condition()
        self._to_answer: int | None = 0 if held else None

    def send(self, messages: Sequence[Message], deadline: float) -> list[PublishError | None]:
        with self._changed:
            self.calls.append([message.body for message in messages])
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._to_answer is None or self._to_answer > 0, 10)
            if self._to_answer is not None:
                self._to_answer -= 1
            self._in_flight -= 1
        error = self.whole_call(messages)
        if error:
            raise error
        results = [self.result(message, len(messages)) for message in messages]
        self.confirmed += [m.body for m, result in zip(messages, results, strict=True) if result is None]
        return results

    def answer(self, calls: int | None = None) -> None:
        """Let some calls end, or with None all calls from now on."""
        with self._changed:
            self._to_answer = None if calls is None else (self._to_answer or 0) + calls
            self._changed.notify_all()

    def wait_for_calls(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, 10), self.calls
