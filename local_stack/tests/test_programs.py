"""The programs of the stack: the environment that each gets, and what takes precedence in it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from local_stack.processes import Process
from local_stack.programs import Options, Programs

RESOURCES = {"SQS_QUEUE_URL": "http://127.0.0.1:4566/1/emails", "S3_BUCKET_NAME": "archive"}


def environment_of(process: Process) -> Mapping[str, str]:
    return process._environment


def test_aws_settings_of_the_user_reach_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-real-one")
    programs = Programs(Options(tmp_path, emulator_port=4600))
    for process in (
        programs.emulator(),
        programs.api("a", 1, RESOURCES, {}),
        programs.consumer("c", 2, RESOURCES, {}),
        programs.page({}, "x"),
    ):
        aws = {name: value for name, value in environment_of(process).items() if name.startswith("AWS_")}
        assert aws == programs.aws | {"AWS_EC2_METADATA_DISABLED": "true"}
        assert aws["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4600"


def test_programs_on_this_machine_are_called_without_a_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("no_proxy", raising=False)
    environment = environment_of(Programs(Options(tmp_path)).api("a", 1, {}, {}))
    assert environment["NO_PROXY"] == "example.com,127.0.0.1,localhost"
    assert environment["no_proxy"] == "127.0.0.1,localhost"


def test_service_gets_its_resources_and_its_port_on_loopback(tmp_path: Path) -> None:
    process = Programs(Options(tmp_path)).api("service1-api", 8099, RESOURCES, {})
    environment = environment_of(process)
    assert environment.items() >= RESOURCES.items()
    assert (environment["BIND_HOST"], environment["PORT"], environment["DRAIN_SECONDS"]) == ("127.0.0.1", "8099", "0")
    assert process.ready_url == "http://127.0.0.1:8099/ready"


def test_page_gets_the_resources_and_its_secret_not_by_its_arguments(tmp_path: Path) -> None:
    process = Programs(Options(tmp_path, ui_port=8099)).page(RESOURCES, "the-secret")
    assert environment_of(process).items() >= {**RESOURCES, "UI_TOKEN": "the-secret"}.items()
    assert process._command[1:] == ["ui", "--port", "8099"]
    assert process.ready_url == "http://127.0.0.1:8099/ready"


def test_settings_replace_defaults_and_the_options_replace_both(tmp_path: Path) -> None:
    programs = Programs(Options(tmp_path, service_environment={"LANES": "9"}))
    settings = {"LONG_POLL_SECONDS": "2", "LANES": "1", "SQS_QUEUE_URL": "other"}
    environment = environment_of(programs.consumer("c", 1, RESOURCES, settings))
    assert [environment[name] for name in settings] == ["2", "9", "other"]
    assert environment_of(programs.consumer("c", 1, RESOURCES, {}))["LONG_POLL_SECONDS"] == "1"


def test_emulator_keeps_its_state_in_the_directory(tmp_path: Path) -> None:
    environment = environment_of(Programs(Options(tmp_path, emulator_port=4600)).emulator())
    assert environment["S3_DATA_DIR"] == str(tmp_path / "emulator/s3")
    assert (environment["GATEWAY_PORT"], environment["BIND_HOST"]) == ("4600", "127.0.0.1")


def test_services_can_run_in_one_other_environment(tmp_path: Path) -> None:
    programs = Programs(Options(tmp_path, service_programs=Path("/another/bin")))
    processes = (programs.api("a", 1, {}, {}), programs.consumer("c", 2, {}, {}))
    assert [process._command[0] for process in processes] == ["/another/bin/gunicorn", "/another/bin/python"]
    assert "/another/" not in programs.emulator()._command[0]


def test_the_addresses_of_the_services_have_the_ports_of_the_options(tmp_path: Path) -> None:
    options = Options(tmp_path, api_port=1, consumer_port=2, file_intake_port=3)
    assert options.addresses == {
        "API_URL": "http://127.0.0.1:1",
        "CONSUMER_URL": "http://127.0.0.1:2",
        "FILE_INTAKE_URL": "http://127.0.0.1:3",
    }
