"""One job on its way: which step is carried out where, and what then.

The machine knows the plan and what became of its steps; it moves no data. The
invariants: a step begins when everything it is given is there; what a lost peer had
made is made again elsewhere, as long as anybody can; and a job ends once, done or
failed, whatever comes late.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.errors import ShoalError
from shoal.flow.messages import Given, Plan, Product, Reduction, Step, Value

Number = int | float | bool

# A worker may die of what is not its step's fault: tried so often at one peer.
TRIES_AT_ONE = 2


class Carry(Struct, frozen=True):
    """Let a peer carry a step out; products come from there, values are these."""

    step: int
    executor: PeerId
    attempt: int
    sources: dict[int, PeerId]
    values: dict[int, Number]


class Conclude(Struct, frozen=True):
    """All is done: the values of reductions, and who has which step's rows."""

    values: dict[int, Number]
    holders: dict[int, PeerId]


class Fail(Struct, frozen=True):
    """Nobody can do it, and why."""

    reason: str


FlowEffect = Carry | Conclude | Fail

# The number that partials come to, in their order.
Combine = Callable[[Reduction, list[bytes]], Number]


@dataclass(slots=True)
class _Progress:
    """What is known of one step."""

    step: Step
    attempt: int = 0
    executor: PeerId | None = None  # While it runs, and of what is done.
    done: bool = False
    partial: bytes = b""
    tried: dict[PeerId, int] = field(default_factory=dict)
    reason: str = ""  # Why it failed first.


class Conductor:
    """Leads one plan to its end."""

    def __init__(
        self, plan: Plan, combine: Combine, is_present: Callable[[PeerId], bool]
    ) -> None:
        self.plan = plan
        self._combine = combine
        self._is_present = is_present
        self._steps = {step.number: _Progress(step) for step in plan.steps}
        self._values: dict[int, Number] = {}
        self.ended = False

    def begin(self) -> list[FlowEffect]:
        """Whatever can be done first."""
        return self._go_on()

    def done(self, step: int, attempt: int, partial: bytes) -> list[FlowEffect]:
        """A step is done; its partial, if that is what it makes."""
        if self._is_late(step, attempt):
            return []
        progress = self._steps[step]
        progress.done, progress.partial = True, partial
        return self._go_on()

    def failed(
        self, step: int, attempt: int, reason: str, *, blame: int | None = None
    ) -> list[FlowEffect]:
        """A step could not be done; `blame` is the step whose product did not come."""
        if self._is_late(step, attempt):
            return []
        progress = self._steps[step]
        executor, progress.executor = progress.executor, None
        assert executor, "it was under way"
        if blame is not None and blame in self._steps:
            self._undo(blame, reason)
        else:
            progress.tried[executor] = progress.tried.get(executor, 0) + 1
        progress.reason = progress.reason or reason
        return self._go_on()

    def lost(self, peer: PeerId) -> list[FlowEffect]:
        """A peer has gone, with what it did and had made."""
        if self.ended:
            return []
        for number, progress in self._steps.items():
            needed = not progress.done or self._is_needed(number)
            if progress.executor == peer and needed:
                self._undo(number, f"{peer} was lost")
        return self._go_on()

    def executor_of(self, step: int) -> PeerId | None:
        """Who does it, or has done it."""
        return self._steps[step].executor

    def _go_on(self) -> list[FlowEffect]:
        try:
            self._reduce()
        except ShoalError as error:  # Of what others sent.
            self.ended = True
            return [Fail(str(error))]
        effects: list[FlowEffect] = []
        for progress in self._steps.values():
            if progress.executor or progress.done or not self._is_ready(progress.step):
                continue
            executor = self._choose(progress)
            if executor is None:
                self.ended = True
                return [Fail(self._explain(progress))]
            effects.append(self._carry(progress, executor))
        if all(progress.done for progress in self._steps.values()):
            self.ended = True
            holders = {n: self._holder(n) for n in self.plan.pieces}
            return [Conclude(dict(self._values), holders)]
        return effects

    def _carry(self, progress: _Progress, executor: PeerId) -> Carry:
        progress.executor = executor
        progress.attempt += 1
        given = progress.step.given
        return Carry(
            progress.step.number,
            executor,
            progress.attempt,
            {
                each.step: self._holder(each.step)
                for each in given
                if isinstance(each, Product)
            },
            {
                each.reduction: self._values[each.reduction]
                for each in given
                if isinstance(each, Value)
            },
        )

    def _choose(self, progress: _Progress) -> PeerId | None:
        """The best of those who are here and have not failed at it too often."""
        here = [peer for peer in progress.step.executors if self._is_present(peer)]
        tried = {peer: progress.tried.get(peer, 0) for peer in here}
        left = [peer for peer in here if tried[peer] < TRIES_AT_ONE]
        return min(left, key=lambda peer: tried[peer], default=None)

    def _is_ready(self, step: Step) -> bool:
        for each in step.given:
            if isinstance(each, Product) and not self._steps[each.step].done:
                return False
            if isinstance(each, Value) and each.reduction not in self._values:
                return False
        return True

    def _is_needed(self, step: int) -> bool:
        """Does anybody still want its rows?"""
        reduction = self._steps[step].step.reduction
        if reduction is not None:
            return False  # Its partial is here.
        return step in self.plan.pieces or any(
            isinstance(each, Product) and each.step == step and not other.done
            for other in self._steps.values()
            for each in other.step.given
        )

    def _is_late(self, step: int, attempt: int) -> bool:
        progress = self._steps.get(step)
        over = self.ended or progress is None or progress.done
        return over or progress is None or progress.attempt != attempt

    def _undo(self, step: int, reason: str) -> None:
        """It is to be made again, and what waits for it waits on."""
        progress = self._steps[step]
        if progress.executor and progress.done:
            progress.tried[progress.executor] = TRIES_AT_ONE  # It has lost it once.
        progress.executor, progress.done = None, False
        progress.attempt += 1  # Whatever comes of it now is late.
        progress.reason = progress.reason or reason

    def _holder(self, step: int) -> PeerId:
        executor = self._steps[step].executor
        assert executor, "it is done"
        return executor

    def _reduce(self) -> None:
        for reduction in self.plan.reductions:
            steps = [self._steps[number] for number in reduction.steps]
            due = reduction.number not in self._values
            if due and all(progress.done for progress in steps):
                partials = [progress.partial for progress in steps]
                self._values[reduction.number] = self._combine(reduction, partials)

    def _explain(self, progress: _Progress) -> str:
        step = progress.step
        about = step.sub or f"step {step.number}"
        if progress.reason:
            return f"{about}: {progress.reason}"
        who = ", ".join(step.executors) or "nobody"
        return f"{about}: no holder of its data is here; it lies with {who}"


def is_sound(plan: Plan) -> bool:
    """Does it speak of its own steps and reductions only? Others may have made it."""
    steps = {step.number for step in plan.steps}
    reductions = range(len(plan.reductions))
    made = [number for each in plan.reductions for number in each.steps]
    if not steps.issuperset([*made, *plan.pieces]):
        return False
    return all(
        step.executors
        and (step.reduction is None or step.reduction in reductions)
        and all(_is_known(given, steps, reductions) for given in step.given)
        for step in plan.steps
    )


def _is_known(given: Given, steps: set[int], reductions: range) -> bool:
    match given:
        case Product(step):
            return step in steps
        case Value(reduction):
            return reduction in reductions
    return True
