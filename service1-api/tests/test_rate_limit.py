"""The rate limit: which address is counted, the headers of responses, and a store that fails."""

import pytest
from flask import Blueprint, Flask, Response
from flask.testing import FlaskClient
from limits import parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from werkzeug.test import TestResponse

from service1_api import error_handlers, request_log
from service1_api.rate_limit import STORE_PAUSE_SECONDS, RateLimit, client_of, shared_or_memory

from .fakes import FakeClock, new_metrics


class BrokenStore(MemoryStorage):
    """Fails like an unreachable shared store."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True
        self.asked = 0

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self.asked += 1
        if self.broken:
            raise StorageError(ConnectionError())
        return super().acquire_sliding_window_entry(key, limit, expiry, amount)


def limited_client(
    *, rate: str = "2/hour", store: MemoryStorage | None = None, hops: int = 1, clock: FakeClock | None = None
) -> FlaskClient:
    app, metrics, routes = Flask("limited"), new_metrics(), Blueprint("routes", "limited")
    routes.get("/limited")(lambda: Response("ok"))
    limit = RateLimit(parse(rate), store or MemoryStorage(), metrics, trusted_proxy_hops=hops)
    if clock:
        limit._clock = clock
    limit.register(routes)
    request_log.register(app, metrics)
    app.register_blueprint(routes)
    app.get("/free")(lambda: Response("ok"))
    error_handlers.register(app, metrics)
    return app.test_client()


def get(client: FlaskClient, address: str = "192.0.2.1", path: str = "/limited") -> TestResponse:
    return client.get(path, headers={"X-Forwarded-For": address})


def test_request_above_the_limit_is_429_with_retry_after() -> None:
    client = limited_client()
    answers = [get(client) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit"].split(";t=")[0] for answer in answers] == [
        '"default";r=1',
        '"default";r=0',
        '"default";r=0',
    ]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=2;w=3600'}
    assert 0 < int(answers[2].headers["Retry-After"]) <= 7200
    assert answers[2].get_json()["code"] == "rate_limited"


def test_addresses_are_counted_separately() -> None:
    client = limited_client()
    assert [get(client, f"192.0.2.{n % 2}").status_code for n in range(6)] == [200, 200, 200, 200, 429, 429]


def test_forwarded_header_of_the_client_is_not_trusted() -> None:
    client = limited_client()
    codes = [get(client, f"203.0.113.{n}, 192.0.2.1").status_code for n in range(3)]
    assert codes == [200, 200, 429]


def test_other_routes_are_not_limited() -> None:
    client = limited_client()
    answers = [get(client, path="/free") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert all("RateLimit" not in answer.headers for answer in answers)


def test_failing_store_allows_all_requests_and_is_not_called_for_a_while() -> None:
    store, clock = BrokenStore(), FakeClock()
    client = limited_client(store=store, clock=clock)
    assert [get(client).status_code for _ in range(5)] == [200] * 5
    assert store.asked == 1
    store.broken = False
    clock.now += STORE_PAUSE_SECONDS
    assert [get(client).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
    ],
)
def test_ipv6_client_is_counted_by_its_network(peer: str, client: str) -> None:
    assert client_of(peer, None, 0) == client_of("10.0.0.1", peer, 1) == client


def test_store_is_the_one_of_the_setting() -> None:
    assert isinstance(shared_or_memory("memory://"), MemoryStorage)
    assert isinstance(shared_or_memory("redis://127.0.0.1:1"), RedisStorage)


def test_unreachable_redis_allows_all_requests() -> None:
    app, metrics, routes = Flask("limited"), new_metrics(), Blueprint("routes", "limited")
    routes.get("/limited")(lambda: Response("ok"))
    store = shared_or_memory("redis://127.0.0.1:1")
    RateLimit(parse("1/hour"), store, metrics, trusted_proxy_hops=1).register(routes)
    request_log.register(app, metrics)
    app.register_blueprint(routes)
    client = app.test_client()
    assert [get(client).status_code for _ in range(3)] == [200] * 3
