"""Commands on several keys that live at several peers: taken apart, put together.

Each key becomes a command of its own. They are not done at once, nor all or none of
them; whoever wants that asks for keys of one {tag}, and of one key for certain.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from shoal.table.redis.commands import KeyCommand, wrong_arity
from shoal.table.redis.replies import OK, error
from shoal.table.redis.strings import check_lengths

Words = list[bytes]

_ERROR = b"-"


def keys_of(command: KeyCommand, words: Words) -> Words:
    """The keys among the words of a command, its name included."""
    if command.last_key == command.first_key:
        return [words[command.first_key]]
    return words[command.first_key :: command.key_step]


class Split(NamedTuple):
    """How a command is taken apart and put together.

    `always`: not even one peer is asked for all of it, since the reply may be long.
    """

    apart: Callable[[Words], list[Words]]
    together: Callable[[list[bytes]], bytes]
    always: bool = False


def _each(words: Words) -> list[Words]:
    name = words[0]
    return [[name, key] for key in words[1:]]


def _each_value(words: Words) -> list[Words]:
    return [[b"GET", key] for key in words[1:]]


def _each_pair(words: Words) -> list[Words]:
    """None is set where one is too long."""
    if not len(words) % 2:
        raise wrong_arity("MSET")
    pairs = list(zip(words[1::2], words[2::2], strict=True))
    for key, value in pairs:
        check_lengths(key, len(value))
    return [[b"SET", key, value] for key, value in pairs]


def _values(answers: list[bytes]) -> bytes:
    for answer in answers:
        if answer.startswith(_ERROR):
            return answer
    return b"*%d\r\n%b" % (len(answers), b"".join(answers))


def _sum(answers: list[bytes]) -> bytes:
    for answer in answers:
        if answer.startswith(_ERROR):
            return answer
    return b":%d\r\n" % sum(int(answer[1:-2]) for answer in answers)


def _sum_changed(answers: list[bytes]) -> bytes:
    return _half_done(answers) or _sum(answers)


def _all_set(answers: list[bytes]) -> bytes:
    return _half_done(answers) or OK


def _half_done(answers: Iterable[bytes]) -> bytes | None:
    """The error, if there is one; that nothing was done is said only if it is so."""
    answers = list(answers)
    wrong = [answer for answer in answers if answer.startswith(_ERROR)]
    if not wrong:
        return None
    unknown = next((each for each in wrong if each.startswith(b"-UNKNOWN")), None)
    if unknown or len(wrong) == len(answers):
        return unknown or wrong[0]
    cause = wrong[0][1:-2].decode(errors="surrogateescape")
    done = len(answers) - len(wrong)
    return error(
        f"UNKNOWN {done} of {len(answers)} keys are as asked, the others not: {cause}"
    )


SPLITS = {
    "MGET": Split(_each_value, _values, always=True),
    "MSET": Split(_each_pair, _all_set),
    "DEL": Split(_each, _sum_changed),
    "UNLINK": Split(_each, _sum_changed),
    "EXISTS": Split(_each, _sum),
    "TOUCH": Split(_each, _sum),
}
