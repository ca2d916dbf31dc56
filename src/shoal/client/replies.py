"""What the table's refusals mean to the caller: whose fault, and did it happen."""

from os import strerror

from hiredis import ReplyError

from shoal import errors

# By the first word of an error, as Redis has it. Others are refusals.
_KINDS: dict[str, type[errors.ShoalError]] = {
    "ERR": errors.Misuse,
    "WRONGTYPE": errors.Misuse,
    "NOAUTH": errors.Unauthorized,
    "NOPERM": errors.Unauthorized,
    "WRONGPASS": errors.Unauthorized,
    "BUSY": errors.Overloaded,
    "OOM": errors.Overloaded,
    "TRYAGAIN": errors.Overloaded,
    "UNKNOWN": errors.Unknown,
}


def failure(address: str, reply: ReplyError) -> errors.ShoalError:
    """The error that a peer answered with."""
    text = str(reply)
    word, _, rest = text.partition(" ")
    kind = _KINDS.get(word, errors.Refused)
    if kind is errors.Misuse and rest.startswith("unknown command"):
        kind = errors.Refused
        rest = f"{rest.partition(',')[0]}; is it older than this program?"
    told = rest if word in ("ERR", "BUSY") or kind is errors.Unknown else text
    return kind(f"peer {address}: {told or text}")


def at_the_door(address: str, said: bytes) -> errors.ShoalError:
    """What a line means that is told before any dialect is spoken; else it is none."""
    line = said.partition(b"\r\n")[0]
    if not line.startswith(b"-"):
        return foreign(address)
    return failure(address, ReplyError(line[1:].decode(errors="replace")))


# What whoever asks in vain can do.
ELSEWHERE = "is it up? start it again where it runs (shoal up), or ask another"


def lost(address: str, cause: object, *, asked: bool) -> errors.Unreachable:
    """The connection has gone; if something was asked, it may have been done."""
    number = getattr(cause, "errno", None) or 0
    # A name that is not known has a negative number, and words of its own.
    words = strerror(number) if number > 0 else getattr(cause, "strerror", None)
    why = str(words or cause or "it hung up").lower()
    if asked:
        return errors.Unreachable(
            f"peer {address}: the connection broke before it answered ({why}), and "
            "what was asked may have been done; look before you repeat it"
        )
    return errors.Unreachable(f"peer {address}: {why}; {ELSEWHERE}")


def unanswered(address: str, seconds: float) -> errors.Unanswered:
    """Nobody knows whether it was done."""
    return errors.Unanswered(
        f"peer {address}: no answer in {seconds:g} s, and what was asked may have been "
        "done; look before you repeat it, or wait longer"
    )


def foreign(address: str) -> errors.Misuse:
    """Whoever is there speaks something else."""
    return errors.Misuse(
        f"peer {address}: what answers there is not a peer of Shoal; check the address"
    )
