"""The simulated builds of Jenkinsfile-CD: every course that a deployment can take."""

from typing import Any

from tests.jenkins.builds import Repository

STEPS = ["check", "images", "scan", "render", "diff", "apply", "wait", "health", "verify"]
BEFORE = STEPS[: STEPS.index("apply")]
RELEASE = STEPS[STEPS.index("apply") :]
# A commit that is pushed to main while a build waits for its approval.
LATER = (
    "cd {} && git update-ref refs/heads/main"
    " $(git -c user.name=t -c user.email=t@example.com commit-tree -p main -m later main^{{tree}})"
)
ALICE = {"user": "alice", "proceed": True}


def of_step(step: str) -> str:
    return f"--only {step}"


def asked_builds(repository: Repository) -> dict[str, dict[str, Any]]:
    """Return the builds that the tests examine, by name."""
    head = {"IMAGE_TAG": repository.head}
    cd: dict[str, Any] = {"jenkinsfile": "Jenkinsfile-CD", "job": "deploy-dev", "parameters": head}
    prod = cd | {"job": "deploy-prod"}
    approved = prod | {"answers": [ALICE]}
    builds: dict[str, dict[str, Any]] = {
        "dev": cd,
        "prod": approved,
        "prod with an older commit": approved | {"parameters": {"IMAGE_TAG": repository.slack}},
        "main moves on during the approval": approved | {"meanwhile": LATER.format(repository.folder)},
        "rejected": prod | {"answers": [{"user": "ops", "proceed": False}]},
        "unanswered": prod,
        "answered by a stranger": prod | {"answers": [{"user": "mallory", "proceed": True}]},
        "first build": cd | {"parameters": None},
        "empty tag": cd | {"parameters": {"IMAGE_TAG": ""}},
        "short tag": cd | {"parameters": {"IMAGE_TAG": repository.head[:12]}},
        "a shell's tag": cd | {"parameters": {"IMAGE_TAG": '"; make evil; "'}},
        "unknown commit": cd | {"parameters": {"IMAGE_TAG": "0" * 40}},
        "feature branch": prod | {"parameters": {"IMAGE_TAG": repository.feature}},
        "release branch": cd | {"parameters": {"IMAGE_TAG": repository.release}},
        "release tag": cd | {"parameters": {"IMAGE_TAG": repository.tagged}},
        "another environment by parameters": cd
        | {"parameters": head | {"ENVIRONMENT": "prod", "DEPLOY_OPTIONS": "--environment prod"}},
        "a job with another name": cd | {"job": "pillarbox"},
        "an environment without approvers": cd | {"job": "deploy-staging"},
        "restarted from the release": approved | {"restartFrom": "Release"},
        "id token": cd | {"environment": {"PILLARBOX_OIDC_CREDENTIAL": "oidc"}, "credentials": {"oidc": "/the/token"}},
        "no id token": cd | {"environment": {"PILLARBOX_OIDC_CREDENTIAL": "oidc"}},
        "check-out fails": cd | {"fails": "check_out"},
        "set-up fails": cd | {"fails": "make setup"},
        "roll-back fails too": cd | {"fails": "--only (wait|rollback)"},
    }
    for step in STEPS:
        builds[f"{step} fails"] = cd | {"fails": of_step(step)}
        builds[f"{step} hangs"] = cd | {"hangs": of_step(step)}
        builds[f"{step} is aborted"] = cd | {"aborted": of_step(step)}
    return builds
