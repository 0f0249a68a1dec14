"""What is applied is what was approved: the live release may not change between the diff and the apply."""

from pathlib import Path

import pytest

from tests.deploy.functions import Functions


@pytest.fixture
def functions(tmp_path: Path) -> Functions:
    functions = Functions(tmp_path)
    live(functions, release="7", image="api:v1")
    return functions


def live(functions: Functions, release: str, image: str) -> None:
    functions.answer("kubectl get configmap pillarbox-release", text=f"verified uid {release}\n")
    functions.answer("kubectl get deployments", text=f"pillarbox/service1-api {image}\n")


def rendered(folder: Path) -> str:
    path = folder / "rendered.yaml"
    path.write_text("kind: Namespace\n")
    return str(path)


def test_an_unchanged_release_may_be_replaced(functions: Functions, tmp_path: Path) -> None:
    file = rendered(tmp_path)
    assert functions.run("record_live", RENDERED_FILE=file).code == 0
    assert Path(f"{file}.live").read_text() == "verified uid 7\npillarbox/service1-api api:v1\n"
    assert functions.run("require_unchanged", RENDERED_FILE=file).code == 0


@pytest.mark.parametrize(("release", "image"), [("8", "api:v1"), ("7", "api:v2")])
def test_another_release_since_the_diff_refuses_the_apply(
    release: str, image: str, functions: Functions, tmp_path: Path
) -> None:
    file = rendered(tmp_path)
    functions.run("record_live", RENDERED_FILE=file)
    live(functions, release, image)
    run = functions.run("require_unchanged", RENDERED_FILE=file)
    assert run.code == 1
    assert "the live release has changed since the diff that was approved" in run.said


def test_a_file_without_a_diff_cannot_be_applied(functions: Functions, tmp_path: Path) -> None:
    run = functions.run("require_unchanged", RENDERED_FILE=rendered(tmp_path))
    assert run.code == 1
    assert "run --only diff with the same file first" in run.said


@pytest.mark.parametrize("function", ["record_live", "require_unchanged"])
def test_a_cluster_that_does_not_answer_is_no_unchanged_release(
    function: str, functions: Functions, tmp_path: Path
) -> None:
    file = rendered(tmp_path)
    functions.run("record_live", RENDERED_FILE=file)
    functions.answer("kubectl get deployments", "Unable to connect to the server")
    run = functions.run(function, RENDERED_FILE=file)
    assert run.code == 1
    assert "the live release cannot be read" in run.said


def test_only_what_began_to_be_applied_is_rolled_back(functions: Functions, tmp_path: Path) -> None:
    file = rendered(tmp_path)
    assert functions.run("nothing_was_applied", RENDERED_FILE=file).code == 0
    functions.run("mark_applied", RENDERED_FILE=file)
    assert functions.run("nothing_was_applied", RENDERED_FILE=file).code == 1


def test_a_new_render_is_neither_approved_nor_applied(functions: Functions, tmp_path: Path) -> None:
    file = rendered(tmp_path)
    functions.run("record_live", RENDERED_FILE=file)
    functions.run("mark_applied", RENDERED_FILE=file)
    functions.run("forget_approval", RENDERED_FILE=file)
    assert sorted(path.name for path in tmp_path.glob("rendered.yaml*")) == ["rendered.yaml"]


@pytest.mark.parametrize("function", ["forget_approval", "record_live", "require_unchanged", "mark_applied"])
def test_a_run_without_a_file_asks_the_cluster_for_nothing(function: str, functions: Functions) -> None:
    run = functions.run(function)
    assert (run.code, run.calls) == (0, [])


def test_a_roll_back_by_hand_needs_no_file(functions: Functions) -> None:
    assert functions.run("nothing_was_applied").code == 1
