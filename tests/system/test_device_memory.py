"""The memory of a GPU is taken as needed, unless the user or JAX has decided already."""

import os
import subprocess
import sys

import pytest

from l3ac_jax.errors import UserError
from l3ac_jax.system.device_memory import take_memory_as_needed

AS_NEEDED, SHARE = "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION"


def variables_after(call: str, **environment: str) -> list[str]:
    """What a new process has in JAX's variables after a call."""
    code = (
        "import os, warnings; warnings.simplefilter('error')\n"
        "from l3ac_jax.system.device_memory import take_memory_as_needed\n"
        f"{call}\nprint(os.environ.get({AS_NEEDED!r}), os.environ.get({SHARE!r}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=_environment(environment)
    )
    return result.stdout.split() if result.returncode == 0 else [result.stderr]


def _environment(more: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in (AS_NEEDED, SHARE)}
    return kept | more


def test_before_jax_has_begun():
    assert variables_after("take_memory_as_needed()") == ["false", "None"]
    assert variables_after("take_memory_as_needed(0.25)") == ["false", "0.25"]


def test_the_users_variables_have_precedence():
    given = {AS_NEEDED: "true", SHARE: "0.5"}
    assert variables_after("take_memory_as_needed()", **given) == ["true", "0.5"]


def test_afterwards_nothing_changes_and_a_share_is_warned_about():
    begun = "import jax; jax.devices(); take_memory_as_needed({})"
    assert variables_after(begun.format("")) == ["None", "None"]
    [message] = variables_after(begun.format("0.25"))
    assert "DeviceMemoryWarning" in message and "before the first computation" in message


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_is_a_share(share):
    with pytest.raises(UserError, match="above 0 and at most 1"):
        take_memory_as_needed(share)
