"""The token: cached, refreshed off the request path, stale while SSM fails, rotated without a failed request."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry

from common.testing.waiting import eventually
from common.testing.waiting import eventually as until
from service1_api import tokens
from service1_api.metrics import Metrics
from service1_api.tokens import TokenCache, TokenSourceError, TokensUnavailableError

from .fakes import TOKEN, FakeClock, FakeTokenSource, new_metrics

CACHE_SECONDS = 300
STALE_SECONDS = 3600


def cache_of(source: FakeTokenSource, clock: Callable[[], float], metrics: Metrics | None = None) -> TokenCache:
    return TokenCache(
        source, metrics or new_metrics(), cache_seconds=CACHE_SECONDS, stale_seconds=STALE_SECONDS, clock=clock
    )


@contextmanager
def running(cache: TokenCache) -> Iterator[None]:
    thread = cache.start()
    try:
        yield
    finally:
        cache.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_check_before_the_first_read_raises() -> None:
    cache = cache_of(FakeTokenSource(), FakeClock())
    assert not cache.ready
    with pytest.raises(TokensUnavailableError):
        cache.check(TOKEN)


@pytest.mark.parametrize("text", [TOKEN, TokenSourceError("ThrottlingException")])
def test_wait_for_first_read_ends_with_success_or_failure(text: str | TokenSourceError) -> None:
    source = FakeTokenSource(text)
    source.may_answer.clear()
    cache = cache_of(source, FakeClock())
    with running(cache):
        assert source.reading.wait(10)
        assert not cache.wait_for_first_read(0.01)
        source.may_answer.set()
        assert cache.wait_for_first_read(10)
        assert cache.ready is (text == TOKEN)


def test_token_is_read_again_only_when_the_cache_time_has_passed() -> None:
    source, clock = FakeTokenSource(), FakeClock()
    cache = cache_of(source, clock)
    cache.refresh_if_due()
    clock.now += CACHE_SECONDS - 1
    cache.refresh_if_due()
    assert (source.reads, cache.check(TOKEN)) == (1, True)
    clock.now += 1
    cache.refresh_if_due()
    assert source.reads == 2


@pytest.mark.parametrize(
    ("text", "valid", "invalid"),
    [
        (TOKEN, [TOKEN], ["", TOKEN[:-1], TOKEN + "x"]),
        ("new\nold\n", ["new", "old"], ["new\nold", "\n", ""]),
        ("  padded \r\n\n\n other\r\n", ["padded", "other"], ["  padded ", ""]),
        ("gr\u00fc\u00dfe \U0001f511", ["gr\u00fc\u00dfe \U0001f511"], ["gr\u00fc\u00dfe"]),
    ],
)
def test_every_line_of_the_parameter_is_a_token(text: str, valid: list[str], invalid: list[str]) -> None:
    cache = cache_of(FakeTokenSource(text), FakeClock())
    cache.refresh_if_due()
    with running(cache):
        assert [cache.check(token) for token in valid] == [True] * len(valid)
        assert [cache.check(token) for token in invalid] == [False] * len(invalid)


def test_parameter_without_a_token_is_a_failure() -> None:
    source, clock = FakeTokenSource(), FakeClock()
    cache = cache_of(source, clock)
    cache.refresh_if_due()
    source.text = " \n"
    clock.now += CACHE_SECONDS
    cache.refresh_if_due()
    assert cache.check(TOKEN)


def test_outage_of_ssm_is_logged_once_for_each_reason_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "service1_api.tokens")
    source, clock = FakeTokenSource(TokenSourceError("InvalidIdentityToken")), FakeClock()
    cache = cache_of(source, clock)
    texts: list[str | TokenSourceError] = [TokenSourceError("InvalidIdentityToken")] * 5
    texts += [TokenSourceError("AccessDenied")] * 5
    for text in [*texts, TOKEN]:
        source.text = text
        clock.now += CACHE_SECONDS
        cache.refresh_if_due()
    reasons = [getattr(record, "reason", record.getMessage()) for record in caplog.records]
    assert reasons == ["InvalidIdentityToken", "AccessDenied", "token loaded"]


def test_the_ages_that_an_alert_compares_are_metrics_before_the_first_read() -> None:
    registry = CollectorRegistry()
    cache_of(FakeTokenSource(), FakeClock(), Metrics(registry))
    assert registry.get_sample_value("pillarbox_api_token_cache_seconds") == CACHE_SECONDS
    assert registry.get_sample_value("pillarbox_api_token_stale_seconds") == STALE_SECONDS


def test_last_token_is_used_for_an_hour_while_ssm_fails() -> None:
    source, clock, registry = FakeTokenSource(), FakeClock(), CollectorRegistry()
    cache = cache_of(source, clock, Metrics(registry))
    cache.refresh_if_due()
    source.text = TokenSourceError("ThrottlingException")
    clock.now += STALE_SECONDS
    cache.refresh_if_due()
    assert cache.check(TOKEN)
    assert registry.get_sample_value("pillarbox_api_token_age_seconds") == STALE_SECONDS
    assert registry.get_sample_value("pillarbox_api_token_refreshes_total", {"outcome": "failure"}) == 1
    clock.now += 1
    assert not cache.ready
    with pytest.raises(TokensUnavailableError):
        cache.check(TOKEN)
    source.text = TOKEN
    clock.now += tokens.TICK_SECONDS
    cache.refresh_if_due()
    assert cache.check(TOKEN)


def test_attempts_are_spaced_while_ssm_fails() -> None:
    source, clock = FakeTokenSource(TokenSourceError("AccessDenied")), FakeClock()
    cache = cache_of(source, clock)
    for _ in range(6000):
        cache.refresh_if_due()
        clock.now += 0.01
    assert 10 < source.reads < 40


def test_cache_started_without_ssm_recovers() -> None:
    source = FakeTokenSource(TokenSourceError("EndpointConnectionError"))
    cache = cache_of(source, time.monotonic)
    with running(cache):
        eventually(lambda: source.reads >= 2)
        assert not cache.ready
        source.text = TOKEN
        eventually(lambda: cache.ready)
        assert cache.check(TOKEN)


def test_tokens_are_lines_and_only_blanks_around_them_are_removed() -> None:
    cache = cache_of(FakeTokenSource("new\u00a0\r\n \told\x85er \n\n"), FakeClock())
    cache.refresh_if_due()
    assert [cache.check(token) for token in ("new\u00a0", "old\x85er")] == [True, True]
    assert [cache.check(token) for token in ("new", "old", "er", "")] == [False] * 4


def test_rotated_token_works_at_once() -> None:
    source = FakeTokenSource("old")
    cache = cache_of(source, FakeClock())
    cache.refresh_if_due()
    source.text = "new"
    with running(cache):
        assert cache.check("new")
        assert not cache.check("old")


def test_at_most_eight_requests_wait_for_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "EARLY_REFRESH_WAIT_SECONDS", 60)
    source = FakeTokenSource("old")
    cache = cache_of(source, FakeClock())
    cache.refresh_if_due()
    source.text = "new"
    source.reading.clear()
    source.may_answer.clear()
    with running(cache), ThreadPoolExecutor(max_workers=32) as pool:
        checks = [pool.submit(cache.check, "new") for _ in range(32)]
        assert source.reading.wait(10)
        until(lambda: sum(check.done() for check in checks) == 32 - tokens.MAX_WAITING)
        source.may_answer.set()
        refused = [check for check in checks if isinstance(check.exception(10), TokensUnavailableError)]
        assert [check.result() for check in checks if check not in refused] == [True] * tokens.MAX_WAITING
        assert cache.check("new")
    assert source.reads <= 3


def test_wrong_token_does_not_wait_after_a_failed_read() -> None:
    source, clock = FakeTokenSource(), FakeClock()
    cache = cache_of(source, clock)
    cache.refresh_if_due()
    source.text = TokenSourceError("ThrottlingException")
    clock.now += CACHE_SECONDS
    cache.refresh_if_due()
    assert not cache.check("wrong")  # no thread is running that could end a wait
    assert source.reads == 2


def test_wrong_token_waits_only_until_the_read_fails() -> None:
    source = FakeTokenSource()
    cache = cache_of(source, FakeClock())
    cache.refresh_if_due()
    source.text = TokenSourceError("ReadTimeoutError")
    with running(cache):
        assert not cache.check("wrong")
        assert source.reads == 2


def test_request_with_a_valid_token_never_waits_for_ssm() -> None:
    source, clock = FakeTokenSource(), FakeClock()
    cache = cache_of(source, clock)
    cache.refresh_if_due()
    source.reading.clear()
    source.may_answer.clear()
    clock.now += CACHE_SECONDS
    with running(cache):
        assert source.reading.wait(10)
        assert cache.check(TOKEN)
        source.may_answer.set()


def test_wrong_tokens_cause_a_limited_number_of_reads() -> None:
    source, clock = FakeTokenSource(), FakeClock()
    cache = cache_of(source, clock)
    cache.refresh_if_due()
    with running(cache):
        assert not any(cache.check("wrong") for _ in range(200))
        assert source.reads == 1 + tokens.EARLY_REFRESHES
        clock.now += tokens.EARLY_REFRESH_EVERY_SECONDS
        assert not any(cache.check("wrong") for _ in range(200))
        assert source.reads == 2 + tokens.EARLY_REFRESHES


def test_mismatch_while_ssm_hangs_is_answered_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "EARLY_REFRESH_WAIT_SECONDS", 0.05)
    source = FakeTokenSource()
    cache = cache_of(source, FakeClock())
    cache.refresh_if_due()
    source.may_answer.clear()
    with running(cache):
        assert not cache.check("wrong")
        source.may_answer.set()
