"""Bodies of any kind: queued unchanged or refused with a 4xx, never a 5xx."""

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service1_api.request_parsing import LARGE_BODY_BYTES

from .conftest import MAX_REQUEST_BYTES, Service
from .fakes import TOKEN
from .test_messages import ALL, EMAIL, ONE, code_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
timestamps = st.integers(10**9, 2**31)
texts = st.text(max_size=20).map("a{}".format)  # not blank
emails = st.fixed_dictionaries(
    dict.fromkeys(("email_subject", "email_sender", "email_content"), texts)
    | {"email_timestream": timestamps | timestamps.map(str)},
    optional={"extra": json_values},
)
almost_emails = st.fixed_dictionaries(
    {name: st.text(min_size=1) for name in ("email_subject", "email_sender", "email_content")}
    | {"email_timestream": st.integers(-10, 2**33) | st.text(max_size=12)}
)
many_examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many_examples
@given(data=emails, path=st.sampled_from(ONE))
def test_any_email_is_queued_unchanged(service: Service, path: str, data: dict[str, object]) -> None:
    service.publisher.published.clear()
    raw = json.dumps({"data": data, "token": TOKEN}).encode()
    assert service.client.post(path, data=raw, content_type="application/json").status_code == 200
    assert json.loads(service.publisher.published[0].body) == data


@many_examples
@given(data=json_values | almost_emails, path=st.sampled_from(ONE))
def test_any_other_data_is_queued_unchanged_or_refused_with_4xx(service: Service, path: str, data: object) -> None:
    service.publisher.published.clear()
    raw = json.dumps({"data": data, "token": TOKEN}).encode()
    response = service.client.post(path, data=raw, content_type="application/json")
    if response.status_code == 200:
        assert json.loads(service.publisher.published[0].body) == data
    else:
        assert 400 <= response.status_code < 500
        code_of(response)
        assert not service.publisher.published


@many_examples
@given(data=json_values | st.lists(emails | almost_emails | json_values, max_size=5))
def test_any_batch_is_answered_in_full_or_refused_with_4xx(service: Service, data: object) -> None:
    raw = json.dumps({"data": data, "token": TOKEN}).encode()
    response = service.client.post("/api/messages", data=raw, content_type="application/json")
    assert response.status_code < 500
    if response.status_code in (200, 207):
        assert isinstance(data, list)
        assert [result["index"] for result in response.get_json()["results"]] == list(range(len(data)))
    else:
        code_of(response)


@many_examples
@given(raw=st.binary(max_size=200), path=st.sampled_from(ALL))
def test_arbitrary_bytes_are_refused_with_4xx(client: FlaskClient, path: str, raw: bytes) -> None:
    response = client.post(path, data=raw, content_type="application/json")
    assert 400 <= response.status_code < 500
    code_of(response)


MIB = 1024 * 1024
GZIP = {"Content-Encoding": "gzip"}


def post_raw(service: Service, raw: bytes, **headers: str) -> Any:
    return service.client.post("/api/message", data=raw, content_type="application/json", headers=headers)


def body_of(size: int) -> bytes:
    around = len(json.dumps({"data": EMAIL | {"email_content": ""}, "token": TOKEN}))
    return json.dumps({"data": EMAIL | {"email_content": "a" * (size - around)}, "token": TOKEN}).encode()


@pytest.mark.parametrize("size", [LARGE_BODY_BYTES - 1, LARGE_BODY_BYTES, LARGE_BODY_BYTES + 1, 900_000])
def test_compressed_body_of_any_size_is_read(service: Service, size: int) -> None:
    body = body_of(size)
    assert len(body) == size
    assert post_raw(service, gzip.compress(body), **GZIP).status_code == 200
    assert json.loads(service.publisher.published[0].body) == json.loads(body)["data"]


