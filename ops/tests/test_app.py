from pathlib import Path

import pytest

from pillarbox_ops.app import App
from pillarbox_ops.errors import OpsError
from pillarbox_ops.output import Output


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SQS_QUEUE_URL", "S3_BUCKET_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def test_an_app_reads_its_target_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("S3_BUCKET_NAME=archive\nAWS_REGION=eu-west-1\n")
    app = App(Output("jsonl"), env_file=tmp_path / "x.env")
    assert app.target.bucket == "archive"
    assert app.archive.bucket == "archive"


def test_an_archive_without_a_bucket_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(OpsError, match="S3_BUCKET_NAME is not set"):
        _ = App(Output("jsonl")).archive


def test_an_environment_needs_a_region() -> None:
    with pytest.raises(OpsError, match="AWS_REGION is not set"):
        _ = App(Output("jsonl"), environment="prod").target


def test_an_app_of_another_environment_has_the_same_output() -> None:
    app = App(Output("jsonl"), yes=True)
    other = app.of_environment("prod")
    assert (other.environment, other.output, other.yes) == ("prod", app.output, True)
