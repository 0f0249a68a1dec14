"""What the look has to hold, read from the files: contrast, no inline code, no address elsewhere."""

import re
from itertools import product
from pathlib import Path

import pytest

import pillarbox_ops.ui

UI = Path(pillarbox_ops.ui.__file__).parent
CSS = (UI / "static/app.css").read_text()
TEMPLATES = sorted((UI / "templates").glob("*.html"))

BACKGROUNDS = ("bg", "surface", "raised", "hover", "fresh")
# Pairs of a colour and what it stands on, and the contrast that WCAG 2.2 asks for: 4.5 for text (1.4.3), 3 for the
# edge of a control, a line of a plot and the mark of the focus (1.4.11).
PAIRS = [
    *((text, ground, 4.5) for text, ground in product(("text", "muted", "link", "bad"), BACKGROUNDS)),
    *((text, "bad-bg", 4.5) for text in ("text", "muted", "bad", "link")),
    ("on-accent", "accent", 4.5),
    ("on-accent", "accent-hover", 4.5),
    ("mark", "mark-bg", 4.5),
    *((mark, ground, 3.0) for mark, ground in product(("edge", "focus", "plot-1", "plot-2"), ("bg", "surface"))),
    ("accent", "surface", 3.0),
    ("accent", "bg", 3.0),
]


def _palettes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": light | dark}


def _luminance(colour: str) -> float:
    """Follow https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("colour", "ground", "least"), PAIRS)
def test_the_contrast_of_each_pair_meets_wcag_aa(scheme: str, colour: str, ground: str, least: float) -> None:
    palette = _palettes()[scheme]
    assert _contrast(palette[colour], palette[ground]) >= least


def test_the_formula_of_the_contrast_is_that_of_wcag() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_colour_is_a_variable() -> None:
    rules = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", rules)) <= {"#fff"}  # behind the HTML of an e-mail


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_no_inline_code_and_no_filter_that_trusts_text(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:|\|\s*safe\b|autoescape", text)
    assert re.findall(r"<script(?! src=\"/static/app\.js\" defer></script>)", text) == []


@pytest.mark.parametrize("path", [*TEMPLATES, *(UI / "static").iterdir()], ids=lambda path: path.name)
def test_nothing_leads_to_another_host(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(?:src|href|action|url)\s*[=(]\s*[\"']?(?:https?:)?//", text)
    assert "@import" not in text
    assert "eval(" not in text
    assert "innerHTML" not in text


def test_nothing_moves_for_who_does_not_want_it() -> None:
    outside = re.sub(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", "", CSS, flags=re.DOTALL)
    assert not re.search(r"animation|transition|@keyframes", outside)
