"""What it costs to have a node's rows at each peer, in bytes a row.

A call's cost at a peer is the sum of having its arguments there; an argument is made
there, or made where that is cheapest and sent. All peers in question are those who
hold some of the rows, and the collector.
"""

from collections.abc import Mapping
from math import inf

from shoal.core.machine import PeerId
from shoal.flow.arithmetic.types import Typed
from shoal.flow.messages import row_bytes
from shoal.flow.plans.segments import Loads, Segment


class Placing:
    """The costs within segments whose pieces are held alike."""

    def __init__(self, segment: Segment, collector: PeerId) -> None:
        self._holders = {key: piece.holders for key, piece in segment.pieces.items()}
        everybody = [peer for holders in segment.holders for peer in holders]
        self._peers = tuple(dict.fromkeys([*everybody, collector]))
        self._known: dict[str, dict[PeerId, int]] = {}

    def costs(self, node: Typed) -> Mapping[PeerId, int]:
        """What moves, if the node is made there, for all who can make it."""
        if node.key not in self._known:
            self._known[node.key] = self._computed(node)
        return self._known[node.key]

    def _computed(self, node: Typed) -> dict[PeerId, int]:
        if node.record is not None:
            return dict.fromkeys(self._holders[node.record.id], 0)
        costs = dict.fromkeys(self._peers, 0)
        distinct = {each.key: each for each in node.arguments if each.rows is not None}
        for argument in distinct.values():
            there = self.costs(argument)
            sent = min(there.values()) + row_bytes(argument.form)
            for peer in costs:
                costs[peer] += min(there.get(peer, sent), sent)
        return costs

    def source(self, node: Typed, peer: PeerId, loads: Loads) -> PeerId:
        """Where to make a node that is needed at a peer."""
        costs = self.costs(node)
        cheapest = min(costs.values())
        if costs.get(peer, inf) <= cheapest + row_bytes(node.form):
            return peer
        best = (each for each, cost in costs.items() if cost == cheapest)
        return min(best, key=lambda each: (loads[each], each))

    def home(self, node: Typed, collector: PeerId, loads: Loads) -> PeerId:
        """Where to make a node that is needed nowhere in particular."""
        costs = self.costs(node)
        cheapest = min(costs.values())
        best = [each for each, cost in costs.items() if cost == cheapest]
        if cheapest and collector in best:
            return collector
        return min(best, key=lambda each: (loads[each], each))
