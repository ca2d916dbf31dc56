"""Sends a command to wherever its keys are: whole, or a piece to each of several."""

from typing import TYPE_CHECKING

from shoal.table.errands import MAX_ERRAND_BYTES, carry_out
from shoal.table.messages import MAX_VALUE_BYTES
from shoal.table.redis.commands import KeyCommand
from shoal.table.redis.replies import CommandError
from shoal.table.redis.split import SPLITS, Words, keys_of
from shoal.table.redis.strings import check_lengths
from shoal.table.routes import HERE, Routes

if TYPE_CHECKING:
    from shoal.table.redis.talk import RedisTalk


def dispatch(talk: "RedisTalk", command: KeyCommand, words: Words) -> bool:
    """Let its answers come from where its keys are; false if all of them are here.

    What they are made to is left to `leave`: see `turns.py`.
    """
    routes, keys = talk.server.abroad.routes, keys_of(command, words)
    first = routes.owner(keys[0])
    apart = any(routes.owner(key) != first for key in keys[1:])
    if first is HERE and not apart:
        return False
    size = _check_length(keys[0], words)
    split = SPLITS.get(command.name)
    if split and (apart or split.always or size > MAX_ERRAND_BYTES):
        pieces = split.apart(words)
        _send_pieces(talk, routes, command, pieces)
        talk.merge = split.together
    elif apart or size > MAX_ERRAND_BYTES:
        raise CommandError(
            f"CROSSSLOT the keys of '{command.name.lower()}' are at several peers; "
            "give them one {tag}"
            if apart
            else f"ERR the request has {size} bytes, the longest are {MAX_ERRAND_BYTES}"
        )
    else:
        turn = talk.travel()
        turn.ask(keys[0], talk.client.version, words, changes=_changes(command))
        talk.merge = None
    return True


def _send_pieces(
    talk: "RedisTalk", routes: Routes, command: KeyCommand, pieces: list[Words]
) -> None:
    """Those that are here are done at once, in the order of the words."""
    turn, version, table = talk.travel(), talk.client.version, talk.server.table
    changes = _changes(command)
    for piece in pieces:
        if routes.owner(piece[1]) is HERE:
            (done,) = carry_out(table, talk.server.commands, routes, [(version, piece)])
            assert done is not None, "it is here"
            turn.tell(done)
        else:
            turn.ask(piece[1], version, piece, changes=changes)


def _changes(command: KeyCommand) -> bool:
    return not command.access.startswith("RO")


def _check_length(key: bytes, words: Words) -> int:
    """How long it is, if no word is longer than any can be."""
    longest = max(map(len, words))
    if longest > MAX_VALUE_BYTES:
        check_lengths(key, longest)
    return sum(map(len, words))
