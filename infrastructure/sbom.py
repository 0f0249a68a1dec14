"""Write the software bill of materials of an image as CycloneDX 1.6 JSON to standard output.

    python infrastructure/sbom.py --tool docker pillarbox/service1-api:TAG

It lists the installed packages of the image: Debian packages (dpkg) and Python distributions. The script runs the
image once to read them, with the image's own Python. buildx attaches its own SBOM to pushed images; this one works
with every container tool and is archived beside the digests.
"""

import argparse
import json
import subprocess
import sys
import uuid
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # the namespace of URLs in RFC 9562

# Runs inside the image: prints dpkg's status file, os-release, and the distributions of each environment.
PROBE = """
import glob, importlib.metadata as metadata, json, pathlib, sys
def text(path):
    return pathlib.Path(path).read_text(encoding="utf-8") if pathlib.Path(path).exists() else ""
paths = sorted(set(sys.path) | set(glob.glob("/opt/*/lib/python*/site-packages")))
print(json.dumps({
    "dpkg": text("/var/lib/dpkg/status"), "release": text("/etc/os-release"),
    "python": sorted({(d.metadata["Name"], d.version) for d in metadata.distributions(path=paths)}),
}))
"""


def probe(tool: str, image: str) -> dict[str, Any]:
    """Return the image's package data. Raise CalledProcessError if it cannot run."""
    command = [tool, "run", "--rm", "--entrypoint", "python", image, "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # the operator names the tool
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def fields(text: str, separator: str) -> dict[str, str]:
    """Return the fields of a block of "name<separator>value" lines; continuation lines are ignored."""
    pairs = (line.partition(separator) for line in text.splitlines() if separator in line and not line[0].isspace())
    return {name: value.strip().strip('"') for name, _, value in pairs}


def debian_components(status: str, release: str) -> list[dict[str, Any]]:
    """Return the installed packages of dpkg's status file."""
    system = fields(release, "=")
    distribution = f"{system.get('ID', 'debian')}-{system.get('VERSION_ID', '')}"
    found = []
    for block in status.split("\n\n"):
        package = fields(block, ":")
        if package.get("Status") != "install ok installed":
            continue
        name, version = package["Package"], package["Version"]
        source = f"pkg:deb/{system.get('ID', 'debian')}/{quote(name)}@{quote(version)}"
        purl = f"{source}?arch={package['Architecture']}&distro={quote(distribution)}"
        found.append(component(name, version, purl))
    return found


def python_components(distributions: list[list[str]]) -> list[dict[str, Any]]:
    """Return the Python distributions; names are normalised like on PyPI."""
    return [
        component(name, version, f"pkg:pypi/{quote(name.lower().replace('_', '-').replace('.', '-'))}@{quote(version)}")
        for name, version in distributions
    ]


def component(name: str, version: str, purl: str) -> dict[str, Any]:
    """Return the entry of one package."""
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def bill(image: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of materials; it depends only on the arguments."""
    components = debian_components(answer["dpkg"], answer["release"]) + python_components(answer["python"])
    components.sort(key=lambda each: str(each["bom-ref"]))
    name, _, tag = image.rpartition(":")
    serial = uuid.uuid5(NAMESPACE, json.dumps([image, components]))
    subject = {"type": "container", "bom-ref": image, "name": PurePosixPath(name).name, "version": tag}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial.urn,
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
    }


def main() -> int:
    """Print the bill of materials of an image. Exit codes: 0 printed, 1 the image cannot be read."""
    parser = argparse.ArgumentParser(description="Write the bill of materials of an image as CycloneDX JSON.")
    parser.add_argument("--tool", default="docker", help="docker or podman; buildah runs no images")
    parser.add_argument("image", help="name:tag of an image that the tool has")
    arguments = parser.parse_args()
    try:
        answer = probe(arguments.tool, arguments.image)
    except (OSError, subprocess.CalledProcessError) as exc:
        print(
            f"sbom.py: {arguments.image} cannot be read: {exc} {getattr(exc, 'stderr', '') or ''}".rstrip(),
            file=sys.stderr,
        )
        return 1
    json.dump(bill(arguments.image, answer), sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
