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


def test_the_parts_of_a_traceparent_are_told_apart() -> None:
    assert trace.span_id(VALID) == "00f067aa0ba902b7"
    assert trace.is_sampled(VALID)
    assert trace.is_sampled(VALID[:-2] + "03")
    assert not trace.is_sampled(VALID[:-2] + "02")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7"),
        ("congo=t61rcWkgMzE , rojo=1,,", "congo=t61rcWkgMzE,rojo=1"),
        ("1tenant@vendor=a b", "1tenant@vendor=a b"),
        ("", ""),
        ("Upper=1", ""),
        ("a=\u00e9", ""),
        ("a=1\n", ""),
        ("a=b=c", ""),
        ("a", ""),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        ("a=" + "x" * 256, "a=" + "x" * 256),
        ("a=" + "x" * 257, ""),
        ("a=" + "x" * 250 + ",b=" + "x" * 250 + ",c=123456", ""),
    ],
)
def test_a_tracestate_is_kept_whole_or_dropped_whole(text: str, state: str) -> None:
    assert trace.parse_state(text) == state


@pytest.mark.parametrize(
    ("header", "traceparent"),
    [
        (
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
        ),
        (
            "Self=1-67891234-1;Root=1-67891233-abcdef012345678912345678; Parent=53995c3f42cd8ad8",
            "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-00",
        ),
        ("Root=1-67891233-abcdef012345678912345678", None),
        ("Root=1-67891233-abcdef012345678912345678;Parent=0000000000000000", None),
        ("Root=2-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8", None),
        ("", None),
    ],
)
def test_a_trace_header_of_aws_becomes_a_traceparent_if_it_names_a_span(header: str, traceparent: str | None) -> None:
    assert trace.from_amzn(header) == traceparent