@pytest.mark.parametrize(("extra", "status"), [(0, 401), (1, 413)])
def test_limit_holds_for_the_inflated_body(service: Service, extra: int, status: int) -> None:
    raw = gzip.compress(b'"' + b"a" * (MAX_REQUEST_BYTES - 2 + extra) + b'"')
    assert len(raw) < LARGE_BODY_BYTES
    assert post_raw(service, raw, **GZIP).status_code == status


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"", "the body is gzip that ends early"),
        (gzip.compress(body_of(100_000))[:-5], "the body is gzip that ends early"),
        (gzip.compress(b"{}") + b"xx", "the body is not valid gzip, or has bytes after its end"),
        (body_of(500), "the body is not valid gzip, or has bytes after its end"),
        (body_of(LARGE_BODY_BYTES + 1), "the body is not valid gzip, or has bytes after its end"),
    ],
    ids=[
        "empty",
        "truncated",
        "trailing",
        "plain",
        "large-plain",
    ],  # gzip contains the time, so its bytes cannot be ids
)
def test_body_that_is_no_gzip_is_400_and_says_why(service: Service, raw: bytes, detail: str) -> None:
    response = post_raw(service, raw, **GZIP)
    assert (code_of(response), response.get_json()["detail"]) == ("malformed_request", detail)


def test_too_many_gzip_members_are_413(service: Service) -> None:
    response = post_raw(service, gzip.compress(b"") * 1001 + gzip.compress(body_of(500)), **GZIP)
    assert response.get_json()["detail"] == "the body has more than 1000 gzip members"


def test_token_of_the_header_is_checked_before_a_body_is_inflated(service: Service) -> None:
    assert post_raw(service, b"no gzip", **GZIP, Authorization="Bearer wrong").status_code == 401


def test_inflated_bodies_in_flight_have_a_budget_that_is_given_back() -> None:
    service = Service(max_inflated_bytes=MIB)
    raw = gzip.compress(body_of(700_000))
    inner: list[Any] = []
    service.publisher.fail = lambda _message: inner.append(post_raw(service, raw, **GZIP)) if not inner else None
    assert post_raw(service, raw, **GZIP).status_code == 200
    assert code_of(inner[0]) == "overloaded"
    for refused in (gzip.compress(b'"' + b"a" * 700_000 + b'"'), gzip.compress(b"[" * 700_000), raw):
        assert post_raw(service, refused, **GZIP).status_code != 503
    assert post_raw(service, raw, **GZIP).status_code == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"[" + b"1.5," * 262_000 + b'"' + b"a" * 2 * MIB + b'"]', 401),
        (b"[" + b"1.5," * 263_000 + b'"' + b"a" * 2 * MIB + b'"]', 413),
        (b"[" + b'"",' * 131_000 + b'"' + b"a" * 2 * MIB + b'"]', 401),
        (b"[" + b'"",' * 132_000 + b'"' + b"a" * 2 * MIB + b'"]', 413),
        (b"[" + b"1.5," * 264_000 + b'"' + b"a" * 1_000_000 + b'"]', 401),  # below 2 MiB every structure is accepted
    ],
    ids=["values-below", "values-above", "strings-below", "strings-above", "below-2MiB"],
)
def test_very_large_body_has_a_bounded_number_of_values(data: bytes, status: int) -> None:
    service = Service(max_request_bytes=16 * MIB, max_payload_bytes=16 * MIB)
    assert post_raw(service, data).status_code == status


@pytest.mark.parametrize(("strings", "status"), [(131_000, 401), (132_000, 413)])
def test_limit_of_values_holds_for_the_inflated_body(strings: int, status: int) -> None:
    service = Service(max_request_bytes=16 * MIB, max_payload_bytes=16 * MIB)
    data = b"[" + b'"",' * strings + b'"' + b"a" * 2 * MIB + b'"]'
    assert post_raw(service, gzip.compress(data, 1), **GZIP).status_code == status


def test_large_body_waits_for_no_token_check_of_another(service: Service) -> None:
    """A wrong token may cause a read of SSM that takes seconds; other large bodies must not wait for it."""
    entered, released = threading.Event(), threading.Event()
    check = service.tokens.check

    def slow_for_wrong_ones(presented: str) -> bool:
        if presented == "wrong":
            entered.set()
            assert released.wait(10)
        return check(presented)

    service.tokens.check = slow_for_wrong_ones  # type: ignore[method-assign]
    large = body_of(LARGE_BODY_BYTES + 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post_raw, service, large.replace(json.dumps(TOKEN).encode(), b'"wrong"'))
        assert entered.wait(10)
        assert post_raw(service, large).status_code == 200
        released.set()
        assert waiting.result(10).status_code == 401


@many_examples
@given(raw=st.binary(max_size=200))
def test_arbitrary_bytes_declared_as_gzip_are_refused_with_4xx(service: Service, raw: bytes) -> None:
    response = post_raw(service, raw, **GZIP)
    assert 400 <= response.status_code < 500
    code_of(response)
