"""What each command is given: the target, its AWS clients, the archive and the output, created when they are used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pillarbox_ops import target as targets
from pillarbox_ops.archive import Archive
from pillarbox_ops.aws import Clients
from pillarbox_ops.errors import OpsError, missing
from pillarbox_ops.layout import Layout
from pillarbox_ops.output import Output
from pillarbox_ops.target import Target
from pillarbox_ops.tokens import checked, tokens_in


@dataclass
class App:
    """The composition root of a command."""

    output: Output
    env_file: Path | None = None
    environment: str | None = None
    yes: bool = False
    dry_run: bool = False

    @property
    def target(self) -> Target:
        """Return the pipeline to work on. Raise OpsError."""
        return self._resolved[0]

    @property
    def ui_token(self) -> str:
        """Return the secret for the page, set by the process that starts it; empty to generate one."""
        return os.environ.get("UI_TOKEN", "")

    @cached_property
    def clients(self) -> Clients:
        """Return the AWS clients of the target."""
        target, variables = self._resolved
        return Clients(target.region, variables)

    @cached_property
    def archive(self) -> Archive:
        """Return the archive of the target. Raise OpsError if its bucket is not known."""
        bucket = self.target.need("bucket")
        self.target.template()
        layout = Layout(self.target.key_template, self.target.prefix)
        return Archive(self.clients.s3, lambda: self.clients.store(bucket), bucket, layout)

    def token(self) -> str:
        """Return API_TOKEN, or the newest token of the SSM parameter, without white space around it.

        Raise OpsError if there is none, or if no header of HTTP can carry it.
        """
        own = self.target.api_token.strip()
        if own:
            return checked(own, "API_TOKEN")
        name = self.target.token_parameter
        if not name:
            raise missing("API_TOKEN", "a token of the API; or SSM_PARAMETER_NAME, the parameter that holds it")
        tokens = tokens_in(self.clients.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        if not tokens:
            raise OpsError(f"{name} holds no token")
        return checked(tokens[0], name)

    def of_environment(self, environment: str) -> App:
        """Return an App with the same output that works on the stack of another environment."""
        return App(self.output, environment=environment, yes=self.yes, dry_run=self.dry_run)

    @cached_property
    def _resolved(self) -> tuple[Target, dict[str, str]]:
        default = None if self.env_file or self.environment else targets.default_env_file(os.environ)
        if default:
            self.output.hint(f"reading {default}")
        return targets.resolve(
            os.environ, env_file=self.env_file, environment=self.environment, stack_outputs=_stack_outputs
        )


def _stack_outputs(stack: str, variables: Mapping[str, str]) -> Mapping[str, str]:
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION", "")
    return Clients(region, variables).stack_outputs(stack)
