"""The hook of the wheel, without hatchling, which only a build installs."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

OPS = Path(__file__).resolve().parent.parent


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the hook, loaded with a stand-in for its base class."""
    interface = types.ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = object  # type: ignore[attr-defined]
    name = interface.__name__
    while name:
        monkeypatch.setitem(sys.modules, name, interface)
        name = name.rpartition(".")[0]
    spec = importlib.util.spec_from_file_location("hatch_build", OPS / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BundlePackages()


def test_the_wheel_contains_the_packages_of_common(hook: Any) -> None:
    data: dict[str, dict[str, str]] = {"force_include": {}}
    hook.initialize("standard", data)
    assert data["force_include"] == {
        "../common/src/pillarbox": "pillarbox",
        "../common/src/pillarbox_aws": "pillarbox_aws",
    }
    assert all((OPS / path / "__init__.py").is_file() for path in data["force_include"])


def test_an_editable_install_leaves_them_to_pillarbox_common(hook: Any) -> None:
    data: dict[str, dict[str, str]] = {"force_include": {}}
    hook.initialize("editable", data)
    assert data["force_include"] == {}
