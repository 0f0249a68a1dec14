"""Bodies of any kind: queued unchanged or refused with a 4xx, never a 5xx."""

import json

from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Service
from .fakes import TOKEN
from .test_messages import ALL, ONE, code_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
emails = st.fixed_dictionaries(
    {name: st.text(min_size=1) for name in ("email_subject", "email_sender", "email_content")}
    | {"email_timestream": st.integers(-10, 2**33) | st.text(max_size=12)},
    optional={"extra": json_values},
)
many_examples = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many_examples
@given(data=json_values | emails, path=st.sampled_from(ONE))
def test_any_email_is_queued_unchanged_or_refused_with_4xx(service: Service, path: str, data: object) -> None:
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
@given(data=json_values | st.lists(emails | json_values, max_size=5))
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
