"""Where each part of an expression runs, so that the fewest bytes move.

Rows are cut at every border of the parts involved. Within such a segment each node of
the tree is made where its rows, or what was made of them, are the least to send.
Reductions come first, the inner ones before those that need their numbers; only their
partials leave a peer.
"""

from collections.abc import Mapping
from random import Random
from typing import Literal

from shoal.core.machine import PeerId
from shoal.errors import BadExpression, NotFound
from shoal.flow.arithmetic.types import Typed, check
from shoal.flow.language.expressions import Dataset, Expression, Tagged
from shoal.flow.language.grammar import show
from shoal.flow.messages import DatasetRecord, Plan, Reduction
from shoal.flow.plans.rationale import explained
from shoal.flow.plans.segments import (
    Loads,
    collector,
    held_bytes,
    lacking_bytes,
    segments,
)
from shoal.flow.plans.stepping import Steps, in_numbers
from shoal.flow.plans.unfolding import adds, unfolded

Collect = Literal["largest", "random"]


def plan(
    expression: Expression,
    records: Mapping[Dataset | Tagged, DatasetRecord],
    present: Loads,
    asked: PeerId,
    *,
    rng: Random,
    collect: Collect = "largest",
) -> Plan:
    """How it is carried out; `present` are all who are here, and how busy they are."""

    def formed(leaf: Dataset | Tagged) -> DatasetRecord:
        if leaf not in records:
            raise NotFound(f"no dataset {show(leaf)}: `shoal datasets` lists them")
        return records[leaf]

    typed = check(expression, formed)
    if typed.rows is None and typed.form.kind[1] == "c":
        raise BadExpression(
            f"`{typed.text}` is one complex number: ask for real(…) and imag(…)"
        )
    chance = rng if collect == "random" else None
    chosen = collector(held_bytes(typed, present), present, asked, chance)
    return _planned(typed, present, asked, chosen)


def _planned(typed: Typed, present: Loads, asked: PeerId, chosen: PeerId) -> Plan:
    steps = Steps(chosen, present)
    root = unfolded(typed)
    reductions = tuple(
        _reduced(node, number, steps, present)
        for number, node in enumerate(_reductions(root).values())
    )
    whole: Expression | None = None
    pieces: tuple[int, ...] = ()
    if root.rows is None:
        whole = in_numbers(root, steps.numbers)
    else:
        # The terms of a sum are made where they lie; the sum is collected.
        home = chosen if adds(typed) else None
        pieces = tuple(
            steps.add(root, segment, at=home) for segment in segments(root, present)
        )
    held, copying = held_bytes(typed, present), lacking_bytes(typed, asked)
    return Plan(
        tuple(steps.made),
        reductions,
        chosen,
        typed.form,
        whole,
        pieces,
        steps.moved_bytes,
        copying,
        explained(steps, held, chosen, asked, copying),
    )


def _reduced(node: Typed, number: int, steps: Steps, present: Loads) -> Reduction:
    """One reduction's steps: a partial for each segment."""
    steps.numbers[node.key] = number
    argument = node.arguments[0]
    made = tuple(
        steps.add(argument, segment, reduction=node)
        for segment in segments(argument, present)
    )
    return Reduction(number, node.operation, made, node.form)


def _reductions(node: Typed) -> dict[str, Typed]:
    """All reductions of the tree by key, the inner ones first."""
    found: dict[str, Typed] = {}
    for argument in node.arguments:
        found |= _reductions(argument)
    if node.is_reduction:
        found.setdefault(node.key, node)
    return found
