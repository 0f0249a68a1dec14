"""The API token: read off the request path, cached, served stale while its source fails."""

import hmac
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from pillarbox.backoff import Backoff
from service1_api.metrics import Metrics

TICK_SECONDS = 5.0  # interval of the age metric, and the longest pause between attempts while SSM fails
_FIRST_PAUSE_SECONDS = 0.2
FIRST_READ_SECONDS = 3.0  # a worker does not accept requests before that, unless SSM takes longer
EARLY_REFRESHES = 3  # early refreshes that may follow each other at once …
EARLY_REFRESH_EVERY_SECONDS = 5.0  # … and the time until one more is allowed: far below SSM's 40 requests a second
EARLY_REFRESH_WAIT_SECONDS = 2.0
MAX_WAITING = 8  # requests that may wait for a read at once: each occupies a slot that a valid e-mail needs

log = logging.getLogger(__name__)


class TokenSourceError(Exception):
    """The token could not be read; the text says why and contains no secret."""


class TokensUnavailableError(Exception):
    """Tokens cannot be checked: none has been read, the last read is too old, or too many requests wait for one."""


class TokenSource(Protocol):
    """The store of the valid tokens."""

    def read(self) -> str:
        """Return the parameter's text: the valid tokens, one a line. Raise TokenSourceError."""
        ...


class TokenCache:
    """Caches the valid tokens. A background thread reads them, so that requests do not wait for SSM.

    Only a request whose token does not match waits briefly, for an early refresh: a new token works at once.
    """

    def __init__(
        self,
        source: TokenSource,
        metrics: Metrics,
        *,
        cache_seconds: float,
        stale_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._cache_seconds = cache_seconds
        self._stale_seconds = stale_seconds
        metrics.token_cache_seconds.set(cache_seconds)
        metrics.token_stale_seconds.set(stale_seconds)
        self._clock = clock
        self._changed = threading.Condition()
        self._tokens: tuple[bytes, ...] = ()
        self._read_at = float("-inf")
        self._retry_at = float("-inf")
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, TICK_SECONDS)
        self._reported: set[str] = set()  # reasons of the current failure that have been logged
        self._waiting = 0
        self._attempts = 0
        self._failing = self._requested = self._reading = self._stopped = False
        self._early_credit = float(EARLY_REFRESHES)
        self._early_credit_at = clock()

    @property
    def ready(self) -> bool:
        """Whether tokens can be checked."""
        return self._clock() - self._read_at <= self._stale_seconds

    def check(self, presented: str) -> bool:
        """Return whether a token is valid. Raise TokensUnavailableError."""
        if not self.ready:
            raise TokensUnavailableError
        return self._matches(presented) or self._matches_after_reading(presented)

    def start(self) -> threading.Thread:
        """Start the thread that refreshes the tokens until `stop`."""
        thread = threading.Thread(target=self._run, name="token-refresh", daemon=True)
        thread.start()
        return thread

    def wait_for_first_read(self, seconds: float = FIRST_READ_SECONDS) -> bool:
        """Wait until the thread has tried to read the tokens once. Return whether that happened in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._attempts > 0, seconds)

    def stop(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def refresh_if_due(self) -> None:
        """Read the tokens if they are old or an early refresh was requested; update the age metric."""
        now = self._clock()
        with self._changed:
            due = self._requested or (now - self._read_at >= self._cache_seconds and now >= self._retry_at)
            self._requested, self._reading = False, due
        if due:
            self._refresh()
        if self._read_at != float("-inf"):
            self._metrics.token_age_seconds.set(self._clock() - self._read_at)

    def _refresh(self) -> None:
        try:
            tokens = _tokens_in(self._source.read())
        except TokenSourceError as exc:
            self._failed(str(exc))
            return
        self._metrics.token_refreshes_total.labels("success").inc()
        if self._failing or not self._tokens:
            log.info("token loaded", extra={"valid_tokens": len(tokens)})
        with self._changed:
            self._tokens, self._read_at, self._failing = tokens, self._clock(), False
            self._backoff.reset()
            self._reported.clear()
            self._attempt_ended()

    def _failed(self, reason: str) -> None:
        self._metrics.token_refreshes_total.labels("failure").inc()
        if reason not in self._reported:
            self._reported.add(reason)
            log.warning("token not read; will be retried", extra={"reason": reason})
        with self._changed:
            self._failing = True
            self._retry_at = self._clock() + self._backoff.next_seconds()
            self._attempt_ended()

    def _attempt_ended(self) -> None:
        self._attempts += 1
        self._reading = False
        self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopped:
            try:
                self.refresh_if_due()
            except Exception as exc:  # noqa: BLE001  # top of the thread: a bug must not end the refreshes
                self._failed(type(exc).__name__)
            with self._changed:
                pause = TICK_SECONDS if not self._failing else max(self._retry_at - self._clock(), 0.01)
                self._changed.wait_for(lambda: self._requested or self._stopped, min(pause, self._cache_seconds))

    def _matches(self, presented: str) -> bool:
        candidate = presented.encode(errors="surrogatepass")
        matched = False
        for token in self._tokens:  # compare all, so that the time does not reveal which one matched
            matched |= hmac.compare_digest(candidate, token)
        return matched

    def _matches_after_reading(self, presented: str) -> bool:
        with self._changed:
            if self._waiting >= MAX_WAITING:
                raise TokensUnavailableError
            self._waiting += 1
        try:
            # A read in progress may have started before the rotation, so a second read that starts now is tried too.
            return (self._waited_for_reading() and self._matches(presented)) or (
                self._refreshed_early() and self._matches(presented)
            )
        finally:
            with self._changed:
                self._waiting -= 1

    def _waited_for_reading(self) -> bool:
        with self._changed:
            return self._reading and not self._failing and self._waited_for_attempt()

    def _refreshed_early(self) -> bool:
        """Request one refresh and wait briefly for it, unless they are too frequent or the last read has failed."""
        with self._changed:
            if self._failing:
                return False  # the thread retries soon anyway; waiting for SSM would be useless
            if not self._reading and not self._requested:
                if not self._may_refresh_early():
                    return False
                self._requested = True
                self._changed.notify_all()
            return self._waited_for_attempt()

    def _waited_for_attempt(self) -> bool:
        seen = self._attempts
        return self._changed.wait_for(lambda: self._attempts > seen, EARLY_REFRESH_WAIT_SECONDS)

    def _may_refresh_early(self) -> bool:
        now = self._clock()
        regained = (now - self._early_credit_at) / EARLY_REFRESH_EVERY_SECONDS
        self._early_credit = min(EARLY_REFRESHES, self._early_credit + regained)
        self._early_credit_at = now
        if self._early_credit < 1:
            return False
        self._early_credit -= 1
        return True


def _tokens_in(text: str) -> tuple[bytes, ...]:
    # Only what `pillarbox token` and editors write between tokens: other white space may be a part of one.
    lines = (line.strip(" \t\r") for line in text.split("\n"))
    tokens = tuple(line.encode() for line in lines if line)
    if not tokens:
        raise TokenSourceError("the parameter contains no token")
    return tokens
