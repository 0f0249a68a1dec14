"""The Dockerfiles and their build context: small, locked dependencies, no root user, no shell form."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

import bench.api
import bench.consumer_run
from common.testing.emulator import ROOT

SERVICES = ("service1-api", "service2-consumer")
BASE = "python:3.13-slim-trixie"
ALLOWED = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def instructions(service: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments; continued lines are joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / service / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def final_stage(service: str) -> list[tuple[str, str]]:
    all_of_them = instructions(service)
    start = max(index for index, (name, _) in enumerate(all_of_them) if name == "FROM")
    return all_of_them[start:]


def the(name: str, service: str) -> str:
    (argument,) = (rest for instruction, rest in final_stage(service) if instruction == name)
    return argument


@pytest.mark.parametrize("service", SERVICES)
def test_hadolint_has_nothing_to_say(service: str) -> None:
    command = [str(ROOT / ".venvs/dev/bin/hadolint"), f"{service}/Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("service", SERVICES)
def test_both_stages_start_from_the_same_slim_base(service: str) -> None:
    bases = [rest.split()[0] for name, rest in instructions(service) if name == "FROM"]
    assert bases == ["${BASE_IMAGE}", "${BASE_IMAGE}"]
    assert instructions(service)[0] == ("ARG", f"BASE_IMAGE={BASE}")


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_installed_that_is_not_locked(service: str) -> None:
    locked, own = (rest for name, rest in instructions(service) if name == "RUN" and "pip --python" in rest)
    assert ("ARG", "REQUIREMENTS=requirements.txt") in instructions(service)
    assert ("COPY", f"{service}/${{REQUIREMENTS}} /build/requirements.txt") in instructions(service)
    assert "--require-hashes --requirement /build/requirements.txt" in locked
    assert f"--no-deps ./common ./{service}" in own


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_with_opentelemetry_has_the_same_versions_of_all_else(service: str) -> None:
    plain, tracing = (pins(service, lock) for lock in ("requirements.txt", "requirements-tracing.txt"))
    assert plain.items() <= tracing.items()
    added = {name for name in tracing if name not in plain}
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"} <= added
    assert not [name for name in plain if name.startswith("opentelemetry") or name == "protobuf"]


def pins(service: str, lock: str) -> dict[str, str]:
    """The version that a lock holds for each package."""
    found = re.findall(r"^([a-z0-9-]+)(?:\[[a-z,-]+\])?==([^ ;]+)", (ROOT / service / lock).read_text(), re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_runs_as_an_unprivileged_user_by_number(service: str) -> None:
    assert the("USER", service) == "1000:1000"  # Kubernetes can check runAsNonRoot only for a numeric user


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("instruction", ["CMD", "HEALTHCHECK"])
def test_no_shell_stands_between_a_signal_and_the_process(service: str, instruction: str) -> None:
    command = ast.literal_eval(re.sub(r"^.*?(?=\[)", "", the(instruction, service), count=1))
    assert command[0] in {"gunicorn", "python"}


@pytest.mark.parametrize("service", SERVICES)
def test_the_final_stage_takes_nothing_but_the_environment_and_the_server_s_settings(service: str) -> None:
    copied = [rest for name, rest in final_stage(service) if name in {"COPY", "ADD", "RUN"}]
    assert copied[0] == f"--from=build /opt/{service} /opt/{service}"
    assert copied[1:] == (["service1-api/gunicorn.conf.py /app/"] if service == "service1-api" else [])


@pytest.mark.parametrize("service", SERVICES)
def test_botocore_keeps_the_description_of_each_aws_service_that_is_called(service: str) -> None:
    (pruning,) = (rest for name, rest in instructions(service) if name == "RUN" and "botocore/data" in rest)
    kept = set(re.findall(r"! -name (\S+)", pruning))
    source = "".join(path.read_text() for path in (ROOT / service / "src").rglob("*.py"))
    called = set(re.findall(r'\.(?:create_)?client\(\s*"([a-z0-9-]+)"', source))
    assert kept == called | {"sts"}  # credentials of a service account come from STS


def test_only_what_is_named_reaches_a_build() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    for path in ALLOWED:
        assert (ROOT / path).exists()
        assert not Path(path).name.startswith(".")


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_dockerfile_copies_is_allowed(service: str) -> None:
    sources = [
        source
        for name, rest in instructions(service)
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert sources
    locks = ("requirements.txt", "requirements-tracing.txt")
    for source in {source.replace("${REQUIREMENTS}", lock) for source in sources for lock in locks}:
        assert any(path == source or path.startswith(f"{source}/") for path in ALLOWED)


def test_each_package_has_all_that_its_build_reads() -> None:
    for package in ("common", *SERVICES):
        assert {f"{package}/pyproject.toml", f"{package}/src"} <= set(ALLOWED)


@pytest.mark.parametrize(
    ("service", "measured"),
    [
        ("service1-api", bench.api.IMAGE_ENVIRONMENT),
        ("service2-consumer", bench.consumer_run.IMAGE_ENVIRONMENT),
    ],
)
def test_the_benchmark_runs_a_service_with_the_allocator_of_its_image(service: str, measured: dict[str, str]) -> None:
    """Memory was measured with these settings; without them it grows."""
    assert all(f"{name}={value}" in the("ENV", service).split() for name, value in measured.items())
    assert set(measured) == {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"}
