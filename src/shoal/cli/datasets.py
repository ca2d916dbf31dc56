"""shoal datasets, add, fetch: what there is to compute with."""

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from shoal.cli import which
from shoal.cli.options import PLAIN, Options
from shoal.cli.outcome import show
from shoal.cli.sizes import bytes_of
from shoal.errors import Misuse

# To read a large file once from a slow disk, so that copies of it are known.
HASH_S = 3600.0


def datasets(*, tag: str = "", options: Options = PLAIN) -> None:
    """List the datasets of the network, and who holds them.

    Parameters
    ----------
    tag
        Only those with this tag.
    """
    found = which.client(options.timeout).flow.datasets(tag)
    show(found, as_json=options.json, people=_list)


def add(
    path: Path,
    /,
    *,
    name: str = "",
    tag: tuple[str, ...] = (),
    part: str = "",
    replace: Annotated[bool, Parameter(name="--replace")] = False,
    options: Options = PLAIN,
) -> None:
    """Publish a .npy file, or a folder of some, where it lies.

    Parameters
    ----------
    path
        A .npy file; or a folder, whose .npy files are parts of one dataset. It must
        lie on the machine of the peer that is asked, stays there, and is only read.
    name
        What to call it: as the file or the folder, unless told otherwise. If there is
        such a dataset already, this is more of its rows.
    tag
        A word to find it by; may be given several times.
    part
        Which part of the dataset it is, as I/N, such as 2/5. Without it parts stand
        in the order of their files' names, t2 before t10, and then of their peers.
    replace
        Take it although it was added before and has been changed since: its new rows
        stand for the old ones.
    """
    client = which.client(max(options.timeout, HASH_S))
    record = client.flow.add(
        str(path.expanduser().absolute()),
        name=name,
        tags=list(tag),
        place=_place(part),
        replace=replace,
        user=getpass.getuser(),
    )
    show(record, as_json=options.json, people=lambda each: _list([each]))


def fetch(
    name: str,
    to: Path | None = None,
    /,
    *,
    options: Options = PLAIN,
) -> None:
    """Save a dataset as one .npy file, or go on with it.

    Parameters
    ----------
    name
        The dataset's name or id.
    to
        The file; NAME.npy here unless told otherwise. Until it is whole it is
        FILE.part, which the same command goes on with.
    """
    from shoal.client.fetching import fetch as fetch_to

    target = to or Path(f"{name.replace('/', '-')}.npy")
    watching = sys.stderr.isatty() and not options.json

    def watch(have: int, size: int) -> None:
        if watching:
            share = f"{bytes_of(have)} of {bytes_of(size)}"
            print(f"\r\x1b[K  {share}", end="", file=sys.stderr)

    size = fetch_to(which.client(options.timeout), name, target, watch)
    if watching:
        print("\r\x1b[K", end="", file=sys.stderr)
    told = {"dataset": name, "file": str(target), "size_bytes": size}
    show(told, as_json=options.json, people=_fetched)


def _place(part: str) -> int | None:
    """I of I/N, counted from 0."""
    if not part:
        return None
    number, _, count = part.partition("/")
    if number.isdecimal() and count.isdecimal() and 0 < int(number) <= int(count):
        return int(number) - 1
    raise Misuse(f"part {part}: it is written I/N, such as 2/5; correct it")


def _fetched(told: dict[str, Any]) -> None:
    print(f"{told['file']}: {bytes_of(told['size_bytes'])}")


def _list(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "rows", "type", "size", "parts"):
        table.add_column(title, no_wrap=True)
    for title in ("held by", "tags"):
        table.add_column(title, overflow="fold")
    for each in found:
        missing = sum(not part["present"] for part in each["parts"])
        parts = f"{len(each['parts'])}" + (f", {missing} missing" if missing else "")
        holders = dict.fromkeys(h for part in each["parts"] for h in part["holders"])
        table.add_row(
            each["name"],
            f"{each['rows']:,}",
            each["type"],
            bytes_of(each["size_bytes"]),
            parts,
            " ".join(holders),
            " ".join(each["tags"]),
        )
    Console().print(table)
