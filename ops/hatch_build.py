"""Puts the packages of common/ into the wheel: they are in no registry, and `pipx install ./ops` needs nothing else."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # type: ignore[import-not-found]  # only where a wheel is built

_PACKAGES = ("pillarbox", "pillarbox_aws")


class BundlePackages(BuildHookInterface):  # type: ignore[misc]  # hatchling is not installed where types are checked
    """Hatchling's hook for one build: https://hatch.pypa.io/latest/plugins/build-hook/reference/"""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the packages, unless the build is editable: there pillarbox-common is installed beside it."""
        if version != "editable":
            build_data["force_include"] |= {f"../common/src/{name}": name for name in _PACKAGES}
