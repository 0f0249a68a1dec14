"""Read one value from an image's JSON on standard input: a manifest, an index, metadata of buildx, or ECR's answer.

    image_manifest.py built-digest           buildx metadata -> digest of what was built or pushed
    image_manifest.py built-config           buildx metadata -> digest of the image's configuration
    image_manifest.py config                 manifest        -> digest of the image's configuration
    image_manifest.py platform linux/amd64   index           -> digest of that platform's manifest
    image_manifest.py stored                 answer of batch-get-image -> the manifest, byte for byte
    image_manifest.py stored-type            answer of batch-get-image -> the manifest's media type
    image_manifest.py stored-platforms       answer of batch-get-image -> a line "digest platform" for each image

Attestations (SBOM, provenance) are entries of an index, but not images, and are ignored.
The script needs only the standard library. It ends with exit code 1 if the value is missing.
"""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any


def images(index: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the digest and the platform of each image in an index."""
    for entry in index["manifests"]:
        platform = entry.get("platform", {})
        attests = "vnd.docker.reference.type" in entry.get("annotations", {})
        if attests or platform.get("os") == "unknown":
            continue
        yield entry["digest"], f"{platform.get('os', '?')}/{platform.get('architecture', '?')}"


def platform_digest(index: dict[str, Any], wanted: str) -> str:
    """Return the digest of one platform's manifest. Raise KeyError or ValueError unless the index has exactly one."""
    (digest,) = [digest for digest, platform in images(index) if platform == wanted] or [""]
    if not digest:
        raise KeyError(wanted)
    return digest


def stored_image(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the image of an answer of batch-get-image. Raise ValueError unless there is exactly one."""
    (image,) = answer["images"]
    return dict(image)


def stored_platforms(answer: dict[str, Any]) -> str:
    """Return a line "digest platform" for each image of an index, or "digest -" for a single image."""
    image = stored_image(answer)
    manifest = json.loads(image["imageManifest"])
    if "manifests" not in manifest:
        return f"{image['imageId']['imageDigest']} -\n"
    return "".join(f"{digest} {platform}\n" for digest, platform in images(manifest))


COMMANDS: dict[str, Callable[..., str]] = {
    "built-digest": lambda metadata: str(metadata["containerimage.digest"]),
    "built-config": lambda metadata: str(metadata["containerimage.config.digest"]),
    "config": lambda manifest: str(manifest["config"]["digest"]),
    "platform": platform_digest,
    "stored": lambda answer: str(stored_image(answer)["imageManifest"]),
    "stored-type": lambda answer: str(stored_image(answer).get("imageManifestMediaType", "")),
    "stored-platforms": stored_platforms,
}


def main(arguments: list[str]) -> int:
    """Print the value that the arguments name."""
    command, *rest = arguments
    try:
        sys.stdout.write(COMMANDS[command](json.load(sys.stdin), *rest))
    except (KeyError, TypeError, ValueError) as exc:
        print(f"image_manifest.py {' '.join(arguments)}: not in the input ({exc})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
