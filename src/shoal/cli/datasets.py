"""shoal datasets, add, fetch: what there is to compute with."""

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from shoal.cli import which
from shoal.cli.options import ANY, PeerOptions
from shoal.cli.outcome import show
from shoal.cli.sizes import bytes_of
from shoal.cli.tables import tabulate
from shoal.errors import Exists, Misuse, NotFound

# To read a large file once from a slow disk, so that copies of it are known.
HASH_S = 3600.0


def datasets(name: str = "", /, *, tag: str = "", options: PeerOptions = ANY) -> None:
    """List the datasets of the network, or the parts of one.

    Parameters
    ----------
    name
        The name or id of one, to be told all of it.
    tag
        Only those with this tag.
    """
    flow = which.client(options.timeout, options.project).flow
    if name:
        show(flow.dataset(name), as_json=options.json, people=_describe)
    else:
        show(flow.datasets(tag), as_json=options.json, people=_list)


def add(
    path: Path,
    /,
    *paths: Path,
    name: str = "",
    tag: tuple[str, ...] = (),
    part: str = "",
    replace: Annotated[bool, Parameter(name="--replace")] = False,
    options: PeerOptions = ANY,
) -> None:
    """Publish .npy files, or folders of some, where they lie.

    Parameters
    ----------
    path
        A .npy file; or a folder, whose .npy files are parts of one dataset. It must
        lie on the machine of the peer that is asked, stays there, and is only read.
    paths
        More of them.
    name
        What to call it: as the file or the folder, unless told otherwise. Files of one
        name are parts of one dataset, whichever peer they are added at.
    tag
        A word to find it by; may be given several times.
    part
        Which part of the dataset it is, as I/N, such as 2/5. Without it parts stand
        in the order of their files' names, t2 before t10, and then of their peers.
    replace
        Take it although it was added before and has been changed since: its new rows
        stand for the old ones.
    """
    if part and paths:
        raise Misuse(f"part {part}: it is of one file; add each file by itself")
    place, expected = _place(part)
    wishes = {"name": name, "tags": list(tag), "place": place, "expected": expected}
    wishes |= {"replace": replace, "user": getpass.getuser()}
    flow = which.client(max(options.timeout, HASH_S), options.project).flow
    added: dict[str, dict[str, Any]] = {}
    try:
        for each in (path, *paths):
            record = flow.add(str(each.expanduser().absolute()), **wishes)
            added[record["id"]] = record
    finally:  # What was added before one failed is told.
        if added and paths:
            show(list(added.values()), as_json=options.json, people=_list)
    if not paths:
        show(record, as_json=options.json, people=lambda each: _list([each]))


def fetch(
    name: str,
    to: Path | None = None,
    /,
    *,
    force: bool = False,
    options: PeerOptions = ANY,
) -> None:
    """Save a dataset as one .npy file, or go on with it.

    Parameters
    ----------
    name
        The dataset's name or id, or the id of the job that made it.
    to
        The file, or a folder for it; NAME.npy here unless told otherwise. Until it is
        whole it is FILE.part, which the same command goes on with.
    force
        Replace a file that is there.
    """
    from shoal.client.fetching import fetch as fetch_to

    target = _target(name, to, force=force)
    watching = sys.stderr.isatty() and not options.json

    def watch(have: int, size: int) -> None:
        if watching:
            share = f"{bytes_of(have)} of {bytes_of(size)}"
            print(f"\r\x1b[K  {share}", end="", file=sys.stderr)

    try:
        size = fetch_to(
            which.client(options.timeout, options.project), name, target, watch
        )
    except KeyboardInterrupt:
        print(f"\nshoal: dataset {name}: the same command goes on", file=sys.stderr)
        raise
    if watching:
        print("\r\x1b[K", end="", file=sys.stderr)
    told = {"dataset": name, "file": str(target), "size_bytes": size}
    show(told, as_json=options.json, people=_fetched)


def _target(name: str, to: Path | None, *, force: bool) -> Path:
    """The file to write. One that is there may be the very part that was added."""
    target = to or Path()
    if target.is_dir():
        target /= f"{name.replace('/', '-')}.npy"
    if not target.parent.is_dir():
        raise NotFound(f"folder {target.parent}: there is none; make it, or correct it")
    if target.exists() and not force:
        raise Exists(
            f"file {target}: it is there already; choose another, or replace it with "
            "--force"
        )
    return target


def _place(part: str) -> tuple[int | None, int | None]:
    """I of I/N, counted from 0, and N."""
    if not part:
        return None, None
    number, _, count = part.partition("/")
    if number.isdecimal() and count.isdecimal() and 0 < int(number) <= int(count):
        return int(number) - 1, int(count)
    raise Misuse(f"part {part}: it is written I/N, such as 2/5; correct it")


def _fetched(told: dict[str, Any]) -> None:
    print(f"{told['file']}: {bytes_of(told['size_bytes'])}")


def _list(found: list[dict[str, Any]]) -> None:
    titles = ("name", "rows", "type", "size", "parts", "held by", "tags")
    tabulate(titles, map(_row, found), foldable=("held by", "tags"))


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    parts = record["parts"]
    missing = sum(not part["present"] for part in parts)
    holders = dict.fromkeys(holder for part in parts for holder in part["holders"])
    return (
        *(record["name"], f"{record['rows']:,}", record["type"]),
        bytes_of(record["size_bytes"]),
        f"{len(parts)}"
        + (f" of {record['expected']}" if record["expected"] else "")
        + (f", {missing} missing" if missing else ""),
        *(" ".join(holders), " ".join(record["tags"])),
    )


def _describe(record: dict[str, Any]) -> None:
    size = bytes_of(record["size_bytes"])
    print(f"{record['name']}: {record['rows']:,} rows of {record['type']}, {size}")
    print(f"  id {record['id']}, version {record['version']}", end="")
    print(f", added by {record['user']}" if record["user"] else "", end="")
    print(f", made by job {record['job']}" if record["job"] else "", end="")
    print(f", tags: {', '.join(record['tags'])}" if record["tags"] else "")
    titles = ("part", "rows", "size", "file", "held by")
    rows = [
        (
            *(str(number), f"{part['rows']:,}", bytes_of(part["size_bytes"])),
            *(part["name"], " ".join(part["holders"]) + _absent(part)),
        )
        for number, part in enumerate(record["parts"], 1)
    ]
    tabulate(titles, rows, foldable=("file", "held by"))


def _absent(part: dict[str, Any]) -> str:
    return "" if part["present"] else " (not present)"
