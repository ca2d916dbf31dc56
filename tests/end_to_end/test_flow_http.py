"""Datasets as any HTTP client reads them: whole, or by ranges, from any peer."""

import io
import subprocess
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.end_to_end.cluster import Cluster
from tests.end_to_end.science import Lab, integers, lab, save

ROWS = np.array_split(integers(5, 300_000).reshape(-1, 3), 3)


@pytest.fixture(scope="module")
def science(sharer: Cluster) -> Lab:
    """Three parts at two peers; the third is asked, and holds nothing."""
    made = lab(sharer, [{}, {}, {}])
    for place, rows in enumerate(ROWS):
        path = save(sharer.root / "parts", f"p{place}", rows)
        made.flow(1 + place % 2).add(str(path), name="whole", place=place)
    return made


def curl(science: Lab, *options: str, name: str = "whole") -> bytes:
    url = f"http://{science.nodes[0].address}/datasets/{name}"
    command = ["curl", "-sS", "--max-time", "30", *options, url]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_the_whole_is_a_file_that_numpy_loads(science: Lab, tmp_path: Path) -> None:
    told = curl(science)
    assert np.array_equal(np.load(io.BytesIO(told)), np.concatenate(ROWS))
    head = curl(science, "--head").decode().lower()
    assert "accept-ranges: bytes" in head
    assert f"content-length: {len(told)}" in head


def test_any_range_is_those_bytes(science: Lab) -> None:
    told, rng = curl(science), Random(1)
    for _ in range(20):
        first, last = sorted(rng.randrange(len(told)) for _ in range(2))
        assert curl(science, "-r", f"{first}-{last}") == told[first : last + 1]
    assert curl(science, "-r", "-100") == told[-100:]
    assert curl(science, "-r", f"{len(told) - 7}-") == told[-7:]


def test_a_download_that_broke_off_goes_on(science: Lab, tmp_path: Path) -> None:
    told, file = curl(science), tmp_path / "whole.npy"
    file.write_bytes(told[:1_000_000])
    curl(science, "-C", "-", "-o", str(file))
    assert file.read_bytes() == told


@pytest.mark.parametrize(
    ("options", "name", "status"),
    [
        (("-r", "0-9"), "whole", "206"),
        (("-r", "99999999999-"), "whole", "416"),
        (("-H", 'If-Range: "another"', "-r", "0-9"), "whole", "200"),
        ((), "nobody", "404"),
        (("-X", "DELETE"), "whole", "405"),
    ],
)
def test_the_status_says_what_came(
    science: Lab, options: tuple[str, ...], name: str, status: str
) -> None:
    told = curl(science, *options, "-o", "/dev/null", "-w", "%{http_code}", name=name)
    assert told.decode() == status
