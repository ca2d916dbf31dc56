"""What a request comes to, given what stands there: the rules of records."""

from typing import NamedTuple

from shoal.table.records.messages import (
    MAX_CHANGES,
    Answer,
    Ask,
    Change,
    Claim,
    Create,
    Declined,
    Done,
    Entry,
    Found,
    NotNow,
    Read,
    Swap,
    Take,
)
from shoal.table.records.tenures import Tenure


class Decision(NamedTuple):
    """An answer, and what stands there then, if that is something else."""

    answer: Answer | NotNow
    entry: Entry | None = None


def decide(
    ask: Ask, had: Entry | None, tenure: Tenure, now: float, *, room: bool
) -> Decision:
    """What is to be answered, and to be changed. `room`: may anything be added?"""
    what = ask.what
    if isinstance(what, Read):
        there = had if had and had.body is not None else None
        return Decision(Found(ask.request, there))
    if had and (made := had.made_by(ask.request)) is not None:
        return Decision(Done(ask.request, made))
    match what:
        case Create():
            return _create(ask, what, had, tenure, room=room)
        case Swap():
            return _swap(ask, what, had, tenure)
        case Take():
            return _claim(ask, what, had, tenure, now)


def _create(
    ask: Ask, what: Create, had: Entry | None, tenure: Tenure, *, room: bool
) -> Decision:
    if had and ask.again and len(had.changes) == MAX_CHANGES:
        return _lost_sight(ask)
    if had and had.body is not None:
        cause = "it is there already; choose another id, or swap it"
        return _declined(ask, "Exists", cause)
    if not room:
        if ask.again:  # It may yet be done: nobody can say that it was not.
            return Decision(NotNow(ask.request))
        cause = "there is no room for more records; remove some, or wait a moment"
        return _declined(ask, "Overloaded", cause)
    return _changed(ask, had, tenure.next_version(), what.body, None)


def _swap(ask: Ask, what: Swap, had: Entry | None, tenure: Tenure) -> Decision:
    if had is None or had.body is None:
        return _refused(ask, had, "nothing stands there; create it")
    if had.version != what.version:
        cause = f"its version is {had.version}, not {what.version}; read it again"
        return _refused(ask, had, cause)
    if what.token and (had.claim is None or had.claim.token != what.token):
        return _refused(ask, had, f"claim {what.token} has ended; claim it again")
    if what.body is None:
        tenure.unclaim(had)
        return _changed(ask, had, tenure.next_version(), None, None)
    return _changed(ask, had, tenure.next_version(), what.body, had.claim)


def _claim(
    ask: Ask, what: Take, had: Entry | None, tenure: Tenure, now: float
) -> Decision:
    if had is None or had.body is None:
        return _refused(ask, had, "nothing stands there; create it")
    if what.token:
        return _renew(ask, what, had, tenure, now)
    if (left_s := tenure.left_s(had, now)) > 0:
        return _refused(ask, had, f"it is claimed for {left_s:.1f} s more")
    tenure.hear(had, now)
    version = tenure.next_version()
    return _changed(ask, had, version, had.body, Claim(version, what.seconds))


def _renew(ask: Ask, what: Take, had: Entry, tenure: Tenure, now: float) -> Decision:
    if had.claim is None or had.claim.token != what.token:
        return _refused(ask, had, f"claim {what.token} has ended; claim it again")
    tenure.hear(had, now)
    if what.seconds == had.claim.seconds:
        return Decision(Done(ask.request, what.token))
    claim = Claim(what.token, what.seconds) if what.seconds else None
    return _changed(ask, had, tenure.next_version(), had.body, claim)


def _changed(
    ask: Ask,
    had: Entry | None,
    version: int,
    body: bytes | None,
    claim: Claim | None,
) -> Decision:
    before = had.changes[1 - MAX_CHANGES :] if had else ()
    changes = (*before, Change(ask.request, version))
    entry = Entry(ask.what.kind, ask.what.id, version, body, changes, claim)
    return Decision(Done(ask.request, version), entry)


def _refused(ask: Ask, had: Entry | None, cause: str) -> Decision:
    """It conflicts; or so it looks, since what was done is remembered no more."""
    if had and ask.again and len(had.changes) == MAX_CHANGES:
        return _lost_sight(ask)
    return _declined(ask, "Conflict", cause)


def _lost_sight(ask: Ask) -> Decision:
    cause = "it has changed too often since this was asked: it may have been done"
    return _declined(ask, "Unanswered", f"{cause}; read the record")


def _declined(ask: Ask, error: str, cause: str) -> Decision:
    why = f"record {ask.what.kind}/{ask.what.id}: {cause}"
    return Decision(Declined(ask.request, error, why))
