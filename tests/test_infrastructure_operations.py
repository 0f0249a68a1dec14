"""Everything that docs/operations.md names exists: outputs, options, settings, metrics, alarms, chapters."""

import re
from collections.abc import Iterator

import click
import pytest
import yaml
from opentelemetry import environment_variables as api_variables
from opentelemetry.sdk import environment_variables as sdk_variables
from prometheus_client import CollectorRegistry

from common.testing.emulator import ROOT
from pillarbox_ops.cli import cli
from pillarbox_ops.target import variable_names
from pillarbox_otel import variables
from service1_api.metrics import Metrics as ApiMetrics
from service1_api.settings import Settings as ApiSettings
from service2_consumer.metrics import Metrics as ConsumerMetrics
from service2_consumer.settings import Settings as ConsumerSettings
from tests.test_infrastructure_template import TemplateLoader

TEXT = (ROOT / "docs/operations.md").read_text()
FIELDS_OF_LOGS_AND_CAUSES = {
    *("message_id", "message_ids", "trace_id", "span_id", "valid_for_seconds"),
    *("access_denied", "no_such_bucket", "server_error"),
    *("not_an_email", "too_large", "missing_object", "client_side_encrypted", "foreign_bucket", "not_an_event"),
    *("own_output", "queue_unavailable", "token_unavailable"),
    *variables.SAMPLERS,
}
DEPLOY_SH = "".join(path.read_text() for path in sorted((ROOT / "infrastructure/deploy").glob("*.sh")))
ARGUMENTS = (ROOT / "infrastructure/deploy/arguments.sh").read_text()
# A subclass of SafeLoader, which creates only plain values.
TEMPLATES = {
    path.stem: yaml.load(path.read_text(), TemplateLoader)  # noqa: S506
    for path in sorted((ROOT / "infrastructure").glob("*.yaml"))
}
TEMPLATE = TEMPLATES["pipeline"]
PARAMETERS = {name for template in TEMPLATES.values() for name in template["Parameters"]}


def settings() -> set[str]:
    aliases = [
        field.validation_alias for model in (ApiSettings, ConsumerSettings) for field in model.model_fields.values()
    ]
    return {
        name for alias in aliases for name in ([alias] if isinstance(alias, str) else getattr(alias, "choices", []))
    }


def metric_names() -> set[str]:
    api, consumer = CollectorRegistry(), CollectorRegistry()
    ApiMetrics(api)
    ConsumerMetrics(consumer)
    return {
        name for registry in (api, consumer) for metric in registry.collect() for name in named(metric.name, metric)
    }


def named(name: str, metric: object) -> set[str]:
    return {name, f"{name}_total"} if getattr(metric, "type", "") == "counter" else {name}


def test_each_output_that_is_read_is_one_of_the_stack() -> None:
    read = set(re.findall(r"output ([A-Z]\w+)", TEXT))
    assert read
    assert read <= set(TEMPLATE["Outputs"])


def test_each_parameter_that_is_given_is_one_of_the_stack() -> None:
    given = set(re.findall(r"--parameter ([A-Za-z]+)", TEXT))
    assert given
    assert given <= set(TEMPLATE["Parameters"])


def test_each_option_of_deploy_sh_is_one_that_it_takes() -> None:
    lines = [line for line in TEXT.splitlines() if "deploy.sh" in line or line.startswith("| `--")]
    used = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
    assert used
    for option in used:
        assert f"    {option}) " in ARGUMENTS


def test_each_setting_is_one_that_a_service_reads() -> None:
    words = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)[=`]", TEXT))
    of_deploy_sh = {"IMAGE_TAG", "API_SETTING_NAME", "CONSUMER_SETTING_NAME", "FILE_INTAKE_SETTING_NAME"}
    of_deploy_sh |= set(re.findall(r"\$\{([A-Z_]+):-", DEPLOY_SH))
    of_deploy_sh |= set(re.findall(r"^  key ([A-Z_]+) ", DEPLOY_SH, re.MULTILINE))
    of_opentelemetry = {name for module in (api_variables, sdk_variables) for name in vars(module)}
    for_opentelemetry = {word for word in words if word.rpartition("_SETTING_")[2] in of_opentelemetry}
    assert words & settings()
    assert words <= settings() | of_deploy_sh | for_opentelemetry | variable_names()


def test_each_metric_is_one_that_is_exposed() -> None:
    full = set(re.findall(r"pillarbox_(?:api|consumer)_[a-z_]*[a-z]", TEXT))
    short = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?:\{[^}]*\})?`", TEXT)) - FIELDS_OF_LOGS_AND_CAUSES
    known = metric_names()
    assert full <= known
    assert short - full <= {name.split("_", 2)[2] for name in known}


ALARMS = [
    resource["Properties"]["AlarmName"]["Sub"]
    for template in TEMPLATES.values()
    for resource in template["Resources"].values()
    if resource["Type"] in {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"}
    and "part of" not in resource["Properties"]["AlarmDescription"]
]


@pytest.mark.parametrize("alarm", ALARMS)
def test_each_alarm_has_a_row_that_says_what_to_do(alarm: str) -> None:
    name = alarm.replace("${AWS::StackName}", "pillarbox-ENV").replace("${EnvironmentName}", "ENV")
    assert TEXT.count(f"| `{name}` |") == 1


def test_each_word_that_reads_like_a_parameter_is_one_of_a_stack() -> None:
    words = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z0-9]+)+)[`=]", TEXT))
    outputs = {name for template in TEMPLATES.values() for name in template.get("Outputs", {})}
    others = {"CreateContainerConfigError", "ImagePullBackOff", "AccessDenied", "InvalidIdentityToken"}
    others.add("StartMessageMoveTask")
    policies_of_aws = {word for word in words if word.startswith("Amazon")}
    assert words & PARAMETERS
    assert words - others - policies_of_aws <= PARAMETERS | outputs


def commands_of(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command of the command line with its full name."""
    if not isinstance(group, click.Group):
        yield name, group
        return
    context = click.Context(group)
    for sub in group.list_commands(context):
        found = group.get_command(context, sub)
        assert found
        yield from commands_of(found, f"{name} {sub}")


def test_each_call_of_the_command_line_is_one_that_it_takes() -> None:
    known = dict(commands_of(cli, "pillarbox"))
    calls = re.findall(r"(?:^|`|\$\()(pillarbox [a-z][^`#\n]*)", TEXT, re.MULTILINE)
    assert len(calls) > 5
    for call in calls:
        name = max((one for one in known if f"{call} ".startswith(f"{one} ")), key=len, default=call)
        assert name in known, call
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", call)) <= options, call


def test_each_link_leads_somewhere() -> None:
    chapters = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in chapters
        else:
            assert (ROOT / "docs" / target).exists()
