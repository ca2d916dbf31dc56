"""Every example runs as it stands, and so does the README's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.cluster import Cluster

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_examples_and_the_readme_run(user: Cluster) -> None:
    user.up("--peers", "2", "--listen", ":0")
    [code] = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    texts = [path.read_text() for path in EXAMPLES] + [code]
    for text in texts:
        done = subprocess.run(
            [sys.executable, "-c", text],
            env=user.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_there_are_examples() -> None:
    assert EXAMPLES or pytest.fail("the README points to examples")
