"""Sends e-mails by the API, each with an Idempotency-Key so that a repeated request stores one e-mail, and waits."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import urllib3

from pillarbox import strict_json
from pillarbox.ids import new_message_id
from pillarbox.strict_json import JsonValue
from pillarbox_ops.errors import OpsError
from pillarbox_ops.pace import Pace
from pillarbox_ops.tokens import checked

AT_ONCE = 16
_TIMEOUT = urllib3.Timeout(connect=5, read=40)  # the API answers a queue that fails within half a minute
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_WAIT_HEADER = "wait=5"
_NO_STATUS = (404, 405, 501)  # 404 without `not_archived`: an API that has no such route


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one e-mail: `accepted`, `archived`, `not_archived`, `refused` or `failed`.

    `problem` holds the API's code and the names of wrong fields. `archived_milliseconds` counts from the request.
    """

    message_id: str
    status: str
    milliseconds: int
    archived_milliseconds: int | None = None
    problem: str = ""


class Api:
    """The API at one base URL, with a token. Raise OpsError for a token that no header of HTTP can carry."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {checked(token, 'the token')}", "Content-Type": "application/json"}
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT, maxsize=AT_ONCE)
        self._clock = clock
        self._sleep = sleep

    def post(self, email: dict[str, JsonValue], message_id: str | None = None) -> Sent:
        """Send an e-mail. A lost connection and a 429 or 503 are retried with the same id; nothing is raised."""
        message_id = message_id or new_message_id()
        body = strict_json.dumps({"data": email})
        headers = self._headers | {"Idempotency-Key": message_id}
        started = self._clock()
        status, problem = "failed", ""
        for attempt in range(_ATTEMPTS):
            retry_after = None
            try:
                reply = self._pool.request("POST", f"{self._url}/api/message", body=body, headers=headers)
            except urllib3.exceptions.HTTPError as exc:
                status, problem = "failed", type(exc).__name__
            else:
                if reply.status == 200:
                    return Sent(message_id, "accepted", self._since(started))
                status, problem = "refused", _problem_of(reply.status, reply.data)
                if reply.status not in (429, 503):
                    break
                retry_after = reply.headers.get("Retry-After", "")
            if attempt + 1 < _ATTEMPTS:
                self._sleep(_pause(attempt, retry_after))
        return Sent(message_id, status, self._since(started), problem=problem)

    def is_archived(self, message_id: str) -> bool | None:
        """Return whether an e-mail is archived, after up to 5 s; None if this API cannot tell. Raise OpsError."""
        url = f"{self._url}/api/messages/{message_id}"
        try:
            reply = self._pool.request("GET", url, headers=self._headers | {"Prefer": _WAIT_HEADER})
        except urllib3.exceptions.HTTPError as exc:
            raise OpsError(f"{self._url} does not answer: {type(exc).__name__}") from None
        if reply.status == 200:
            return True
        code = _problem_of(reply.status, reply.data)
        if reply.status in _NO_STATUS and code != "not_archived":
            return None
        return False

    def _since(self, started: float) -> int:
        return round((self._clock() - started) * 1000)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to learn that an e-mail is archived: by the API, else by a look into the archive, until a deadline.

    It gives up when `ended` is set.
    """

    seconds: float
    in_archive: Callable[[str], bool]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    ended: threading.Event = field(default_factory=threading.Event)

    def until_archived(self, api: Api, message_id: str) -> bool:
        """Return whether it is archived in time. Raise OpsError."""
        deadline = self.clock() + self.seconds
        pause = 0.1
        by_api = True
        while True:
            found = api.is_archived(message_id) if by_api else self.in_archive(message_id)
            if found is None:
                by_api = False
                continue
            left = deadline - self.clock()
            if found or left <= 0 or self.ended.is_set():
                return found
            self.sleep(min(pause, left))
            pause = min(2 * pause, 1.0)


def send_all(
    api: Api, emails: Iterable[dict[str, JsonValue]], pace: Pace, waiting: Waiting | None = None
) -> Iterator[Sent]:
    """Send e-mails, up to AT_ONCE at a time, and yield what became of each, in their order."""
    under_way: deque[Future[Sent]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for email in emails:
                pace.wait()
                under_way.append(pool.submit(_send, api, email, waiting))
                while under_way and (len(under_way) >= 2 * AT_ONCE or under_way[0].done()):
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            if waiting:
                waiting.ended.set()
            pool.shutdown(cancel_futures=True)


def _send(api: Api, email: dict[str, JsonValue], waiting: Waiting | None) -> Sent:
    started = time.monotonic()
    sent = api.post(email)
    if waiting is None or sent.status != "accepted":
        return sent
    try:
        archived = waiting.until_archived(api, sent.message_id)
    except OpsError as exc:
        return Sent(sent.message_id, "not_archived", sent.milliseconds, problem=str(exc))
    milliseconds = round((time.monotonic() - started) * 1000)
    if not archived:
        return Sent(sent.message_id, "not_archived", sent.milliseconds, problem=f"not within {waiting.seconds:g} s")
    return Sent(sent.message_id, "archived", sent.milliseconds, milliseconds)


def _pause(attempt: int, retry_after: str | None) -> float:
    """Return the seconds before the next attempt: with jitter, and not less than the API asks."""
    asked = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    longest = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
    return min(asked, _LONGEST_PAUSE_SECONDS) + random.uniform(0, longest)  # noqa: S311  jitter, not a secret


def _problem_of(status: int, raw: bytes) -> str:
    """Return the code of a problem (RFC 9457) and its fields with their codes; never a value of the e-mail."""
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("code"), str):
        return f"HTTP {status}"
    errors = document.get("errors")
    entries = [entry for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
    fields = "; ".join(f"{entry.get('pointer', '')} {entry.get('detail', '')}".strip() for entry in entries)
    return f"{document['code']}: {fields}" if fields else str(document["code"])
