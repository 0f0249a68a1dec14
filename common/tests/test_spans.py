"""A span until it ends."""

from pillarbox import trace
from pillarbox_otel.conventions import Kind
from pillarbox_otel.spans import Template, Work

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def new_work(ended: list[Work], traceparent: str = SAMPLED) -> Work:
    template = Template("name", Kind.CLIENT, {"aws.s3.bucket": "archive"})
    return Work(template, traceparent, "", "", sampled=trace.is_sampled(traceparent), end=ended.append)


def test_a_span_ends_once() -> None:
    ended: list[Work] = []
    work = new_work(ended)
    work.end(status=200)
    work.end(status=500)
    assert ended == [work]
    assert work.attributes == {"aws.s3.bucket": "archive", "http.response.status_code": 200}


def test_the_first_error_counts() -> None:
    work = new_work([])
    work.fail("")
    work.fail("first")
    work.fail("second")
    assert work.error == "first"


def test_only_a_sampled_span_has_an_exemplar() -> None:
    assert new_work([]).exemplar == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
    assert new_work([], SAMPLED[:-2] + "00").exemplar is None
