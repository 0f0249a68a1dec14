import pytest

from pillarbox_ops.errors import OpsError
from pillarbox_ops.scraping import NotRoutedError, parse_samples, scrape

from .fake_http import serving

PAGE = """# TYPE x_total counter
x_total{code="a"} 2
x_total{code="b"} 3
# TYPE y gauge
y 1.5
"""


def test_samples_are_summed_over_the_labels_that_are_not_given() -> None:
    samples = parse_samples(PAGE)
    assert (samples.total("x_total"), samples.total("x_total", code="b"), samples.total("y")) == (5, 3, 1.5)
    assert samples.total("z") is None
    assert [sample.labels["code"] for sample in samples.of("x_total")] == ["a", "b"]


def test_a_service_is_asked_for_its_metrics() -> None:
    with serving() as server:
        server.replies = [(200, PAGE.encode(), {})]
        assert scrape(f"{server.url}/").total("y") == 1.5
    assert server.requests[0].path == "/metrics"


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [(500, b"", "answers 500"), (200, b"<html>", "does not answer with metrics"), (200, b"\xff", "with metrics")],
)
def test_any_other_answer_is_an_error_that_names_the_address(status: int, body: bytes, text: str) -> None:
    with serving() as server:
        server.replies = [(status, body, {})]
        with pytest.raises(OpsError, match=text):
            scrape(server.url)


def test_a_route_that_is_missing_is_told_apart() -> None:
    with serving() as server:
        server.replies = [(404, b"", {})]
        with pytest.raises(NotRoutedError):
            scrape(server.url)


def test_no_answer_is_an_error() -> None:
    with pytest.raises(OpsError, match="does not answer"):
        scrape("http://127.0.0.1:9")
