"""Steps, written down as nodes are placed: each one once, before those who need it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shoal.core.machine import PeerId
from shoal.flow.arithmetic.reductions import PARTIAL_BYTES
from shoal.flow.arithmetic.types import Typed, type_name
from shoal.flow.language.expressions import Call, Expression, Input
from shoal.flow.messages import Given, Product, Step, Value, row_bytes
from shoal.flow.plans.placing import Placing
from shoal.flow.plans.segments import Loads, Segment, leaves

# Who else could do a step that needs nobody's own rows.
_MAX_ALTERNATIVES = 8

# What an earlier reduction's number takes on its way to a step.
VALUE_BYTES = 8

# A longer one is cut: it is for people.
_MAX_ABOUT = 200


class Move(NamedTuple):
    """Rows that one step sends to the peer of another, and what they were made of."""

    giver: PeerId
    taker: PeerId
    size_bytes: int
    made_of_bytes: int
    text: str


class Steps:
    """All steps of a plan so far, who does them, and what moves between them."""

    def __init__(self, collector: PeerId, present: Loads) -> None:
        self.made: list[Step] = []
        self.moves: dict[tuple[int, PeerId], Move] = {}
        self.numbers: dict[str, int] = {}  # Of reductions, by their key.
        self.values: dict[tuple[int, PeerId], None] = {}  # Numbers that travel.
        self._collector = collector
        self._loads = {collector: 0, **present}
        self._placings: dict[tuple[object, ...], Placing] = {}
        self._known: dict[tuple[object, ...], int] = {}

    @property
    def moved_bytes(self) -> int:
        """What goes from peer to peer: rows, partials and numbers."""
        away = [step for step in self.made if step.executors[0] != self._collector]
        partials = sum(step.reduction is not None for step in away)
        rows = sum(move.size_bytes for move in self.moves.values())
        return rows + PARTIAL_BYTES * partials + VALUE_BYTES * len(self.values)

    def add(
        self,
        node: Typed,
        segment: Segment,
        *,
        at: PeerId | None = None,
        reduction: Typed | None = None,
    ) -> int:
        """Make a node over a segment: at a peer, or where it is cheapest."""
        placing = self._placing(node, segment)
        peer = at or placing.home(node, self._collector, self._loads)
        return _Writing(self, placing, segment, peer).written(node, reduction)

    def _placing(self, node: Typed, segment: Segment) -> Placing:
        key: tuple[object, ...] = (segment.holders, *segment.pieces)
        if key not in self._placings:
            self._placings[key] = Placing(segment, self._collector)
        return self._placings[key]

    def prefer(
        self, wanted: Sequence[tuple[PeerId, ...]], peer: PeerId
    ) -> tuple[PeerId, ...]:
        """That peer, then the others who hold all of these, the least busy first."""
        able = [each for each in self._loads if all(each in held for held in wanted)]
        others = sorted(able, key=lambda each: (self._loads[each], each))
        if not wanted:
            del others[_MAX_ALTERNATIVES:]
        return (peer, *(each for each in others if each != peer))

    def keep(self, key: tuple[object, ...], step: Step) -> None:
        """Take a step up; whoever does it is busier by one."""
        self.made.append(step)
        self._known[key] = step.number
        self._loads[step.executors[0]] += 1

    def known(self, key: tuple[object, ...]) -> int | None:
        """The number of a step that has been made."""
        return self._known.get(key)

    def source(self, placing: Placing, node: Typed, peer: PeerId) -> PeerId:
        """Where to make what is needed at a peer."""
        return placing.source(node, peer, self._loads)

    def send_value(self, number: int, peer: PeerId) -> None:
        """A number goes from the collector to whoever needs it."""
        if peer != self._collector:
            self.values[number, peer] = None


class _Writing:
    """One step at one peer over one segment, while it is written."""

    def __init__(
        self, steps: Steps, placing: Placing, segment: Segment, peer: PeerId
    ) -> None:
        self._steps = steps
        self._placing = placing
        self._segment = segment
        self._peer = peer
        self._given: dict[Given, int] = {}

    def written(self, node: Typed, reduction: Typed | None) -> int:
        """The number of the step that makes this node."""
        about = reduction or node
        key = (about.key, reduction is None, self._segment.key, self._peer)
        if (number := self._steps.known(key)) is not None:
            return number
        expression = self._inlined(node, top=True)
        held = tuple(
            piece.holders
            for piece in self._segment.pieces.values()
            if piece.rows in self._given
        )
        step = Step(
            len(self._steps.made),
            expression,
            tuple(self._given),
            node.form,
            self._segment.rows,
            self._steps.prefer(held, self._peer),
            self._steps.numbers[reduction.key] if reduction else None,
            "" if self._joins else _cut(about.text),
        )
        self._steps.keep(key, step)
        return step.number

    @property
    def _joins(self) -> bool:
        return any(isinstance(given, Product) for given in self._given)

    def _inlined(self, node: Typed, *, top: bool = False) -> Expression:
        """The node as this step computes it, or as it is given."""
        if node.constant is not None:
            return node.constant
        if node.is_reduction:
            number = self._steps.numbers[node.key]
            self._steps.send_value(number, self._peer)
            # A bare number has no type, and this one has.
            return Call(type_name(node.form), (self._place(Value(number)),))
        if node.rows is not None:
            source = self._steps.source(self._placing, node, self._peer)
            if not top and (node.apart or source != self._peer):
                return self._place(self._product(node, source))
        if node.record is not None:
            return self._place(self._segment.pieces[node.record.id].rows)
        return Call(node.operation, tuple(map(self._inlined, node.arguments)))

    def _product(self, node: Typed, source: PeerId) -> Product:
        rows = self._segment.rows
        writing = _Writing(self._steps, self._placing, self._segment, source)
        number = writing.written(node, None)
        if source != self._peer:
            records = leaves(node).values()
            made_of = rows * sum(row_bytes(record.form) for record in records)
            size_bytes = rows * row_bytes(node.form)
            move = Move(source, self._peer, size_bytes, made_of, node.text)
            self._steps.moves[number, self._peer] = move
        return Product(number, 0, rows)

    def _place(self, given: Given) -> Input:
        return Input(self._given.setdefault(given, len(self._given)))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_ABOUT else f"{text[: _MAX_ABOUT - 1]}…"


def in_numbers(
    node: Typed, numbers: Mapping[str, int], *, top: bool = True
) -> Expression:
    """A number's expression, where an `Input` counts the reductions."""
    if node.constant is not None:
        return node.constant
    if node.is_reduction:
        value = Input(numbers[node.key])
        return value if top else Call(type_name(node.form), (value,))
    inner = (in_numbers(each, numbers, top=False) for each in node.arguments)
    return Call(node.operation, tuple(inner))
