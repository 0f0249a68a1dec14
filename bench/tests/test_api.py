"""The report of the API's benchmark, and the requests that it sends."""

import json

import pytest

from bench import api


def test_report_has_a_row_for_each_figure_and_the_ratios_of_cpu() -> None:
    cases = {
        "pillarbox": {"cpu_us": 400.0, "rps": 2500.0},
        "naive": {"cpu_us": 1200.0, "rps": 800.0},
        "flask_constant": {"cpu_us": 200.0, "rps": 4500.0},
    }
    title, cpu, rate, ratios = api.report(cases).splitlines()
    assert title.split() == ["pillarbox", "naive", "flask_constant"]
    assert cpu.split() == ["cpu_us", "400.00", "1200.00", "200.00"]
    assert rate.split() == ["rps", "2500.00", "800.00", "4500.00"]
    assert ratios == "CPU: 2.00 times the constant, 3.00 times cheaper than the naive version"


@pytest.mark.parametrize("size", [500, 2048, 100_000])
def test_email_of_a_request_has_about_the_requested_size(size: int) -> None:
    email = json.loads(api.request_body(size))["data"]
    assert size * 0.9 < len(json.dumps(email)) < size * 1.1
