"""A limit on the requests of one client address, counted in memory or in a store shared by all pods."""

import ipaddress
import logging
import math
import time
from collections.abc import Callable

from flask import Blueprint, Response, request
from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from service1_api.metrics import Metrics
from service1_api.problems import Problem
from service1_api.request_log import client_address, context_of

STORE_PAUSE_SECONDS = 5.0  # pause after the store failed; meanwhile all requests are allowed

log = logging.getLogger(__name__)


def shared_or_memory(uri: str) -> Storage:
    """Return the store that a URI names. A shared store that hangs delays a request by half a second at most."""
    if uri == "memory://":
        return MemoryStorage()
    store = storage_from_string(uri, wrap_exceptions=True, socket_timeout=0.5, socket_connect_timeout=0.5)
    if not isinstance(store, Storage):
        raise TypeError("the store of the rate limit is an asynchronous one")
    return store


class RateLimit:
    """Counts requests a client address in a sliding window (draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(
        self,
        item: RateLimitItem,
        store: Storage,
        metrics: Metrics,
        *,
        trusted_proxy_hops: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._item = item
        self._limiter = SlidingWindowCounterRateLimiter(store)
        self._failures = metrics.rate_limit_failures_total
        self._hops = trusted_proxy_hops
        self._clock = clock
        self._store_paused_until = 0.0
        self._policy = f'"default";q={item.amount};w={item.get_expiry()}'

    def register(self, routes: Blueprint) -> None:
        """Apply the limit to every route of a blueprint."""
        routes.before_request(self._count)
        routes.after_request(self._add_headers)

    def _count(self) -> None:
        """Count this request. Raise Problem if it exceeds the limit; if the store fails, the request is allowed."""
        if self._clock() < self._store_paused_until:
            return
        client = client_of(request.remote_addr or "", request.headers.get("X-Forwarded-For"), self._hops)
        try:
            allowed = self._limiter.hit(self._item, client)
            reset_at, remaining = self._limiter.get_window_stats(self._item, client)
        except StorageError:
            self._failures.inc()
            self._store_paused_until = self._clock() + STORE_PAUSE_SECONDS
            log.warning("rate limit not counted", extra={"again_in_seconds": STORE_PAUSE_SECONDS})
            return
        wait = max(math.ceil(reset_at - self._clock()), 1)
        context_of(request.environ).rate_limit = f'"default";r={remaining};t={wait}'
        if not allowed:
            raise Problem("rate_limited", "this address sends too many requests", headers={"Retry-After": str(wait)})

    def _add_headers(self, response: Response) -> Response:
        value = context_of(request.environ).rate_limit
        if value:
            response.headers["RateLimit-Policy"] = self._policy
            response.headers["RateLimit"] = value
        return response


def client_of(peer: str, forwarded_for: str | None, trusted_proxy_hops: int) -> str:
    """Return the address by which requests are counted: for IPv6 the /64 network."""
    address = client_address(peer, forwarded_for, trusted_proxy_hops)
    return str(ipaddress.ip_network((address, 64), strict=False)) if ":" in address else address
