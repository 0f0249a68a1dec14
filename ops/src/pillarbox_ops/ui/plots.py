"""Small line plots: series into the paths of an inline SVG. Pure: no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox_ops.ui.series import Series

WIDTH, HEIGHT = 600, 120


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot: its path, and its latest value as text."""

    name: str
    path: str
    now: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with a title, the value at its top, lines, and a sentence that says the same. Empty without values."""

    title: str
    top: str
    lines: Sequence[Line]
    summary: str
    is_empty: bool


def plot(title: str, unit: str, series: Sequence[Series], slots: int) -> Plot:
    """Return the plot of series; its width stands for `slots` values, and the latest one is at the right edge."""
    top = _nice(max((line.peak for line in series), default=0))
    lines = [Line(line.name, _path(line.values, top, slots), _text(line.now, unit)) for line in series]
    has_values = any(value is not None for line in series for value in line.values)
    parts = [f"{line.name} now {_text(line.now, unit)}, at most {_text(line.peak, unit)}" for line in series]
    return Plot(title, _text(top, unit), lines, f"{title}: {'; '.join(parts)}", not has_values)


def _path(values: Sequence[float | None], top: float, slots: int) -> str:
    """Return the path; it breaks where a value is missing, and a lone value is a short dash."""
    shown = values[-slots:]
    parts: list[str] = []
    is_down = False
    for number, value in enumerate(shown, slots - len(shown) + 1):
        if value is None:
            is_down = False
            continue
        point = f"{number * WIDTH / slots:.1f} {HEIGHT - min(value, top) / top * HEIGHT:.1f}"
        parts.append(f"L{point}" if is_down else f"M{point}h0.1")
        is_down = True
    return "".join(parts)


def _nice(peak: float) -> float:
    """Return the next round number: 1, 2 or 5 times a power of ten."""
    step = 1e-3
    while step < 1e12:
        for factor in (1, 2, 5):
            if peak <= factor * step:
                return factor * step
        step *= 10
    return peak


def _text(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.3g} s"
    number = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
    return f"{number}{unit}"
