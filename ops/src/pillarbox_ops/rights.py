"""Rights that cannot be tried without using them: IAM says whether the policies of this identity allow an action."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from pillarbox_ops.aws import Clients

_ASSUMED = re.compile(r"arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/.+")


def allowed(clients: Clients, actions: Sequence[str], resource: str) -> dict[str, bool | None]:
    """Return for each action whether it is allowed on a resource, given by its ARN; None if IAM cannot be asked.

    Policies of the resource are not looked at. It needs iam:SimulatePrincipalPolicy:
    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    try:
        identity = policy_source(clients.sts.get_caller_identity()["Arn"])
        if identity.endswith(":root"):
            return dict.fromkeys(actions, True)  # the account's root user, which IAM cannot be asked about
        found = clients.iam.simulate_principal_policy(
            PolicySourceArn=identity, ActionNames=list(actions), ResourceArns=[resource]
        )["EvaluationResults"]
    except (ClientError, BotoCoreError):
        found = []
    decisions = {result["EvalActionName"].lower(): result["EvalDecision"] == "allowed" for result in found}
    return {action: decisions.get(action.lower()) for action in actions}


def policy_source(arn: str) -> str:
    """Return the ARN whose policies apply to a caller: of the role for a session of it, else the caller's own.

    A session does not tell its role's path, so a role with a path is not found.
    """
    session = _ASSUMED.fullmatch(arn)
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else arn
