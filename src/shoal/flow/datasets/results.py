"""Results that lie here: `.npy` files whose names and heads say all of them.

So a result is kept by one synced file, and found again by whoever looks.
"""

import os
import re
import time
from pathlib import Path

from shoal.errors import ShoalError
from shoal.flow.datasets.shelf import Held
from shoal.flow.messages import Form
from shoal.flow.work.npy import npy_head, read_head

# The dataset, which of its parts, and the part.
_NAME = re.compile(r"(d[a-z0-9]{1,31})-([0-9]{1,9})-(p[0-9a-f]{20})\.npy\Z")

# No head of ours is longer.
HEAD_BYTES = 1 << 12


def result_name(dataset: str, place: int, part: str) -> str:
    """What the file of a result is called."""
    return f"{dataset}-{place}-{part}.npy"


def look(path: Path, form: Form, rows: int) -> Held:
    """A result that was just written."""
    found = _NAME.match(path.name)
    assert found, f"{path.name} is the name of a result"
    stat = path.stat()
    return Held(
        *(found[3], found[1], path.name, str(path)),
        *(len(npy_head(form, rows)), form, rows),
        stamp=(stat.st_size, stat.st_mtime_ns, stat.st_ino),
        own=True,
    )


def left_over(directory: Path) -> list[Held]:
    """Every result of earlier lives; what is none is removed."""
    held = []
    for path in sorted(directory.iterdir()):
        try:
            if not _NAME.match(path.name):
                raise ValueError("half a result")
            with path.open("rb") as file:
                head = read_head(file.read(HEAD_BYTES), path.name)
            held.append(look(path, head.form, head.rows))
        except (ShoalError, ValueError, OSError):
            path.unlink(missing_ok=True)
    return held


def age_s(held: Held) -> float:
    """How long ago it was written; nothing if it has gone."""
    try:
        return time.time() - os.stat(held.path).st_mtime
    except OSError:
        return 0.0
