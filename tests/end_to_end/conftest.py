"""Networks that the tests of one module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.cluster import Cluster
from tests.end_to_end.working import ENDLESS_BYTES, LOOPS, Loop


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Cluster]:
    """Somebody with an empty home."""
    cluster = Cluster(tmp_path / "home")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def sharer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Somebody whose peers all tests of a module use."""
    cluster = Cluster(tmp_path_factory.mktemp("home"))
    yield cluster
    cluster.stop()


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = request.param
    return factory


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    path = tmp_path / "endless.npy"
    with path.open("wb") as file:
        file.truncate(ENDLESS_BYTES)
    return path
