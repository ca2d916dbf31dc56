"""Requests under way: each ends with one outcome, by its deadline at the latest.

A lane leads to one peer. It opens when there is a way, and carries as many unanswered
requests as that peer gives credit for; further ones wait in order. A request is sent
once, unless its caller said that repeating it does no harm. When a link breaks, what
was sent over it has an unknown outcome, and only what may be repeated is.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Raw, Struct

from shoal.core.machine import Effects, Emit, PeerId, Send

# What a peer takes before it answers; beyond that many more wait here. At 1,024 and
# 100 us a request the oldest waits 0.1 s, so more would only hide that it is slow.
CREDIT = 1024
MAX_WAITING = 8192

Number = Annotated[int, Meta(ge=0, lt=2**62)]
Topic = Annotated[str, Meta(min_length=1, max_length=32)]
Remark = Annotated[str, Meta(max_length=400)]


class Request(Struct, array_like=True, tag=1, gc=False):
    """Please do this within so many milliseconds of now, or not at all."""

    number: Number
    topic: Topic
    within_ms: Number
    body: Raw


class Reply(Struct, array_like=True, tag=2, gc=False):
    """It is done; this came of it."""

    number: Number
    body: Raw


class Refusal(Struct, array_like=True, tag=3, gc=False):
    """It is not done, and this is why."""

    number: Number
    kind: Topic
    why: Remark


WaiterT = TypeVar("WaiterT")


class Answered(Struct, Generic[WaiterT], gc=False):
    """The request was done."""

    waiter: WaiterT
    body: Raw


class Declined(Struct, Generic[WaiterT], gc=False):
    """The request was certainly not done."""

    waiter: WaiterT
    kind: str
    why: str


class Expired(Struct, Generic[WaiterT], gc=False):
    """No answer came in time. `sent` tells whether it may have been done."""

    waiter: WaiterT
    to: PeerId
    sent: bool


class Broken(Struct, Generic[WaiterT], gc=False):
    """The link broke. `sent` tells whether it may have been done."""

    waiter: WaiterT
    to: PeerId
    sent: bool


Outcome = Answered[WaiterT] | Declined[WaiterT] | Expired[WaiterT] | Broken[WaiterT]


class _Flight(Struct, Generic[WaiterT]):
    waiter: WaiterT
    to: PeerId
    request: Request
    deadline: float
    repeat_s: float
    repeat_at: float = math.inf
    sent: bool = False


@dataclass(slots=True)
class _Lane:
    credit: int = 0  # None until there is a way.
    waiting: deque[int] = field(default_factory=deque)


class Flights(Generic[WaiterT]):
    """One peer's requests to all others."""

    def __init__(self) -> None:
        self._number = 0
        self._flights: dict[int, _Flight[WaiterT]] = {}
        self._lanes: dict[PeerId, _Lane] = {}
        self.deadline = math.inf

    def __len__(self) -> int:
        return len(self._flights)

    def ask(
        self,
        waiter: WaiterT,
        to: PeerId,
        topic: str,
        body: Raw,
        now: float,
        within_s: float,
        repeat_s: float = math.inf,
    ) -> Effects[Request, Outcome[WaiterT]]:
        """Ask a peer. `waiter` comes back with the outcome.

        `repeat_s` is for what may be done twice: it is asked again that often.
        """
        lane = self._lanes.get(to)
        if lane is None:
            lane = self._lanes[to] = _Lane()
        if len(lane.waiting) >= MAX_WAITING:
            why = f"{len(lane.waiting)} requests to {to} wait already; ask more slowly"
            return [Emit(Declined(waiter, "Overloaded", why))]
        self._number = number = self._number + 1
        request = Request(number, topic, int(within_s * 1000), body)
        flight = _Flight(waiter, to, request, now + within_s, repeat_s)
        self._flights[number] = flight
        if flight.deadline < self.deadline:
            self.deadline = flight.deadline
        if lane.credit <= 0:
            lane.waiting.append(number)
            return []
        return [self._depart(flight, lane, now)]

    def opened(self, peer: PeerId, now: float) -> Effects[Request, Outcome[WaiterT]]:
        """There is a way to a peer: what waits for it departs."""
        lane = self._lanes.get(peer)
        if lane is None:
            lane = self._lanes[peer] = _Lane()
        under_way = sum(
            flight.sent for flight in self._flights.values() if flight.to == peer
        )
        lane.credit = CREDIT - under_way
        return list(self._proceed(lane, now))

    def receive(
        self, sender: PeerId, message: Reply | Refusal, now: float
    ) -> Effects[Request, Outcome[WaiterT]]:
        """An answer came. Only who was asked can answer, and only once."""
        flight = self._flights.get(message.number)
        if flight is None or flight.to != sender or not flight.sent:
            return []
        effects: Effects[Request, Outcome[WaiterT]] = []
        if isinstance(message, Reply):
            effects.append(Emit(Answered(flight.waiter, message.body)))
        else:
            effects.append(Emit(Declined(flight.waiter, message.kind, message.why)))
        del self._flights[message.number]
        if lane := self._lanes.get(sender):
            lane.credit += 1
            if lane.waiting:
                effects += self._proceed(lane, now)
        return effects

    def lost(self, peer: PeerId, now: float) -> Effects[Request, Outcome[WaiterT]]:
        """There is no way to a peer. What may be repeated waits; the rest ends."""
        if self._lanes.pop(peer, None) is None:
            return []
        effects: Effects[Request, Outcome[WaiterT]] = []
        kept = deque[int]()
        for number, flight in list(self._flights.items()):
            if flight.to != peer:
                continue
            if flight.repeat_s == math.inf:
                del self._flights[number]
                effects.append(Emit(Broken(flight.waiter, peer, flight.sent)))
            elif not flight.sent:
                kept.append(number)
        if kept:
            self._lanes[peer] = _Lane(waiting=kept)
        return effects

    def wake(self, now: float) -> Effects[Request, Outcome[WaiterT]]:
        """End what is overdue, repeat what is due."""
        effects: Effects[Request, Outcome[WaiterT]] = []
        for number, flight in list(self._flights.items()):
            if flight.deadline <= now:
                self._forget(number, flight)
                effects.append(Emit(Expired(flight.waiter, flight.to, flight.sent)))
                if lane := self._lanes.get(flight.to):
                    effects += self._proceed(lane, now)
            elif flight.repeat_at <= now:
                flight.repeat_at = now + flight.repeat_s
                effects.append(Send(flight.to, _again(flight, now)))
        self.deadline = min(
            (min(each.deadline, each.repeat_at) for each in self._flights.values()),
            default=math.inf,
        )
        return effects

    def _proceed(self, lane: _Lane, now: float) -> list[Send[Request]]:
        sent = []
        while lane.waiting and lane.credit > 0:
            flight = self._flights.get(lane.waiting.popleft())
            if flight:
                flight.request = _again(flight, now)
                sent.append(self._depart(flight, lane, now))
        return sent

    def _depart(
        self, flight: _Flight[WaiterT], lane: _Lane, now: float
    ) -> Send[Request]:
        lane.credit -= 1
        flight.sent = True
        if flight.repeat_s != math.inf:
            flight.repeat_at = now + flight.repeat_s
            self.deadline = min(self.deadline, flight.repeat_at)
        return Send(flight.to, flight.request)

    def _forget(self, number: int, flight: _Flight[WaiterT]) -> None:
        del self._flights[number]
        if flight.sent and flight.to in self._lanes:
            self._lanes[flight.to].credit += 1


def _again(flight: _Flight[WaiterT], now: float) -> Request:
    """The same request, with the time that is left for it now."""
    old = flight.request
    left_ms = max(0, int((flight.deadline - now) * 1000))
    return Request(old.number, old.topic, left_ms, old.body)
