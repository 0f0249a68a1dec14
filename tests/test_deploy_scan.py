"""The step `scan`: ECR's findings on each platform's image decide whether the release continues."""

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.testing.emulator import ROOT
from infrastructure.deploy import scan_findings
from tests.deploy.functions import Functions, ecr_error

Judge = Callable[[dict[str, Any], str], tuple[int, str]]

INDEX_DIGEST, AMD64, ARM64 = (f"sha256:{digit * 64}" for digit in "0ab")
INDEX: dict[str, Any] = {
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {"digest": AMD64, "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": ARM64, "platform": {"os": "linux", "architecture": "arm64"}},
        {
            "digest": f"sha256:{'c' * 64}",
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        },
    ],
}
TODAY = datetime.now(UTC).date()
TOMORROW, YESTERDAY = TODAY + timedelta(days=1), TODAY - timedelta(days=1)


def basic(*findings: tuple[str, str], status: str = "COMPLETE") -> dict[str, Any]:
    """Return an answer of basic scanning with findings (name, severity)."""
    listed = [
        {
            "name": name,
            "severity": severity,
            "attributes": [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "3.5.1"}],
        }
        for name, severity in findings
    ]
    return {"imageScanStatus": {"status": status, "description": "why"}, "imageScanFindings": {"findings": listed}}


def enhanced(*findings: tuple[str, str, str]) -> dict[str, Any]:
    """Return an answer of enhanced scanning with findings (name, severity, status)."""
    listed = [
        {
            "title": f"{name} - flask",
            "severity": severity,
            "status": status,
            "packageVulnerabilityDetails": {
                "vulnerabilityId": name,
                "vulnerablePackages": [{"name": "flask", "version": "3.1.0"}, {"name": "werkzeug", "version": "3.1.1"}],
            },
        }
        for name, severity, status in findings
    ]
    return {"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": {"enhancedFindings": listed}}


def answer_manifest(functions: Functions, manifest: dict[str, Any]) -> None:
    stored = {"imageId": {"imageDigest": INDEX_DIGEST}, "imageManifest": json.dumps(manifest)}
    functions.answer("batch-get-image", {"images": [stored]})


@pytest.fixture
def functions(tmp_path: Path) -> Functions:
    """deploy.sh's functions with a registry that has the images for one platform, without findings."""
    functions = Functions(tmp_path)
    functions.answer("describe-images", text=INDEX_DIGEST)
    answer_manifest(functions, INDEX | {"manifests": INDEX["manifests"][:1]})
    functions.answer("describe-image-scan-findings", basic())
    return functions


def exceptions_file(folder: Path, text: str) -> Path:
    path = folder / "exceptions.txt"
    path.write_text(text)
    return path


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Judge:
    """Runs the command `judge` in this process: takes ECR's answer and the exceptions, returns exit code and output."""

    def run(answer: dict[str, Any], exceptions: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(answer)))
        path = exceptions_file(tmp_path, exceptions)
        code = scan_findings.main(["judge", "service1-api (linux/amd64)", str(path)])
        return code, capsys.readouterr().out

    return run


def test_images_without_critical_findings_pass(functions: Functions) -> None:
    functions.answer("describe-image-scan-findings", basic(("CVE-2026-2", "HIGH"), ("CVE-2026-3", "LOW")))
    run = functions.run("step_scan")
    assert run.code == 0, run.said
    for image in ("service1-api", "service2-consumer", "ops"):
        assert f"{image} (linux/amd64): 1 HIGH, 1 LOW" in run.said


def test_each_platform_s_image_is_asked_for_and_no_attestation(functions: Functions) -> None:
    answer_manifest(functions, INDEX)
    run = functions.run("scan_service", "ops")
    asked = [call for call in run.calls if "describe-image-scan-findings" in call]
    assert [call.split("imageDigest=")[1].split()[0] for call in asked] == [AMD64, ARM64]


