import pytest

from pillarbox_ops.ui.plots import plot
from pillarbox_ops.ui.series import Series


def test_a_line_ends_at_the_right_edge_and_its_top_is_a_round_number() -> None:
    found = plot("Rate", "/s", [Series("stored", [0, 5, 10])], 10)
    assert found.top == "10/s"
    assert found.lines[0].path == "M480.0 120.0h0.1L540.0 60.0L600.0 0.0"
    assert found.lines[0].now == "10/s"


def test_a_missing_value_breaks_the_line() -> None:
    found = plot("Rate", "", [Series("stored", [1, None, 1])], 3)
    assert found.lines[0].path.count("M") == 2


def test_only_the_latest_values_are_drawn() -> None:
    assert plot("Rate", "", [Series("x", [1] * 9)], 3).lines[0].path.count("L") == 2


def test_a_plot_without_values_is_empty_and_one_of_zeros_is_not() -> None:
    assert plot("Rate", "", [Series("x", [None, None])], 3).is_empty
    assert not plot("Rate", "", [Series("x", [0])], 3).is_empty


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0123, "s", "12 ms"), (2.5, "s", "2.5 s"), (0.25, "/s", "0.25/s"), (1234.6, "", "1,235"), (None, "", "-")],
)
def test_values_are_short_texts(value: float | None, unit: str, text: str) -> None:
    assert plot("x", unit, [Series("x", [value])], 3).lines[0].now == text


def test_the_summary_says_in_words_what_is_drawn() -> None:
    found = plot("Queue", "", [Series("waiting", [7, 2])], 3)
    assert found.summary == "Queue: waiting now 2, at most 7"
