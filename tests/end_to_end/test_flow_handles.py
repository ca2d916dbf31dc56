"""Datasets in Python: what NumPy and a notebook do with a handle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.client import Client
from shoal.client.handles import Handle
from shoal.errors import Misuse
from tests.end_to_end.cluster import Cluster
from tests.end_to_end.science import Array, integers, lab

ROWS = integers(7, 1000)


@pytest.fixture(scope="module")
def net(sharer: Cluster) -> Client:
    return lab(sharer, [{"a": ROWS, "grid": np.ones((4, 3))}]).client()


FUNCTIONS: list[Callable[[Any], Any]] = [
    np.sqrt,
    np.mean,
    np.sum,
    np.max,
    np.std,
    np.var,
    np.median,  # We have none: the rows come here.
    lambda a: np.sum(a, axis=0),
    lambda a: a.mean(),
    lambda a: a.std(),
    lambda a: np.where(a > 50, a, 0),
    lambda a: np.clip(a, 10, 20),
    lambda a: np.maximum(a, 50) - a % 7,
    lambda a: np.concatenate([a, a]),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handle_gives_what_an_array_gives(
    net: Client, function: Callable[[Any], Any]
) -> None:
    assert np.asarray(function(net["a"])) == pytest.approx(function(ROWS))


def test_what_we_have_travels(net: Client) -> None:
    a = net["a"]
    for each in (np.mean(a), np.std(a), np.where(a > 50, a, 0), np.clip(a, 0, 9)):
        assert isinstance(each, Handle)


def test_a_number_looks_as_asked(net: Client) -> None:
    assert f"{net['a'].mean():.2f}" == f"{ROWS.mean():.2f}"
    assert f"{net['a'].max().result()}" == str(ROWS.max())
    assert f"{net['a']}" == "<a>"
    with pytest.raises(Misuse, match=r"try its \.mean\(\)"):
        f"{net['a']:.2f}"


def test_a_dataset_tells_its_shape_and_type(net: Client) -> None:
    assert net["grid"].shape == (4, 3)
    assert net["grid"].dtype == np.dtype("f8")
    assert len(net["a"]) == 1000


@pytest.mark.parametrize("other", [np.arange(3), "b", [1, 2]])
def test_what_is_no_number_cannot_be_written(net: Client, other: object) -> None:
    with pytest.raises(Misuse, match="shoal add FILE"):
        net["a"] + other


def test_files_go_in_and_out(
    net: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: Array = np.arange(5)
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", rows)
    net.add("few.npy", tags=["mine"])  # Relative to us, not to the peer.
    assert [each["name"] for each in net.datasets("mine")] == ["few"]
    net.fetch("few", "copy.npy")
    assert np.array_equal(np.load("copy.npy"), rows)
    assert net.run("sum(few)", tags=["sums"]).result().number() == 10
    assert [each["value"] for each in net.jobs("sums")] == [10]