def test_an_image_without_an_index_is_its_own_only_platform(functions: Functions) -> None:
    answer_manifest(functions, {"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {}})
    run = functions.run("scan_service", "ops")
    assert run.code == 0, run.said
    (asked,) = [call for call in run.calls if "describe-image-scan-findings" in call]
    assert f"imageDigest={INDEX_DIGEST} " in asked


def test_a_critical_finding_fails_the_step_and_is_named_with_its_package(functions: Functions) -> None:
    functions.answer("describe-image-scan-findings", basic(("CVE-2026-1", "CRITICAL")), where="service2-consumer")
    run = functions.run("step_scan")
    assert run.code == 1
    assert "service2-consumer (linux/amd64): 1 CRITICAL" in run.said
    assert "CRITICAL CVE-2026-1 in openssl 3.5.1" in run.said
    assert "ops (linux/amd64): no findings" in run.said, "the images after it are judged too"
    assert "infrastructure/scan-exceptions.txt" in run.said


def test_a_critical_finding_of_one_platform_refuses_the_image(functions: Functions) -> None:
    answer_manifest(functions, INDEX)
    functions.answer("describe-image-scan-findings", basic(("CVE-2026-1", "CRITICAL")), where=AMD64)
    run = functions.run("scan_service", "ops")
    assert run.code == 1
    assert "ops (linux/amd64): 1 CRITICAL" in run.said
    assert "ops (linux/arm64): no findings" in run.said


@pytest.mark.parametrize("answer", [basic(("CVE-2026-1", "CRITICAL")), enhanced(("CVE-2026-1", "CRITICAL", "ACTIVE"))])
def test_a_critical_finding_of_either_scanning_is_refused(answer: dict[str, Any], judge: Judge) -> None:
    code, said = judge(answer, "")
    assert code == 1
    assert said.startswith("service1-api (linux/amd64): 1 CRITICAL\n")
    assert "CRITICAL CVE-2026-1 in " in said


@pytest.mark.parametrize("status", ["SUPPRESSED", "CLOSED"])
def test_a_finding_that_inspector_no_longer_counts_is_not_counted(status: str, judge: Judge) -> None:
    code, said = judge(enhanced(("CVE-2026-1", "CRITICAL", status)), "")
    assert (code, said) == (0, "service1-api (linux/amd64): no findings\n")


def test_an_exception_accepts_a_finding_up_to_its_last_day(judge: Judge) -> None:
    for last_day, expected in ((TOMORROW, 0), (TODAY, 0), (YESTERDAY, 1)):
        exceptions = f"# a comment\n\nCVE-2026-1 {last_day} no XML is parsed here\n"
        code, said = judge(basic(("CVE-2026-1", "CRITICAL")), exceptions)
        assert code == expected, said
    assert f"its exception ended on {YESTERDAY}" in said


def test_an_exception_lets_the_step_pass_and_shows_its_reason(functions: Functions, tmp_path: Path) -> None:
    functions.answer("describe-image-scan-findings", basic(("CVE-2026-1", "CRITICAL")))
    path = exceptions_file(tmp_path, f"CVE-2026-1 {TOMORROW} no XML is parsed here\n")
    run = functions.run("scan_service", "ops", SCAN_EXCEPTIONS=str(path))
    assert run.code == 0, run.said
    assert f"accepted until {TOMORROW}: no XML is parsed here" in run.said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("CVE-2026-1\n", "expected FINDING YYYY-MM-DD REASON"),
        ("CVE-2026-1 2026-12-31\n", "expected FINDING YYYY-MM-DD REASON"),
        ("CVE-2026-1 soon it is fixed\n", "expected FINDING YYYY-MM-DD REASON"),
        ("CVE-2026-1 2026-13-31 reason\n", "month must be in 1..12"),
        ("CVE-2026-1 2026-12-31 a\nCVE-2026-1 2027-12-31 b\n", ":2: CVE-2026-1 is listed twice"),
    ],
)
def test_a_wrong_exception_is_named_with_its_line(text: str, complaint: str, judge: Judge) -> None:
    code, said = judge(basic(), text)
    assert code == 2
    assert complaint in said


