"""Requests and answers over links: futures for who asks, handlers for who answers.

A handler that answers at once costs no task. One that takes its time gets as long as
the request's own deadline leaves it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import Raw

from shoal.core.flight import (
    Answered,
    Broken,
    Declined,
    Expired,
    Flights,
    Outcome,
    Refusal,
    Reply,
    Request,
)
from shoal.core.frames import MAX_FRAME_BYTES
from shoal.core.links import LinkMessage
from shoal.core.machine import Effects, Emit, PeerId, Send
from shoal.errors import (
    Misuse,
    ShoalError,
    Unanswered,
    Unknown,
    Unreachable,
    named,
)
from shoal.net.clockwork import Clockwork
from shoal.net.ways import Way

# A handler gets the asker and the body, and gives back the answer's body.
Handler = Callable[[PeerId, Raw], "bytes | Awaitable[bytes]"]

FlightEffects = Effects[Request, Outcome[asyncio.Future[Raw]]]

# Answers under way for one asker; its credit is the same number.
MAX_ANSWERING = 1024

# A frame's, less what a batch and a relay add.
MAX_BODY_BYTES = MAX_FRAME_BYTES - 1024


class Asking:
    """Our requests to others, and theirs to us."""

    def __init__(
        self,
        write: Callable[[PeerId, LinkMessage], None],
        reach: Callable[[PeerId], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._write = write
        self._reach = reach
        self._tasks: dict[asyncio.Future[bytes], None] = {}
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._flights: Flights[asyncio.Future[Raw]] = Flights()
        self._clockwork = Clockwork(self._wake)
        self._settled_for = math.inf
        self._handlers: dict[str, Handler] = {}
        self._answering: dict[PeerId, int] = {}

    def serve(self, topic: str, handler: Handler) -> None:
        """Say who answers requests of a topic."""
        self._handlers[topic] = handler

    def ask(
        self,
        to: PeerId,
        topic: str,
        body: bytes,
        *,
        within_s: float,
        repeat_s: float = math.inf,
    ) -> asyncio.Future[Raw]:
        """Ask a peer; the answer by the deadline, or an error that says what is known.

        `repeat_s` is for what may be done twice: it is asked again that often.
        """
        if len(body) > MAX_BODY_BYTES:
            raise Misuse(f"a request of {len(body)} bytes: too long; open a stream")
        waiter: asyncio.Future[Raw] = self._loop.create_future()
        flights = self._flights
        effects = flights.ask(
            waiter, to, topic, Raw(body), self._loop.time(), within_s, repeat_s
        )
        if effects:
            self._do(effects)
        else:
            self._reach(to)
        if flights.deadline < self._settled_for:
            self.settle()
        return waiter

    def take(self, sender: PeerId, way: Way, message: LinkMessage, now: float) -> bool:
        """Act upon a message, if it is a request or an answer. Then `settle`."""
        if isinstance(message, Request):
            self._answer(sender, way, message)
        elif isinstance(message, (Reply, Refusal)):
            self._do(self._flights.receive(sender, message, now))
        else:
            return False
        return True

    def settle(self) -> None:
        """Set the alarm, after a batch has been taken."""
        self._settled_for = self._flights.deadline
        self._clockwork.alarm(self._settled_for)

    def opened(self, peer: PeerId) -> None:
        """There is a way to a peer."""
        self._perform(self._flights.opened(peer, self._loop.time()))

    def lost(self, peer: PeerId) -> None:
        """There is no way to a peer any more."""
        self._perform(self._flights.lost(peer, self._loop.time()))

    def stop(self) -> None:
        """Ring no more, and answer nobody."""
        self._clockwork.stop()
        for task in list(self._tasks):
            task.cancel()

    # Our requests

    def _wake(self) -> None:
        self._perform(self._flights.wake(self._loop.time()))

    def _perform(self, effects: FlightEffects) -> None:
        self._do(effects)
        self.settle()

    def _do(self, effects: FlightEffects) -> None:
        for effect in effects:
            if isinstance(effect, Emit):
                _resolve(effect.fact)
            elif isinstance(effect, Send):
                self._write(effect.to, effect.message)

    # Their requests

    def _answer(self, sender: PeerId, way: Way, request: Request) -> None:
        handler = self._handlers.get(request.topic)
        if handler is None:
            why = f"this peer does not serve {request.topic!r}; upgrade the older one"
            way.write(Refusal(request.number, "Misuse", why))
            return
        if self._answering.get(sender, 0) >= MAX_ANSWERING:
            why = f"{MAX_ANSWERING} of your requests are under way here; wait for some"
            way.write(Refusal(request.number, "Overloaded", why))
            return
        try:
            answer = handler(sender, request.body)
        except ShoalError as error:
            way.write(_refusal(request, error))
            return
        if isinstance(answer, bytes):
            way.write(_reply(request, answer))
        else:
            self._answer_later(sender, way, request, answer)

    def _answer_later(
        self, sender: PeerId, way: Way, request: Request, answer: Awaitable[bytes]
    ) -> None:
        task = asyncio.ensure_future(answer)
        self._tasks[task] = None
        self._answering[sender] = self._answering.get(sender, 0) + 1
        # The asker gives up by itself then, so nobody would hear the answer.
        timer = self._loop.call_later(request.within_ms / 1000, task.cancel)
        task.add_done_callback(
            lambda _: self._answered(sender, way, request, timer, task)
        )

    def _answered(
        self,
        sender: PeerId,
        way: Way,
        request: Request,
        timer: asyncio.TimerHandle,
        task: asyncio.Future[bytes],
    ) -> None:
        timer.cancel()
        del self._tasks[task]
        self._answering[sender] -= 1
        if not self._answering[sender]:
            del self._answering[sender]
        if task.cancelled():
            return
        write = partial(self._write, sender) if way.closed else way.write
        error = task.exception()
        if error is None:
            write(_reply(request, task.result()))
        elif isinstance(error, ShoalError):
            write(_refusal(request, error))
        else:
            self._fail(error if isinstance(error, Exception) else Exception(error))


def _reply(request: Request, body: bytes) -> Reply | Refusal:
    if len(body) > MAX_BODY_BYTES:
        why = f"an answer of {len(body)} bytes: too long; ask for a stream"
        return Refusal(request.number, "Misuse", why)
    return Reply(request.number, Raw(body))


def _refusal(request: Request, error: ShoalError) -> Refusal:
    return Refusal(request.number, type(error).__name__, str(error)[:400])


def _resolve(outcome: Outcome[asyncio.Future[Raw]]) -> None:
    waiter = outcome.waiter
    if waiter.done():
        return  # Cancelled by whoever asked.
    match outcome:
        case Answered():
            waiter.set_result(outcome.body)
        case Declined(_, kind, why):
            waiter.set_exception(named(kind, why))
        case Expired(_, to, sent):
            done = "it may have acted on it" if sent else "it was never asked"
            why = f"{to} did not answer in time; {done}"
            waiter.set_exception(_unknown(Unanswered(why), sent))
        case Broken(_, to, sent):
            done = "it may have acted on it" if sent else "it was never asked"
            why = f"the way to {to} broke before it answered; {done}"
            waiter.set_exception(_unknown(Unreachable(why), sent))


def _unknown(error: Unknown, sent: bool) -> Unknown:
    error.asked = sent
    return error
