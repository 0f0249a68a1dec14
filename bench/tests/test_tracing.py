"""The benchmark of traces: its cases and its table."""

from bench.tracing import CASES, GUNICORN, report, settings
from pillarbox_otel import variables
from pillarbox_otel.variables import Sampling


def test_the_cases_are_off_a_hundredth_and_all() -> None:
    assert [variables.is_on(settings(share, 4318)) for share in CASES.values()] == [False, True, True]
    for case, ratio in (("one_percent", 0.01), ("all", 1.0)):
        environ = settings(CASES[case], 4318)
        assert variables.problems(environ) == []
        assert variables.sampling(environ) == Sampling("traceidratio", False, ratio)


def test_the_services_run_where_opentelemetry_is_installed() -> None:
    assert GUNICORN.exists()


def test_the_table_compares_each_case_with_off() -> None:
    cpu = {"off": 200.0, "one_percent": 210.0, "all": 300.0}
    header, first, second = report({"api_cpu_us": cpu, "consumer_cpu_us": cpu}).splitlines()
    assert header.split()[-3:] == ["off", "one_percent", "all"]
    assert "210.0 (+5.0 %)" in first
    assert second.startswith("consumer ")
    assert second.endswith("300.0 (+50.0 %)")
