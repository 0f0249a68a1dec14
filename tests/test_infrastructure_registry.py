"""The lifecycle of images, evaluated by the rules of the Amazon ECR user guide."""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml

from common.testing.emulator import ROOT
from tests.test_infrastructure_template import TemplateLoader

TEMPLATE = yaml.load((ROOT / "infrastructure/registry.yaml").read_text(), TemplateLoader)  # noqa: S506  # plain values
REPOSITORIES = sorted(TEMPLATE["Resources"])


@dataclass(frozen=True)
class Image:
    """A manifest: digest, day of its push, tags, and the manifests that it contains as an index."""

    digest: str
    day: int
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def rules(repository: str, **values: int) -> list[dict[str, Any]]:
    """Return the rules by priority, with the template's defaults for the parameters that are not given."""
    text: str = TEMPLATE["Resources"][repository]["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"]["Sub"]
    for name, parameter in TEMPLATE["Parameters"].items():
        text = text.replace(f"${{{name}}}", str(values.get(name, parameter["Default"])))
    return sorted(json.loads(text)["rules"], key=lambda rule: int(rule["rulePriority"]))


def matches(image: Image, selection: dict[str, Any]) -> bool:
    if selection["tagStatus"] == "untagged":
        return not image.tags
    patterns = selection["tagPatternList"]
    return all(any(fnmatchcase(tag, pattern) for tag in image.tags) for pattern in patterns)


def too_old(candidates: list[Image], selection: dict[str, Any], today: int) -> list[Image]:
    if selection["countType"] == "sinceImagePushed":
        return [image for image in candidates if today - image.day > selection["countNumber"]]
    return sorted(candidates, key=lambda image: -image.day)[selection["countNumber"] :]


def kept(images: list[Image], policy: list[dict[str, Any]], today: int) -> set[str]:
    """Return the digests that are kept after one evaluation.

    A rule expires no image that matches the tags of a rule of higher priority, and none that an index contains.
    """
    named = {digest for image in images for digest in image.names}
    claimed: set[str] = set()
    expired: set[str] = set()
    for rule in policy:
        candidates = [image for image in images if matches(image, rule["selection"])]
        for image in too_old(candidates, rule["selection"], today):
            if image.digest not in claimed | named:
                expired.add(image.digest)
        claimed |= {image.digest for image in candidates}
    return {image.digest for image in images} - expired


def builds(first_day: int, count: int, *tags: str) -> list[Image]:
    return [
        Image(f"build-{day}", day, (f"sha{day}", *(f"{tag}-sha{day}" for tag in tags)))
        for day in range(first_day, first_day + count)
    ]


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_what_production_runs_stays_however_many_branches_are_built(repository: str) -> None:
    running = Image("running", 0, ("sha0", "env-prod-sha0"))
    left = kept([running, *builds(1, 1000)], rules(repository), today=1001)
    assert "running" in left
    assert len(left) == 101, "the other builds go but for the newest hundred"


@pytest.mark.parametrize("repository", REPOSITORIES)
@pytest.mark.parametrize("elsewhere", ["env-dev", "env-staging"])
def test_deployments_elsewhere_do_not_use_up_the_count_of_production(repository: str, elsewhere: str) -> None:
    running = Image("running", 0, ("sha0", "env-prod-sha0"))
    assert "running" in kept([running, *builds(1, 500, elsewhere)], rules(repository), today=501)


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_what_dev_runs_stays_while_other_environments_deploy(repository: str) -> None:
    running = Image("running", 0, ("sha0", "env-dev-sha0"))
    assert "running" in kept([running, *builds(1, 500, "env-staging")], rules(repository), today=501)


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_old_releases_of_production_go_one_day(repository: str) -> None:
    left = kept(builds(1, 80, "env-prod"), rules(repository, KeptProductionImages=10), today=81)
    assert left == {f"build-{day}" for day in range(71, 81)}


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_the_platforms_of_an_image_stay_as_long_as_its_index(repository: str) -> None:
    index = Image("index", 0, ("sha0", "env-prod-sha0"), names=("amd64", "arm64", "attestation"))
    parts = [Image(name, 0) for name in index.names]
    assert kept([index, *parts], rules(repository), today=400) == {"index", *index.names}
    assert kept(parts, rules(repository), today=400) == set(), "an index that is gone leaves nothing behind"


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_platforms_do_not_count_as_builds(repository: str) -> None:
    images = [
        image
        for day in range(100)
        for image in (
            Image(f"index-{day}", day, (f"sha{day}",), (f"amd64-{day}", f"arm64-{day}")),
            Image(f"amd64-{day}", day),
            Image(f"arm64-{day}", day),
        )
    ]
    assert len(kept(images, rules(repository), today=100)) == 300


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_ecr_takes_the_rules(repository: str) -> None:
    policy = rules(repository)
    assert [rule["rulePriority"] for rule in policy] == list(range(1, len(policy) + 1))
    selections = [json.dumps(rule["selection"].get("tagPatternList", "untagged")) for rule in policy]
    assert len(set(selections)) == len(policy), "ECR wants patterns that are unique, and one rule for untagged images"
    assert {rule["action"]["type"] for rule in policy} == {"expire"}
