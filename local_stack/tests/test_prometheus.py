import json
import os
from pathlib import Path

import pytest

from local_stack.processes import StackError
from local_stack.prometheus import RULES, SERVICES, configuration, new_prometheus, program

PORTS = dict(zip(SERVICES, (1, 2, 3), strict=True))


def test_each_service_is_scraped_with_the_labels_that_the_cluster_gives_it() -> None:
    jobs = json.loads(configuration(PORTS))["scrape_configs"]
    labels = {job["static_configs"][0]["targets"][0]: job["static_configs"][0]["labels"] for job in jobs}
    assert {target: (found["namespace"], found["container"]) for target, found in labels.items()} == {
        "127.0.0.1:1": ("pillarbox", "service1-api"),
        "127.0.0.1:2": ("pillarbox-consumer", "service2-consumer"),
        "127.0.0.1:3": ("pillarbox-consumer", "file-intake"),
    }
    assert all(found["environment"] == "local" and found["pod"] for found in labels.values())


def test_the_rules_are_those_of_the_repository() -> None:
    assert json.loads(configuration(PORTS))["rule_files"] == [str(path) for path in RULES]
    assert all(path.is_file() for path in RULES)


def test_exporters_keep_their_own_labels() -> None:
    *_, job = json.loads(configuration(PORTS, others={"cluster": 4}))["scrape_configs"]
    assert (job["job_name"], job["honor_labels"]) == ("cluster", True)
    assert job["static_configs"] == [{"targets": ["127.0.0.1:4"]}]


def test_a_program_that_is_not_installed_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError, match="apt-get install prometheus"):
        program()


def test_the_process_listens_on_this_machine_alone_and_keeps_its_data_below_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "bin" / "prometheus"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}")
    process = new_prometheus(tmp_path, 9, "configured")
    process.start()
    assert process.wait(10) == 0
    arguments = dict(line.split("=", 1) for line in process.log_path.read_text().splitlines())
    assert arguments["--web.listen-address"] == "127.0.0.1:9"
    assert arguments["--storage.tsdb.path"] == str(tmp_path / "prometheus/data")
    assert Path(arguments["--config.file"]).read_text() == "configured"
