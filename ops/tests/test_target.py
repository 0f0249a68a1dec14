from pathlib import Path

import pytest

from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.target import Target, default_env_file, merged, read_env_file, resolve, variable_names

VARIABLES = {
    "AWS_REGION": "eu-west-1",
    "S3_BUCKET_NAME": "archive",
    "SQS_QUEUE_URL": "http://sqs/1/q",
    "API_TOKEN": "hidden",
}


def _no_stack(_stack: str, _variables: object) -> dict[str, str]:
    raise AssertionError("no stack is asked for")


def test_variables_of_the_services_describe_a_target_with_the_services_defaults() -> None:
    target = Target.from_variables(VARIABLES)
    assert (target.region, target.bucket, target.queue_url) == ("eu-west-1", "archive", "http://sqs/1/q")
    assert (target.prefix, target.environment) == ("messages/", "")
    assert target.template().example.startswith("messages/20")


def test_the_default_region_stands_for_a_missing_region() -> None:
    assert Target.from_variables({"AWS_DEFAULT_REGION": "eu-west-3"}).region == "eu-west-3"


def test_a_token_is_not_shown_by_repr() -> None:
    assert "hidden" not in repr(Target.from_variables(VARIABLES))


def test_a_missing_name_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(OpsError, match=r"SQS_DLQ_URL is not set: the URL of the dead-letter queue\.") as raised:
        Target.from_variables(VARIABLES).need("dead_letter_queue_url")
    assert raised.value.exit_code is ExitCode.USAGE


def test_a_template_that_the_consumer_refuses_is_an_error() -> None:
    with pytest.raises(OpsError, match="S3_KEY_TEMPLATE: must begin with"):
        Target.from_variables(VARIABLES | {"S3_KEY_TEMPLATE": "x/{message_id}"}).template()


def test_the_outputs_of_a_stack_win_and_variables_give_only_what_the_stack_does_not_name() -> None:
    outputs = {"BucketName": "of-the-stack", "QueueUrl": "http://sqs/1/stack", "ObjectPrefix": "mail/"}
    target = Target.from_stack("prod", outputs, VARIABLES | {"SQS_DLQ_URL": "of another pipeline"})
    assert (target.bucket, target.queue_url, target.prefix) == ("of-the-stack", "http://sqs/1/stack", "mail/")
    assert target.dead_letter_queue_url == ""
    assert (target.region, target.api_token, target.environment) == ("eu-west-1", "hidden", "prod")


def test_an_environment_asks_for_the_stack_of_its_name() -> None:
    asked = []

    def outputs(stack: str, _variables: object) -> dict[str, str]:
        asked.append(stack)
        return {"BucketName": "b"}

    target, _ = resolve({"AWS_REGION": "eu-west-1"}, env_file=None, environment="prod", stack_outputs=outputs)
    assert (asked, target.bucket) == (["pillarbox-prod"], "b")


def test_an_environment_and_a_file_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="exclude each other"):
        resolve({}, env_file=tmp_path / "x", environment="prod", stack_outputs=_no_stack)


def test_a_file_is_read_as_a_shell_would_and_never_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "stack.env"
    path.write_text("# of make run\nexport A='one two'\nB=three # not this\n\nexport C='$(touch x)'\n")
    assert read_env_file(path) == {"A": "one two", "B": "three", "C": "$(touch x)"}
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("line", ["export A B", "A", "=x", "A='x", "A=b c"])
def test_a_line_that_sets_nothing_is_an_error_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "stack.env"
    path.write_text(f"A=1\n{line}\n")
    with pytest.raises(OpsError, match="line 2: expected NAME=VALUE"):
        read_env_file(path)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="No such file"):
        read_env_file(tmp_path / "none")


def test_the_stack_of_make_run_is_the_default_unless_a_variable_names_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/stack.env").write_text("export S3_BUCKET_NAME=local\nexport AWS_ACCESS_KEY_ID=local\n")
    own = {"AWS_ACCESS_KEY_ID": "mine"}
    assert merged(own, None) == {"S3_BUCKET_NAME": "local", "AWS_ACCESS_KEY_ID": "local"}
    assert merged(own | {"S3_BUCKET_NAME": "b"}, None) == own | {"S3_BUCKET_NAME": "b"}


def test_a_variable_of_the_process_wins_over_a_named_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("S3_BUCKET_NAME=file\nS3_PREFIX=file/\n")
    assert merged({"S3_BUCKET_NAME": "own"}, tmp_path / "f") == {"S3_BUCKET_NAME": "own", "S3_PREFIX": "file/"}


def test_each_variable_that_describes_a_pipeline_sets_a_field() -> None:
    names = variable_names()
    assert {"SQS_QUEUE_URL", "S3_BUCKET_NAME", "API_TOKEN"} <= names
    found = Target.from_variables(dict(zip(names, names, strict=True)))
    assert {getattr(found, name) for name in Target.__dataclass_fields__} - {""} == names


@pytest.mark.parametrize("name", sorted(variable_names() - {"AWS_REGION", "API_TOKEN"}))
def test_a_variable_that_names_a_part_of_a_pipeline_keeps_the_file_of_make_run_from_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/stack.env").write_text(f"{name}=local\nSQS_QUEUE_URL=local\n")
    assert merged({name: "own"}, None) == {name: "own"}
    assert default_env_file({name: "own"}) is None
    assert default_env_file({name: "", "AWS_REGION": "eu-west-1", "API_TOKEN": "x"}) == Path(".local/stack.env")


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "stack.env"
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(OpsError, match=r"stack\.env holds no variables: it is not in UTF-8") as raised:
        read_env_file(path)
    assert raised.value.exit_code is ExitCode.USAGE
