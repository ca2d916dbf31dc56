"""The nouns of flow: what records hold, what peers and workers are told.

Limits are part of the types: what decodes is safe to keep.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from shoal.core.machine import PeerId
from shoal.core.wire import COUNT, WORD
from shoal.flow.language.expressions import Constant, Expression

Count = Annotated[int, COUNT]
ID_PATTERN = r"^[a-z0-9]{1,32}\Z"
Id = Annotated[str, Meta(pattern=ID_PATTERN)]
MAX_NAME = 200
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Tag = Annotated[str, Meta(min_length=1, max_length=100)]
Holder = Annotated[PeerId, WORD]
Kind = Annotated[str, Meta(pattern=r"^[<>|=]?[biufc][0-9]{1,2}\Z")]  # NumPy's words.
Digest = Annotated[bytes, Meta(min_length=16, max_length=32)]
Remark = Annotated[str, Meta(max_length=1000)]

MAX_PARTS = 4096
MAX_DIMENSIONS = 32
MAX_HOLDERS = 64
MAX_TAGS = 32
MAX_TEXT = 10_000

# As long as the record of a job is kept: 30 days.
MAX_WITHIN_S = 30 * 86_400.0

# The end of the name of a result that is not whole.
HALF = ".half"

# A part is hashed in pieces of this size.
CHUNK_BYTES = 16 << 20

Tags = Annotated[tuple[Tag, ...], Meta(max_length=MAX_TAGS)]
User = Annotated[str, Meta(max_length=64)]
Within = Annotated[float, Meta(ge=0, le=MAX_WITHIN_S)]  # 0: as long as it takes.
Shape = Annotated[tuple[Count, ...], Meta(max_length=MAX_DIMENSIONS)]


class Form(Struct, frozen=True):
    """What every row is: its type, and its shape without the number of rows."""

    kind: Kind
    trailing: Shape = ()


class Part(Struct, frozen=True):
    """Some rows of a dataset, one file each, and who holds them.

    Its id is its content's digest in hexadecimal, or a random word until it is known.
    """

    id: Id
    rows: Count
    size_bytes: Count  # Of the rows, without a file's head.
    name: Name  # Of the file, without its directory.
    holders: Annotated[tuple[Holder, ...], Meta(max_length=MAX_HOLDERS)]
    place: Count | None = None  # Which of the dataset's, if its owner said so.


class DatasetRecord(Struct, frozen=True):
    """One version of a dataset: a frozen, ordered list of parts."""

    id: Id
    name: Name
    version: Count
    form: Form
    parts: Annotated[tuple[Part, ...], Meta(max_length=MAX_PARTS)]
    tags: Tags = ()
    user: User = ""
    job: Id | None = None  # Whose result it is.
    made: float = 0.0  # Seconds since 1970.
    expected: Count | None = None  # So many places there are, if its owner said so.

    @property
    def rows(self) -> int:
        """Of all parts together."""
        return sum(part.rows for part in self.parts)

    @property
    def lacks(self) -> list[int]:
        """Places of which no part was added."""
        there = [part.place for part in self.parts]
        return [each for each in range(self.expected or 0) if each not in there]

    @property
    def size_bytes(self) -> int:
        """Of all rows."""
        return sum(part.size_bytes for part in self.parts)


# Plans


class Rows(Struct, frozen=True, tag="rows"):
    """Rows of a part that whoever carries the step out holds."""

    part: Id
    start: Count
    stop: Count


class Product(Struct, frozen=True, tag="product"):
    """Rows of what another step has made, counted from its own first row."""

    step: Count
    start: Count
    stop: Count


class Value(Struct, frozen=True, tag="value"):
    """The number that an earlier reduction has come to."""

    reduction: Count


Given = Rows | Product | Value


class Step(Struct, frozen=True):
    """What one peer does in one go: rows in, rows or a partial out."""

    number: Count
    expression: Expression  # Its leaves are `Input` and `Constant`.
    given: tuple[Given, ...]
    form: Form  # Of the rows it makes, or of the values it reduces.
    rows: Count
    # Who can do it, the best first: they hold every `Rows` of it.
    executors: tuple[Holder, ...]
    reduction: Count | None = None  # Makes a partial of that reduction, and no rows.
    sub: str = ""  # The datasets it is about, for people.

    @property
    def size_bytes(self) -> int:
        """What it makes."""
        return 0 if self.reduction is not None else self.rows * row_bytes(self.form)


class Reduction(Struct, frozen=True):
    """A number from the partials of some steps, in their order."""

    number: Count
    operation: str
    steps: tuple[Count, ...]
    form: Form  # Of the number.


class Plan(Struct, frozen=True):
    """How an expression is carried out.

    The result is a number, if `result` is an expression of constants and `Input` that
    count reductions; else the rows of these steps in this order.
    """

    steps: tuple[Step, ...]
    reductions: tuple[Reduction, ...]
    collector: Holder
    form: Form
    result: Expression | None = None
    pieces: tuple[Count, ...] = ()
    moves_bytes: Count = 0  # As far as can be told beforehand.
    copying_bytes: Count = 0  # If all data were copied to who asked instead.
    why: tuple[Remark, ...] = ()  # What was decided, by which numbers.


# Jobs

State = Literal["init", "active", "done", "failed"]


class Sub(Struct, frozen=True):
    """A part of a job: one step, done by one peer."""

    id: Id
    step: Count
    about: Annotated[str, Meta(max_length=MAX_TEXT)]
    executor: Holder
    state: State
    duration_s: float = 0.0
    moved_bytes: Count = 0
    tries: Count = 1


class JobRecord(Struct, frozen=True):
    """What became of an expression."""

    id: Id
    expression: Annotated[str, Meta(max_length=MAX_TEXT)]
    state: State
    submitted: float  # Seconds since 1970.
    asked: Holder  # The peer that was asked.
    user: User = ""
    tags: Tags = ()
    # Which version of which dataset it reads, as it named them.
    inputs: tuple[tuple[Name, Id, Count], ...] = ()
    plan: Plan | None = None
    driver: Holder | None = None  # The collector, while it is active.
    subs: tuple[Sub, ...] = ()
    duration_s: float = 0.0
    moved_bytes: Count = 0
    warnings: tuple[Remark, ...] = ()
    value: Constant | None = None  # The result, if it is a number.
    dataset: Id | None = None  # The result, if it is rows.
    reason: Remark = ""  # Why it failed.
    within_s: float = 0.0  # No longer than that, if not 0.
    collect: Literal["largest", "random"] = "largest"


# Between peers


class Order(Struct, frozen=True):
    """Carry a step of a job out."""

    job: Id
    run: Count  # The version of the job's record that is driven.
    step: Step
    attempt: Count
    sources: dict[Count, Holder]  # Who has the product of which step.
    values: dict[Count, int | float | bool]  # What reductions came to.
    forms: dict[Count, Form]  # Of those products' rows.
    operation: str | None = None  # The reduction whose partial it makes.
    keep: Id | None = None  # The rows are a part of that dataset, and stay.
    place: Count | None = None  # Which of its parts.
    within_s: Annotated[float, Meta(gt=0)] = 3600.0


class Carried(Struct, frozen=True):
    """What came of it."""

    partial: bytes = b""
    part: Part | None = None  # What was kept.
    moved_bytes: Count = 0
    duration_s: float = 0.0
    warnings: tuple[Remark, ...] = ()
    failure: Remark = ""  # Why it could not be done.
    blame: Count | None = None  # The step whose product could not be had.


class Wanted(Struct, frozen=True):
    """Rows over a stream: of a part, or of what a step of a job made there."""

    start: Count
    stop: Count
    part: Id | None = None
    job: Id | None = None
    run: Count = 0
    step: Count = 0


class Over(Struct, frozen=True):
    """A run of a job has ended; of what it made, only these parts stay."""

    job: Id
    run: Count
    kept: Annotated[tuple[Id, ...], Meta(max_length=MAX_PARTS)] = ()


# Workers


class Source(Struct, frozen=True, tag="source"):
    """Rows in a file: of a `.npy`, or bare."""

    path: str
    offset: Count  # Of the first of all rows, in bytes.
    form: Form
    start: Count
    stop: Count
    # What the file was when it was published: size, changed in ns, its number.
    stamp: tuple[int, int, int] | None = None


class Known(Struct, frozen=True, tag="known"):
    """A number."""

    value: int | float | bool


class Evaluate(Struct, frozen=True, tag="evaluate"):
    """Carry a step out: into a file of rows, or to a partial.

    What is to stay is a `.npy` file, and synced; what is not, bare rows.
    """

    expression: Expression
    given: tuple[Source | Known, ...]
    form: Form
    rows: Count
    reduction: str | None = None
    target: str | None = None
    stays: bool = False


class Evaluated(Struct, frozen=True, tag="evaluated"):
    """What came of it: a partial, or nothing but the file; and NumPy's warnings."""

    partial: bytes = b""
    warnings: tuple[Remark, ...] = ()


