import pytest

from pillarbox import trace

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_new_traceparent_is_valid_and_unique() -> None:
    first, second = trace.new_traceparent(), trace.new_traceparent()
    assert trace.parse(first) == first != second


def test_trace_id_is_the_second_part() -> None:
    assert trace.trace_id(VALID) == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("text", [VALID, "01" + VALID[2:], "fe" + VALID[2:] + "-more-of-a-later-version"])
def test_known_and_later_versions_are_parsed(text: str) -> None:
    assert trace.parse(text) == VALID


@pytest.mark.parametrize(
    "text",
    [
        "",
        VALID.upper(),
        "ff" + VALID[2:],
        VALID + "-more",
        VALID + "\n",
        "00-" + "0" * 32 + VALID[35:],
        VALID[:36] + "0" * 16 + "-01",
        "01" + VALID[2:] + "-" + "x" * 300,
    ],
)
def test_other_text_is_no_traceparent(text: str) -> None:
    assert trace.parse(text) is None
