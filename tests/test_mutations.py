"""Break the method in one place at a time; the test named beside each break must notice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutations import MUTATIONS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def outcomes():
    """pytest's exit codes by break, and without one, all in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "mutations.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_test_notices(name, outcomes):
    assert outcomes[""] == 0, "a test fails by itself"
    assert outcomes[name] == 1, f"{MUTATIONS[name].test} does not notice that {name}"
