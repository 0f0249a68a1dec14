"""Evaluate ECR's findings about one image: a critical finding without an exception refuses the image.

    scan_findings.py state <answer                         prints wait, done, or "failed" with ECR's reason
    scan_findings.py judge NAME EXCEPTIONS_FILE <answer    prints the findings; exit code 1 refuses the image

The answer is the JSON of `aws ecr describe-image-scan-findings`, of basic or of enhanced scanning (Amazon Inspector).
Exit code 2 means a wrong line in the file of exceptions. The script needs only the standard library.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

WAITING = {"IN_PROGRESS", "PENDING"}
DONE = {"COMPLETE", "ACTIVE"}  # ACTIVE: enhanced scanning continues to scan the image
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED", "UNTRIAGED")
LINE = re.compile(r"(?P<finding>[A-Za-z0-9][A-Za-z0-9:._-]*)\s+(?P<last_day>\d{4}-\d{2}-\d{2})\s+(?P<reason>\S.*)")


class Finding(NamedTuple):
    """One vulnerability of one package."""

    name: str
    severity: str
    package: str


class Acceptance(NamedTuple):
    """An exception: a finding is accepted up to and including its last day."""

    last_day: date
    reason: str


def state(answer: dict[str, Any]) -> str:
    """Return "wait", "done", or "failed" with ECR's status and description."""
    status = answer["imageScanStatus"]["status"]
    if status in WAITING:
        return "wait"
    if status in DONE:
        return "done"
    return f"failed {status}: {answer['imageScanStatus'].get('description', 'no description')}"


def findings(answer: dict[str, Any]) -> Iterator[Finding]:
    """Yield the findings of basic or enhanced scanning, except those that Inspector has suppressed or closed."""
    found = answer.get("imageScanFindings", {})
    for basic in found.get("findings", []):
        attributes = {attribute["key"]: attribute.get("value", "") for attribute in basic.get("attributes", [])}
        package = f"{attributes.get('package_name', '?')} {attributes.get('package_version', '')}".strip()
        yield Finding(basic["name"], basic.get("severity", "UNDEFINED"), package)
    for enhanced in found.get("enhancedFindings", []):
        if enhanced.get("status", "ACTIVE") != "ACTIVE":
            continue
        details = enhanced.get("packageVulnerabilityDetails", {})
        packages = (
            f"{p.get('name', '?')} {p.get('version', '')}".strip() for p in details.get("vulnerablePackages", [])
        )
        name = details.get("vulnerabilityId") or enhanced.get("title", "unnamed")
        yield Finding(name, enhanced.get("severity", "UNTRIAGED"), ", ".join(packages) or "?")


def read_exceptions(path: Path) -> dict[str, Acceptance]:
    """Return the exceptions by finding. Raise ValueError with file and line if a line is wrong."""
    exceptions: dict[str, Acceptance] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise ValueError(f"{path}:{number}: expected FINDING YYYY-MM-DD REASON, got {line!r}")
        if match["finding"] in exceptions:
            raise ValueError(f"{path}:{number}: {match['finding']} is listed twice")
        try:
            last_day = date.fromisoformat(match["last_day"])
        except ValueError as exc:
            raise ValueError(f"{path}:{number}: {exc}") from exc
        exceptions[match["finding"]] = Acceptance(last_day, match["reason"])
    return exceptions


def judge(found: list[Finding], exceptions: dict[str, Acceptance], today: date) -> tuple[list[str], bool]:
    """Return the lines to print, and whether the image is refused."""
    lines, refused = [], False
    for finding in sorted(found, key=lambda each: (each.name, each.package)):
        if finding.severity != "CRITICAL":
            continue
        exception = exceptions.get(finding.name)
        what = f"CRITICAL {finding.name} in {finding.package}"
        if exception and today <= exception.last_day:
            lines.append(f"{what}: accepted until {exception.last_day}: {exception.reason}")
        else:
            refused = True
            lines.append(f"{what}: its exception ended on {exception.last_day}" if exception else what)
    return lines, refused


def summary(found: list[Finding]) -> str:
    """Return the number of findings by severity, such as "2 CRITICAL, 5 LOW"."""
    counts = Counter(finding.severity for finding in found)
    return ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity]) or "no findings"


def main(arguments: list[str]) -> int:
    """Run one of the two commands and return the exit code."""
    answer = json.load(sys.stdin)
    if arguments == ["state"]:
        print(state(answer))
        return 0
    _, name, exceptions_file = arguments
    try:
        exceptions = read_exceptions(Path(exceptions_file))
    except (OSError, ValueError) as exc:
        print(exc)
        return 2
    found = list(findings(answer))
    lines, refused = judge(found, exceptions, datetime.now(UTC).date())
    print(f"{name}: {summary(found)}", *lines, sep="\n  ")
    return int(refused)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