class Inspect(Struct, frozen=True, tag="inspect"):
    """What is in a file?"""

    path: str


class Inspected(Struct, frozen=True, tag="inspected"):
    """Rows of that form from that offset on."""

    form: Form
    rows: Count
    offset: Count
    stamp: tuple[int, int, int]


class Hash(Struct, frozen=True, tag="hash"):
    """What is a file's content, so that equal ones are known?"""

    path: str
    offset: Count
    size_bytes: Count
    kind: str = ""  # Rows of another form are another content.
    stamp: tuple[int, int, int] | None = None


class Hashed(Struct, frozen=True, tag="hashed"):
    """The digests of its chunks, and of them all."""

    whole: Digest
    chunks: tuple[Digest, ...]


class Failed(Struct, frozen=True, tag="failed"):
    """It cannot be done: what kind of error, and why, as the user is told."""

    kind: str
    message: str


class Ready(Struct, frozen=True, tag="ready"):
    """The first word of a worker."""


Task = Evaluate | Inspect | Hash
Outcome = Evaluated | Inspected | Hashed | Failed


def row_bytes(form: Form) -> int:
    """What a row takes: a type's word ends in its bytes."""
    size = int(form.kind.lstrip("<>|=")[1:])
    for length in form.trailing:
        size *= length
    return size