def test_a_wrong_exception_fails_the_step(functions: Functions, tmp_path: Path) -> None:
    run = functions.run("step_scan", SCAN_EXCEPTIONS=str(exceptions_file(tmp_path, "CVE-2026-1\n")))
    assert run.code == 1
    assert ":1: expected FINDING YYYY-MM-DD REASON" in run.said
    assert "the exceptions cannot be read" in run.said


def test_the_committed_exceptions_are_well_formed() -> None:
    assert isinstance(scan_findings.read_exceptions(ROOT / "infrastructure/scan-exceptions.txt"), dict)


def test_it_waits_until_the_scan_is_finished(functions: Functions) -> None:
    functions.answer("describe-image-scan-findings", basic(status="PENDING"), basic(status="IN_PROGRESS"), basic())
    run = functions.run("scan_service", "ops", SCAN_POLL_SECONDS="0")
    assert run.code == 0, run.said
    assert len([call for call in run.calls if "describe-image-scan-findings" in call]) == 3


def test_a_scan_that_never_ends_fails_the_step(functions: Functions) -> None:
    functions.answer("describe-image-scan-findings", basic(status="IN_PROGRESS"))
    run = functions.run("step_scan", SCAN_POLL_SECONDS="0", SCAN_TIMEOUT_SECONDS="0")
    assert run.code == 1
    assert "ECR did not finish the scan of service1-api" in run.said


def test_a_scan_is_started_once_where_there_is_none(functions: Functions) -> None:
    missing = ecr_error("ScanNotFoundException")
    functions.answer("describe-image-scan-findings", missing, missing, basic())
    run = functions.run("scan_service", "ops", SCAN_POLL_SECONDS="0")
    assert run.code == 0, run.said
    assert len([call for call in run.calls if "start-image-scan" in call]) == 1


def test_a_registry_that_refuses_to_start_a_scan_is_waited_for(functions: Functions) -> None:
    functions.answer("describe-image-scan-findings", ecr_error("ScanNotFoundException"), enhanced())
    functions.answer("start-image-scan", ecr_error("ValidationException"))
    run = functions.run("scan_service", "ops", SCAN_POLL_SECONDS="0")
    assert run.code == 0, run.said
    assert "none can be started" in run.said
    assert "ValidationException" in run.said


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED", "FINDINGS_UNAVAILABLE"])
def test_a_scan_that_cannot_be_finished_is_told_from_one_that_goes_on(status: str) -> None:
    assert scan_findings.state(basic(status=status)) == f"failed {status}: why"


def test_an_image_that_cannot_be_scanned_is_refused_with_ecr_s_reason(functions: Functions) -> None:
    functions.answer("describe-image-scan-findings", basic(status="UNSUPPORTED_IMAGE"))
    run = functions.run("step_scan")
    assert run.code == 1
    assert "UNSUPPORTED_IMAGE: why" in run.said


def test_a_registry_that_does_not_answer_is_no_pass(functions: Functions) -> None:
    functions.answer("describe-image-scan-findings", ecr_error("AccessDeniedException"))
    run = functions.run("step_scan")
    assert run.code == 1
    assert "AccessDeniedException" in run.said


def test_an_image_that_was_never_pushed_cannot_be_scanned(functions: Functions) -> None:
    functions.answer("describe-images", ecr_error("ImageNotFoundException"))
    run = functions.run("step_scan")
    assert run.code == 1
    assert "the registry has no image pillarbox/service1-api:v1" in run.said


def test_a_dry_run_asks_for_no_scan(functions: Functions) -> None:
    run = functions.run("step_scan", DRY_RUN="yes")
    assert (run.code, run.calls) == (0, [])
