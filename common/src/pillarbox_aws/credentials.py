"""The AWS credentials of a process: botocore finds them, one thread refreshes them, and no call waits for STS."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import ClientError

from pillarbox.backoff import Backoff

if TYPE_CHECKING:
    from obstore.store import S3Credential

_WAIT_SECONDS = 2.0  # how long a call without valid credentials waits for a refresh that is under way
_CHECK_SECONDS = 60.0  # the longest time between two checks: botocore refreshes from 15 minutes before the expiry on
_SHORTEST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
# botocore only answers whether credentials expire within a given time, so the time left is known in these steps.
_STEPS_SECONDS = (3600, 1800, 960, 600, 300, 120, 60, 30, 15, 8, 4, 2, 1)

logger = logging.getLogger(__name__)


class CredentialsError(Exception):
    """There are no valid AWS credentials; a later call may succeed. `cause` is a short code."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"AWS credentials: {cause}")
        self.cause = cause


@dataclass(frozen=True, slots=True)
class ValidCredentials:
    """Credentials and the time, on the clock of their owner, until which they are known to be valid."""

    keys: ReadOnlyCredentials
    until_seconds: float


class SessionCredentials:
    """Keeps the credentials of a botocore session. They are used until they expire, even if STS does not answer."""

    def __init__(self, find: Callable[[], Credentials | None], *, clock: Callable[[], float] = time.monotonic) -> None:
        """`find` is `get_credentials` of a session: it searches again until it finds credentials."""
        self._find = find
        self._clock = clock
        self._changed = threading.Condition()
        self._valid: ValidCredentials | None = None
        self._cause = ""
        self._reported: set[str] = set()
        self._failures = 0
        self._backoff = Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._attempting = self._wanted = self._closed = False

    def found(self) -> bool:
        """Return whether the session finds a provider. A provider that fails counts as found: it may answer later."""
        try:
            return self._find() is not None
        except Exception as exc:  # noqa: BLE001  # a provider may raise anything; the thread retries
            logger.warning("AWS credentials were not found yet", extra={"cause": cause_of(exc)})
            return True

    def start(self) -> None:
        """Start the thread that refreshes until `close`."""
        self._attempting = True
        threading.Thread(target=self._run, name="credentials", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def current(self) -> ReadOnlyCredentials:
        """Return credentials that are valid now. Raise CredentialsError, after a wait of two seconds at most."""
        return self.valid().keys

    def valid(self) -> ValidCredentials:
        """Return valid credentials with their time. Raise CredentialsError, after a wait of two seconds at most."""
        valid = self._valid
        if valid is not None and self._clock() < valid.until_seconds:
            return valid
        return self._awaited()

    def for_obstore(self) -> S3Credential:
        """Return the credentials in the form of obstore's `credential_provider`. Raise CredentialsError."""
        valid = self.valid()
        left = valid.until_seconds - self._clock()
        return {
            "access_key_id": valid.keys.access_key or "",  # never empty: _fetch refuses such keys
            "secret_access_key": valid.keys.secret_key or "",
            "token": valid.keys.token,
            # obstore accepts only this time zone.
            "expires_at": None if math.isinf(left) else datetime.now(UTC) + timedelta(seconds=left),
        }

    def refresh(self) -> float:
        """Call botocore once, which calls STS if it is time; return the seconds until the next call. Raise nothing."""
        try:
            valid = self._fetch()
        except Exception as exc:  # noqa: BLE001  # the thread must survive any exception of a provider
            return self._failed(cause_of(exc))
        if self._reported:
            logger.info("AWS credentials are refreshed again", extra={"failures": self._failures})
        with self._changed:
            self._valid, self._cause, self._failures = valid, "", 0
            self._backoff.reset()
            self._reported.clear()
            self._attempt_ended()
        left = valid.until_seconds - self._clock()
        return min(max(left / 4, _SHORTEST_PAUSE_SECONDS), _CHECK_SECONDS) if math.isfinite(left) else math.inf

    def _fetch(self) -> ValidCredentials:
        found = self._find()
        if found is None:
            raise CredentialsError("none found")
        keys = found.get_frozen_credentials()
        if not (keys.access_key and keys.secret_key):
            raise CredentialsError("incomplete")
        now, left = self._clock(), _seconds_left(found)
        if not left:
            raise CredentialsError("expired")
        return ValidCredentials(keys, now + left)

    def _failed(self, cause: str) -> float:
        valid, now = self._valid, self._clock()
        left = max(valid.until_seconds - now, 0) if valid else 0
        with self._changed:
            self._failures += 1
            self._cause = cause
            self._attempt_ended()
        self._report(cause, f"AWS credentials cannot be refreshed: {cause}", valid_for_seconds=round(left))
        if not left:
            self._report("expired", "no valid AWS credentials are left; calls fail until they can be refreshed")
        pause = self._backoff.next_seconds()
        return min(pause, left) if left else pause

    def _report(self, state: str, text: str, **fields: object) -> None:
        """Log a state once, even if it persists."""
        if state not in self._reported:
            self._reported.add(state)
            logger.warning(text, extra={"cause": self._cause, **fields})

    def _awaited(self) -> ValidCredentials:
        with self._changed:
            if not self._cause and not self._attempting:
                self._wanted = self._attempting = True
                self._changed.notify_all()
            self._changed.wait_for(lambda: not self._attempting, _WAIT_SECONDS)
            valid = self._valid
            if valid is not None and self._clock() < valid.until_seconds:
                return valid
            raise CredentialsError(self._cause or "not refreshed in time")

    def _attempt_ended(self) -> None:
        self._attempting = False
        self._changed.notify_all()

    def _run(self) -> None:
        pause = 0.0
        while math.isfinite(pause):
            pause = self.refresh()
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wanted, pause if math.isfinite(pause) else 0)
                if self._closed:
                    return
                self._wanted, self._attempting = False, True
        with self._changed:
            self._attempt_ended()


def cause_of(exc: Exception) -> str:
    """Return a short code for the failure: the code of STS if there is one."""
    if isinstance(exc, CredentialsError):
        return exc.cause
    if isinstance(exc, ClientError):
        return exc.response.get("Error", {}).get("Code") or "ClientError"
    return type(exc).__name__


def _seconds_left(found: Credentials) -> float:
    if not isinstance(found, RefreshableCredentials):
        return math.inf
    return next((step for step in _STEPS_SECONDS if not found.refresh_needed(refresh_in=step)), 0)
