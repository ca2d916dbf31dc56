"""Every example runs as it stands, and so does the README's."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.cluster import Cluster, wait_all_alive
from tests.end_to_end.science import save

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_examples_and_the_readme_run(user: Cluster) -> None:
    """In a network such as the README begins."""
    temps = [save(user.root / f"lab{n}", "temps", np.arange(9.0)) for n in range(2)]
    nodes = user.up("--data", str(temps[0]))
    nodes += user.up("--join", nodes[0].address, "--data", str(temps[1]))
    wait_all_alive(nodes)
    [code] = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    texts = [path.read_text() for path in EXAMPLES] + [code]
    for text in texts:
        done = subprocess.run(
            [sys.executable, "-c", text],
            env=user.environment,
            cwd=user.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        assert "wrong" not in done.stdout


def test_there_are_examples() -> None:
    assert EXAMPLES or pytest.fail("the README points to examples")
