"""The datasets of the network, as a peer knows them, and the files it adds to them."""

import asyncio
import time
from collections.abc import Callable
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import Conflict, Exists, Misuse, NotFound, UnreadableFile
from shoal.flow.carrying import Working
from shoal.flow.datasets.publishing import (
    dataset_id,
    joined,
    natural,
    part_id,
    parted,
    shown,
)
from shoal.flow.datasets.shelf import Held, Shelf
from shoal.flow.jobs import LEAST_OF_AN_ID, is_id, readable, whole_id
from shoal.flow.language.expressions import Dataset
from shoal.flow.language.notation import show
from shoal.flow.messages import (
    MAX_NAME,
    MAX_PARTS,
    Count,
    DatasetRecord,
    Form,
    Hash,
    Hashed,
    Inspect,
    Inspected,
    Part,
    Tags,
    User,
    row_bytes,
)
from shoal.flow.records import Record, Records

KIND = "dataset"

# To look into a file, and to read it once from a slow disk.
INSPECT_S, HASH_S = 30.0, 3600.0

# Peers that add parts of one name at one time wait for each other so often.
MEETINGS = 100

_decoder = msgspec.msgpack.Decoder(DatasetRecord)


class Wish(Struct, frozen=True):
    """How something is to be added."""

    path: str
    name: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    tags: Tags = ()
    place: Count | None = None  # Which part of the dataset it is, counted from 0.
    expected: Annotated[int, Meta(ge=1, le=MAX_PARTS)] | None = None  # Of how many.
    replace: bool = False
    user: User = ""


class Library:
    """Datasets by name."""

    def __init__(
        self, me: PeerId, records: Records, workers: Working, shelf: Shelf
    ) -> None:
        self._me = me
        self._records = records
        self._workers = workers
        self._shelf = shelf
        self._adding = asyncio.Lock()
        self._known: dict[str, DatasetRecord] = {}
        records.watch(KIND, self.hear)

    # Looking

    def start(self) -> None:
        """Take up what was kept."""
        for record in self._records.list(KIND):
            self.hear(record)

    def hear(self, record: Record) -> None:
        """A dataset was made, has changed, or is kept no more."""
        self._known.pop(record.id, None)
        if not record.removed:
            for dataset in readable([record], _decoder):
                self._known[record.id] = dataset

    @property
    def size(self) -> int:
        """How many datasets this peer has heard of."""
        return len(self._known)

    def all(self, tag: str = "") -> list[DatasetRecord]:
        """Every dataset this peer has heard of, or those with a tag, by name."""
        found = [e for e in self._known.values() if not tag or tag in e.tags]
        return sorted(found, key=lambda record: natural(record.name))

    def has(self, dataset: str) -> bool:
        """Has this peer heard of that one?"""
        return dataset in self._known

    async def find(self, name: str) -> DatasetRecord:
        """The dataset of that name or id, as its record says, or `NotFound`.

        A result never changes: whoever knows it need not ask.
        """
        known = self._known.get(name)
        if known and known.job:
            return known
        for each in [dataset_id(name), *([name] if is_id(name) else [])]:
            if record := await self._records.read(KIND, each):
                return decoded(_decoder, record.body)
        try:
            found = whole_id(self._known, name, KIND, least=LEAST_OF_AN_ID)
        except NotFound as error:
            raise NotFound(f"{error}{self._nearest(name)}") from error
        return self._known[found]

    async def parts_of(self, name: str) -> list[str]:
        """What a dataset is made of, as its record says; nothing if it is gone."""
        record = await self._records.read(KIND, name)
        dataset = decoded(_decoder, record.body) if record else None
        return [each.id for each in dataset.parts] if dataset else []

    def _nearest(self, name: str) -> str:
        """What was probably meant, as it is written in an expression."""
        named = [each.name for each in self._known.values() if each.name != each.id]
        close = get_close_matches(name, named, n=3)
        words = " or ".join(show(Dataset(each)) for each in close)
        return f" (did you mean {words}?)" if close else ""

    # Adding

    async def add(self, wish: Wish) -> DatasetRecord:
        """Publish a file, or the files of a folder."""
        async with self._adding:  # A part is not hashed twice at a time.
            root = Path(wish.path)
            files = await asyncio.to_thread(_files, root)
            name = wish.name or _checked(root.name).removesuffix(".npy")
            held = [await self._take(file, dataset_id(name), wish) for file in files]
            parts = [part for part, _, _ in held]
            forms = {form: None for _, form, _ in held}
            if len(forms) > 1:
                raise Misuse(_disagreement(root, held))
            gone = [old for _, _, old in held if old]
            record = await self._publish(name, next(iter(forms)), parts, gone, wish)
            await asyncio.to_thread(self._shelf.write, self._shelf.encoded())
            return record

    async def _take(
        self, file: Path, dataset: str, wish: Wish
    ) -> tuple[Part, Form, str | None]:
        """A file as a part, its form, and which part it was before."""
        found = await self._workers.run(Inspect(str(file)), within_s=INSPECT_S)
        assert isinstance(found, Inspected), "the workers answer what they are asked"
        size = found.rows * row_bytes(found.form)
        before = self._shelf.at(str(file), dataset)
        if before and before.stamp != found.stamp and not wish.replace:
            raise Misuse(
                f"{file}: it was changed after it was added; add it with --replace, or "
                "under another --name"
            )
        same = before and before.stamp == found.stamp
        known = before.part if before and same else ""
        if not known:
            digest = await self._digest(file, found, size)
            known = self._part(digest, dataset, file, wish.place)
        held = Held(
            *(known, dataset, file.name, str(file), found.offset),
            *(found.form, found.rows, found.stamp),
        )
        self._shelf.put(held)
        part = Part(known, found.rows, size, file.name, (self._me,), place=wish.place)
        old = before.part if before and before.part != known else None
        return part, found.form, old

    async def _digest(self, file: Path, found: Inspected, size: int) -> bytes:
        kind = f"{found.form.kind} {found.form.trailing}"
        task = Hash(str(file), found.offset, size, kind, found.stamp)
        hashed = await self._workers.run(task, within_s=HASH_S)
        assert isinstance(hashed, Hashed), "the workers answer what they are asked"
        return hashed.whole

    def _part(self, digest: bytes, dataset: str, file: Path, place: int | None) -> str:
        """A copy elsewhere is the same part; an equal file here is another one."""
        here = {
            each.part
            for each in self._shelf.all()
            if each.dataset == dataset and each.path != str(file)
        }
        ids = (part_id(digest, dataset, place, n) for n in count())
        return next(each for each in ids if each not in here)

    async def _publish(
        self, name: str, form: Form, parts: list[Part], gone: list[str], wish: Wish
    ) -> DatasetRecord:
        """Let the record say so too, however many others change it at the same time."""
        empty = DatasetRecord(
            *(dataset_id(name), name, 0, form, ()),
            *(wish.tags, wish.user, None, time.time()),
        )

        def change(record: DatasetRecord) -> DatasetRecord:
            tags = tuple(dict.fromkeys([*record.tags, *wish.tags]))
            left = parted(record, self._me, gone) if gone else record
            if not left.parts:
                left = replace(left, form=form)
            expected = _expected(record, wish)
            return replace(joined(left, form, parts), tags=tags, expected=expected)

        record = await self._change(empty, change)
        self._shelf.drop(record.id, *gone)
        return record

    async def _change(
        self, empty: DatasetRecord, change: Callable[[DatasetRecord], DatasetRecord]
    ) -> DatasetRecord:
        for _ in range(MEETINGS):
            record = await self._records.read(KIND, empty.id)
            old = decoded(_decoder, record.body) if record else empty
            new = change(old)
            if new == old:
                return old
            body = msgspec.msgpack.encode(new)
            try:
                if record:
                    await self._records.swap(KIND, empty.id, record.version, body)
                else:
                    await self._records.create(KIND, empty.id, body)
            except (Conflict, Exists):
                continue
            return new
        raise Conflict(f"dataset {empty.name}: too many peers change it; add it again")


