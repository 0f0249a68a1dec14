"""boto3's sessions and clients, shared by the tests of a process: creating them took a third of their CPU."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pillarbox_ops.aws import Clients

_created: dict[tuple[object, ...], Any] = {}


def share(patch: pytest.MonkeyPatch) -> None:
    """Let `Clients` create a session or a client once for the same region and variables, and use it again."""
    patch.setattr(Clients, "session", property(_once(Clients.__dict__["session"].func)))
    patch.setattr(Clients, "_client", _once(Clients._client))


def _once(create: Callable[..., Any]) -> Callable[..., Any]:
    def shared(clients: Clients, *arguments: str) -> Any:
        key = (create, *arguments, clients._region, _relevant(os.environ), _relevant(clients._variables))
        if key not in _created:
            _created[key] = create(clients, *arguments)
        return _created[key]

    return shared


def _relevant(variables: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return what boto3 reads: its own variables, those of proxies, and where the profile is."""
    return frozenset(
        (name, value)
        for name, value in variables.items()
        if name.startswith("AWS_") or name.lower().endswith("_proxy") or name == "HOME"
    )
