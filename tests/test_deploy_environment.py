"""k8s/environments: a file contains everything that differs between environments; errors name the line."""

import re
import subprocess
from pathlib import Path

import pytest

from common.testing.emulator import ROOT

FOLDER = ROOT / "k8s/environments"
KEYS = set(re.findall(r"^  key ([A-Z_]+) ", (ROOT / "infrastructure/deploy/environment.sh").read_text(), re.MULTILINE))
COMPLETE = "AWS_ACCOUNT_ID=123456789012\nAWS_REGION=eu-west-1\n"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
HTTPS = f"CERTIFICATE_ARN={CERTIFICATE}\nAPI_HOST_NAME=mail.example.com"


def deploy(tmp_path: Path, text: str, *options: str, name: str = "dev") -> subprocess.CompletedProcess[str]:
    """Run deploy.sh with the text as environment file, without access to AWS."""
    (tmp_path / f"{name}.env").write_text(text)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ENVIRONMENTS_FOLDER": str(tmp_path)}
    return subprocess.run(
        [str(ROOT / "deploy.sh"), "--environment", name, "--image-tag", "v1", *(options or ("--only", "check"))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true"},
    )


def test_both_environments_name_every_key_and_hold_no_account() -> None:
    for name in ("dev", "prod"):
        lines = (FOLDER / f"{name}.env").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        assert set(values) == KEYS
        for key in ("AWS_ACCOUNT_ID", "AWS_REGION", "CERTIFICATE_ARN", "API_HOST_NAME", "DEPLOY_ROLE_ARN"):
            assert values[key] == ""


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_check_names_what_a_fresh_environment_lacks_one_a_line(name: str, tmp_path: Path) -> None:
    done = deploy(tmp_path, (FOLDER / f"{name}.env").read_text(), name=name)
    lines = done.stderr.splitlines()
    missing = ["AWS_ACCOUNT_ID", "AWS_REGION", *(["CERTIFICATE_ARN", "API_HOST_NAME"] if name == "prod" else [])]
    assert [re.match(rf"{tmp_path}/{name}\.env: (\w+) is empty", line)[1] for line in lines[:-1]] == missing  # type: ignore[index]
    assert lines[-1] == f"deploy.sh: the environment {name} is not complete (see the lines above)"
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("EKS CLUSTER=x", 'expected KEY=VALUE or a comment, got "EKS CLUSTER=x"'),
        ("export EKS_CLUSTER=x", "expected KEY=VALUE or a comment"),
        ("EKS_CLUSTRE=x", "unknown key EKS_CLUSTRE"),
        ("AWS_REGION=eu-west-2", "AWS_REGION is set already in line 2"),
        ("API_MIN_REPLICAS=two", 'API_MIN_REPLICAS: expected a whole number from 1 to 999, got "two"'),
        ("API_MIN_REPLICAS=0", "API_MIN_REPLICAS: expected a whole number"),
        ("API_MIN_REPLICAS=2 # pods", "API_MIN_REPLICAS: expected a whole number"),
        ('EKS_CLUSTER="quoted"', "EKS_CLUSTER: expected the name of an EKS cluster"),
        ("EKS_CLUSTER=$(touch /tmp/x)", "EKS_CLUSTER: expected the name of an EKS cluster"),
        ("ALB_SCHEME=public", "ALB_SCHEME: expected internet-facing or internal"),
        ("ALB_SUBNETS=subnet-1", "ALB_SUBNETS: expected two or more subnets"),
        ("COMPONENTS=keda", "COMPONENTS: expected fixed-replicas, service-monitor"),
        ("RUNBOOK_URL=docs/operations.md", "RUNBOOK_URL: expected the address of docs/operations.md"),
        ("API_SETTING_OTEL_EXPORTER_OTLP_HEADERS=a=b", "OTEL_EXPORTER_OTLP_HEADERS may hold a secret"),
        ("CONSUMER_SETTING_OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS may hold"),
        ("PLATFORMS=linux/386", "PLATFORMS: expected linux/amd64"),
        ("LOG_LEVEL=debug", "LOG_LEVEL: expected DEBUG"),
        ("TAGS=Team", "TAGS: expected tags such as"),
        ("STACK_MaxReceives=5", "infrastructure/pipeline.yaml has no parameter MaxReceives"),
        ("API_SETTING_LANES=2", "service1-api reads no setting LANES"),
        ("CONSUMER_SETTING_S3_PREFIX=x/", "S3_PREFIX comes from the stack"),
        ("FILE_INTAKE=true", 'FILE_INTAKE: expected yes or no, got "true"'),
        ("FILE_INTAKE_SETTING_LANE=2", "service2-consumer reads no setting LANE"),
        ("API_SETTING_STATUS_BUCKET=x", "STATUS_BUCKET comes from the stack"),
        ("API_SETTING_STATUS_OBJECT_LAYOUT=batch", "STATUS_OBJECT_LAYOUT comes from the stack"),
        ("FILE_INTAKE_SETTING_INBOX_BUCKET_NAME=x", "INBOX_BUCKET_NAME comes from the stack"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_expected_and_exit_code_2(line: str, complaint: str, tmp_path: Path) -> None:
    done = deploy(tmp_path, f"{COMPLETE}# a comment\n\n{line}\n")
    assert done.stderr.startswith(f"deploy.sh: {tmp_path}/dev.env:5: {complaint}")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("API_MIN_REPLICAS=11", "API_MIN_REPLICAS (11) is more than API_MAX_REPLICAS (10)"),
        ("CONSUMER_MIN_REPLICAS=21", "CONSUMER_MIN_REPLICAS (21) is more than CONSUMER_MAX_REPLICAS (20)"),
        ("CONSUMER_MAX_REPLICAS=1", "KEDA_FALLBACK_REPLICAS (2) is more than CONSUMER_MAX_REPLICAS (1)"),
        ("FILE_INTAKE_MIN_REPLICAS=21", "FILE_INTAKE_MIN_REPLICAS (21) is more than FILE_INTAKE_MAX_REPLICAS (20)"),
        (f"CERTIFICATE_ARN={CERTIFICATE}", "CERTIFICATE_ARN needs API_HOST_NAME"),
        ("API_HOST_NAME=mail.example.com", "API_HOST_NAME needs CERTIFICATE_ARN"),
        ("COMPONENTS=probe\nSTACK_StatusRoute=true", "COMPONENTS: probe needs CERTIFICATE_ARN and API_HOST_NAME"),
        (f"COMPONENTS=probe\n{HTTPS}", "COMPONENTS: probe needs STACK_StatusRoute=true"),
        (f"COMPONENTS=probe\n{HTTPS}\nSTACK_StatusRoute=false", "COMPONENTS: probe needs STACK_StatusRoute=true"),
        (
            "COMPONENTS=fixed-replicas\nFILE_INTAKE_SETTING_OTEL_EXPORTER_OTLP_ENDPOINT=http://otel:4318",
            "FILE_INTAKE_SETTING_OTEL_EXPORTER_OTLP_ENDPOINT needs COMPONENTS=tracing",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_refused(lines: str, complaint: str, tmp_path: Path) -> None:
    done = deploy(tmp_path, f"{COMPLETE}{lines}\n")
    assert done.stderr.startswith(f"deploy.sh: {complaint}")
    assert done.returncode == 2


def test_the_probe_is_taken_with_https_and_the_status_route_of_file_or_command_line(tmp_path: Path) -> None:
    by_file = deploy(tmp_path, f"AWS_REGION=eu-west-1\nCOMPONENTS=probe\n{HTTPS}\nSTACK_StatusRoute=true\n")
    by_options = deploy(
        tmp_path,
        f"AWS_REGION=eu-west-1\n{HTTPS}\nSTACK_StatusRoute=false\n",
        *("--only", "check", "--component", "probe", "--parameter", "StatusRoute=true"),
    )
    for done in (by_file, by_options):
        assert done.stderr.startswith(f"{tmp_path}/dev.env: AWS_ACCOUNT_ID is empty"), done.stderr
        assert done.returncode == 1


def test_prod_is_production_whatever_its_file_says(tmp_path: Path) -> None:
    done = deploy(tmp_path, f"{COMPLETE}OVERLAY=dev\n", name="prod")
    assert done.stderr.startswith("deploy.sh: the environment prod needs OVERLAY=prod")


@pytest.mark.parametrize("step", ["check", "render", "diff", "apply"])
def test_production_is_not_deployed_without_a_certificate(step: str, tmp_path: Path) -> None:
    done = deploy(tmp_path, f"{COMPLETE}OVERLAY=prod\n", "--only", step, "--yes", name="live")
    assert done.returncode == 1
    assert "CERTIFICATE_ARN is empty, and production is not deployed without HTTPS" in done.stderr


def test_an_environment_without_a_file_is_a_usage_error(tmp_path: Path) -> None:
    done = deploy(tmp_path, COMPLETE, "--only", "check", name="dev")
    assert "no file" not in done.stderr
    (tmp_path / "dev.env").unlink()
    command = [str(ROOT / "deploy.sh"), "--environment", "dev", "--only", "check"]
    environment = {"PATH": "/usr/bin:/bin", "ENVIRONMENTS_FOLDER": str(tmp_path)}
    again = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert f"there is no file {tmp_path}/dev.env" in again.stderr
    assert again.returncode == 2


def test_lines_that_end_as_on_windows_are_read(tmp_path: Path) -> None:
    done = deploy(tmp_path, "# a comment\r\nAWS_ACCOUNT_ID=123456789012\r\nAWS_REGION=\r\n")
    assert "AWS_REGION is empty" in done.stderr
    assert "AWS_ACCOUNT_ID" not in done.stderr


def test_a_parameter_of_the_stack_is_found_wherever_the_template_has_it(tmp_path: Path) -> None:
    template = (ROOT / "infrastructure/pipeline.yaml").read_text()
    names = re.findall(r"^  (\w+):$", template[: template.index("\nRules:")], re.MULTILINE)
    assert len(names) > 10
    lines = "".join(f"STACK_{name}=1\n" for name in names)
    done = deploy(tmp_path, f"AWS_REGION=eu-west-1\n{lines}")
    assert "AWS_ACCOUNT_ID is empty" in done.stderr, done.stderr