def _expected(record: DatasetRecord, wish: Wish) -> int | None:
    """How many parts there are to be: who says so must agree with those before."""
    if wish.expected and record.expected not in (None, wish.expected):
        raise Misuse(
            f"dataset {record.name}: it was said to have {record.expected} parts, and "
            f"not {wish.expected}; correct --part, or give it another --name"
        )
    return wish.expected or record.expected


def _disagreement(root: Path, held: list[tuple[Part, Form, str | None]]) -> str:
    """Which two files of a folder cannot be parts of one dataset."""
    first, form, _ = held[0]
    other, different, _ = next(each for each in held if each[1] != form)
    return (
        f"folder {root}: its files are no parts of one dataset, for {first.name} has "
        f"rows of {shown(form)} and {other.name} of {shown(different)}; add each by "
        "itself"
    )


def _files(root: Path) -> list[Path]:
    """What is to be added, in natural order."""
    try:
        found = _found(root)
    except (OSError, RuntimeError, ValueError) as error:  # Links may go in circles.
        raise UnreadableFile(
            f"file {str(root)!a}: it cannot be read, {error!a}; make it readable for "
            "the user who runs the peer"
        ) from error
    for path in found:
        _checked(path.name)
        _checked(str(path), len(str(path)))
    return sorted(found, key=lambda path: natural(path.name))


def _found(root: Path) -> list[Path]:
    if not root.exists():
        raise NotFound(f"file {root}: there is none on the peer's machine; correct it")
    if not root.is_dir():
        return [root.resolve()]
    found = [path.resolve() for path in root.iterdir() if path.suffix == ".npy"]
    if not found:
        raise Misuse(f"folder {root}: no .npy files are in it; put some there")
    return found


def _checked(name: str, most: int = MAX_NAME) -> str:
    """A name that a record can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Misuse(f"file {name!a}: its name is no text; rename it") from None
    if not 0 < len(name) <= most:
        cause = f"a name of {len(name)} characters, and {most} is the most"
        raise Misuse(f"file {name!a}: {cause}; rename it, or give it a --name")
    return name
