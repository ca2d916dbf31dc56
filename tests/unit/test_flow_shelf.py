"""What a peer holds: written by many at once, read again after a restart."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from shoal.errors import ChangedFile, NotFound, Overloaded
from shoal.flow.datasets import rows
from shoal.flow.datasets.shelf import Held, Shelf
from shoal.flow.messages import Form
from shoal.net.files import Files


def held(number: int, path: str = "/data/x.npy", *, own: bool = False) -> Held:
    return Held(
        *(f"p{number}", "d1", f"x{number}.npy", path, 128, Form("<i8"), 10, (1, 2, 3)),
        own=own,
    )


def shelf(directory: Path, most: int = 100) -> Shelf:
    return Shelf(Files(directory), lambda _: True, most)


def test_what_was_written_is_there_again_but_for_files_of_our_own(
    tmp_path: Path,
) -> None:
    made = shelf(tmp_path)
    made.put(held(1), held(2), held(3, own=True))
    made.write(made.encoded())
    assert [each.part for each in shelf(tmp_path).all()] == ["p1", "p2"]


def test_more_than_can_be_read_again_is_not_taken(tmp_path: Path) -> None:
    made = shelf(tmp_path, most=3)
    made.put(*(held(n, f"/data/{n}") for n in (1, 2, 3)))
    with pytest.raises(Overloaded, match="3"):
        made.put(held(4, "/data/4"))
    made.put(held(3, "/data/3"), held(5, "/results/5", own=True))
    assert [each.part for each in made.all()] == ["p1", "p2", "p3", "p5"]


def test_rows_of_a_file_that_was_changed_are_given_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(10))
    stat = path.stat()
    stamp = stat.st_size, stat.st_mtime_ns, stat.st_ino
    source = Held(
        *("p1", "d1", "x.npy", str(path), 128, Form("<i8"), 10, stamp)
    ).source(0, 10)

    async def read() -> bytes:
        return b"".join([piece async for piece in rows.read(source)])

    assert asyncio.run(read()) == np.arange(10).tobytes()
    np.save(path, np.arange(10, 30))
    with pytest.raises(ChangedFile, match=r"x\.npy"):
        asyncio.run(read())


def test_equal_rows_of_two_datasets_are_let_go_apart(tmp_path: Path) -> None:
    made = shelf(tmp_path)
    made.put(held(1), replace(held(1), dataset="d2", path="/data/y.npy"))
    made.write(made.encoded())
    again = shelf(tmp_path)
    assert len(again.all()) == 2
    again.drop("d2", "p1")
    assert again.get("p1").path == "/data/x.npy"
    assert again.at("/data/x.npy", "d1")
    assert again.at("/data/x.npy", "d2") is None
    again.drop("d1", "p1")
    with pytest.raises(NotFound):
        again.get("p1")
