"""Everything that CONTRIBUTING.md and docs/jenkins.md name exists."""

import re

import pytest

from common.testing.emulator import ROOT

PAGES = ("CONTRIBUTING.md", "docs/jenkins.md")


@pytest.mark.parametrize("page", PAGES)
def test_each_make_target_is_on_the_menu(page: str) -> None:
    text = (ROOT / page).read_text()
    menu = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word for line in re.findall(r"`make ([^`]+)`", text) for word in line.split() if re.fullmatch(r"[a-z-]+", word)
    }
    assert named
    assert named <= menu


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    assert links
    for link in links:
        assert ((ROOT / page).parent / link).exists(), link


def test_a_newcomer_finds_set_up_tests_style_and_releases() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert headings == ["Set-up", "Tests", "Style", "Releases"]
    assert "CONTRIBUTING.md" in (ROOT / "README.md").read_text()
