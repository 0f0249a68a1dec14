from typing import Any

import pytest
from botocore.exceptions import ClientError

from pillarbox_ops.rights import allowed, policy_source


class _Clients:
    """STS and IAM, with the decisions that IAM gives; without any it refuses to tell."""

    def __init__(self, **decisions: str) -> None:
        self.iam = self.sts = self
        self.decisions = decisions
        self.asked: dict[str, Any] = {}
        self.arn = "arn:aws:sts::123456789012:assumed-role/Ops/jane"

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": self.arn}

    def simulate_principal_policy(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        if not self.decisions:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "SimulatePrincipalPolicy")
        return {
            "EvaluationResults": [
                {"EvalActionName": f"sqs:{name}", "EvalDecision": decision} for name, decision in self.decisions.items()
            ]
        }


def test_iam_says_what_the_role_of_a_session_may_do() -> None:
    clients: Any = _Clients(SendMessage="allowed", DeleteMessage="implicitDeny", ReceiveMessage="explicitDeny")
    actions = [f"sqs:{name}Message" for name in ("Send", "Delete", "Receive")]
    assert allowed(clients, actions, "arn:queue") == dict(zip(actions, (True, False, False), strict=True))
    assert clients.asked == {
        "PolicySourceArn": "arn:aws:iam::123456789012:role/Ops",
        "ActionNames": actions,
        "ResourceArns": ["arn:queue"],
    }


def test_where_iam_cannot_be_asked_nothing_is_known() -> None:
    clients: Any = _Clients()
    assert allowed(clients, ["sqs:SendMessage"], "arn:queue") == {"sqs:SendMessage": None}


def test_the_root_user_may_do_everything() -> None:
    clients: Any = _Clients()
    clients.arn = "arn:aws:iam::123456789012:root"
    assert allowed(clients, ["sqs:SendMessage"], "arn:queue") == {"sqs:SendMessage": True}


@pytest.mark.parametrize(
    ("arn", "source"),
    [
        ("arn:aws:iam::123456789012:user/jane", "arn:aws:iam::123456789012:user/jane"),
        ("arn:aws-cn:sts::123456789012:assumed-role/A/b@c", "arn:aws-cn:iam::123456789012:role/A"),
    ],
)
def test_a_session_leads_to_its_role(arn: str, source: str) -> None:
    assert policy_source(arn) == source
