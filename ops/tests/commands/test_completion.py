from collections.abc import Callable

import pytest

from pillarbox_ops.errors import ExitCode

from ..pipelines import Ran


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(run: Callable[..., Ran], shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert "_PILLARBOX_COMPLETE" in ran.out


def test_another_shell_is_wrong_usage(run: Callable[..., Ran]) -> None:
    assert run("completion", "tcsh").code == ExitCode.USAGE
