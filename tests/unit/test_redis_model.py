"""Any sequence of commands against a plain dict, under a clock of our own."""

from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from tests.callers import server_of, talk_to
from tests.conformance.redis_wire import Error, resp, value_at

keys = st.sampled_from([b"a", b"b", b"{a}c", b""])
values = st.sampled_from([b"", b"1", b"-7", b"x", b"value", b"9223372036854775807"])
durations = st.integers(-5, 30)
START_S = 1_000_000.0


class Commands(RuleBasedStateMachine):
    """What the table says is what the dict says."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START_S
        self.table = Table(Ballot(1, 1, PeerId("p"), 1), Random(0), logged=False)
        self.talk = talk_to(server_of(self.table))
        self.model: dict[bytes, bytes] = {}
        self.ends: dict[bytes, float] = {}

    def ask(self, *words: bytes) -> Any:
        self.table.begin(self.now)
        return value_at(self.talk.hear(resp(list(words))))[0]

    def there(self) -> dict[bytes, bytes]:
        """What the model has now."""
        over = [key for key, end in self.ends.items() if end <= self.now]
        for key in over:
            del self.model[key], self.ends[key]
        return self.model

    def put(self, key: bytes, value: bytes, end: float | None) -> None:
        self.model[key] = value
        self.ends.pop(key, None)
        if end is not None:
            self.ends[key] = end

    @rule(seconds=st.sampled_from([0.001, 0.5, 1, 10]), wakes=st.booleans())
    def wait(self, seconds: float, wakes: bool) -> None:
        self.now += seconds
        if wakes:
            self.table.wake(self.now)
            assert self.table.size == len(self.there())

    @rule(key=keys, value=values)
    def set_plainly(self, key: bytes, value: bytes) -> None:
        assert self.ask(b"SET", key, value) == b"OK"
        self.put(key, value, None)

    @rule(key=keys, value=values, word=st.sampled_from([b"NX", b"XX"]))
    def set_if(self, key: bytes, value: bytes, word: bytes) -> None:
        may = (key in self.there()) == (word == b"XX")
        before = self.model.get(key)
        assert self.ask(b"SET", key, value, word, b"GET", b"KEEPTTL") == before
        if may:
            self.put(key, value, self.ends.get(key))

    @rule(key=keys, old=values, value=values)
    def set_if_equal(self, key: bytes, old: bytes, value: bytes) -> None:
        may = self.there().get(key) == old
        assert self.ask(b"SET", key, value, b"IFEQ", old) == (b"OK" if may else None)
        if may:
            self.put(key, value, None)

    @rule(key=keys, old=values, value=values)
    def swap(self, key: bytes, old: bytes, value: bytes) -> None:
        before = self.there().get(key)
        done = None if before is None else int(before == old)
        assert self.ask(b"CAS", key, old, value) == done
        if done:
            self.put(key, value, self.ends.get(key))

    @rule(key=keys, value=values, seconds=durations)
    def set_until(self, key: bytes, value: bytes, seconds: int) -> None:
        answer = self.ask(b"SETEX", key, b"%d" % seconds, value)
        if seconds <= 0:
            assert answer == Error(b"ERR invalid expire time in 'setex' command")
        else:
            self.put(key, value, self.now + seconds)

    @rule(key=keys, seconds=durations, word=st.sampled_from([b"", b"NX", b"XX", b"GT"]))
    def expire(self, key: bytes, seconds: int, word: bytes) -> None:
        end = self.ends.get(key) if key in self.there() else None
        may = {
            b"": True,
            b"NX": end is None,
            b"XX": end is not None,
            b"GT": end is not None and self.now + seconds > end,
        }
        done = key in self.model and may[word]
        options = [word] if word else []
        assert self.ask(b"EXPIRE", key, b"%d" % seconds, *options) == done
        if done:
            self.put(key, self.model[key], self.now + seconds)

    @rule(key=keys)
    def persist(self, key: bytes) -> None:
        done = key in self.there() and self.ends.pop(key, None) is not None
        assert self.ask(b"PERSIST", key) == done

    @rule(key=keys)
    def remaining(self, key: bytes) -> None:
        answer = self.ask(b"PTTL", key)
        if key not in self.there():
            assert answer == -2
        elif key not in self.ends:
            assert answer == -1
        else:
            assert abs(answer - (self.ends[key] - self.now) * 1000) <= 1

    @rule(key=keys, value=values)
    def append(self, key: bytes, value: bytes) -> None:
        longer = self.there().get(key, b"") + value
        if len(longer) < 1000:
            assert self.ask(b"APPEND", key, value) == len(longer)
            self.put(key, longer, self.ends.get(key))

    @rule(key=keys, amount=st.integers(-3, 3))
    def count(self, key: bytes, amount: int) -> None:
        before = self.there().get(key, b"0")
        answer = self.ask(b"INCRBY", key, b"%d" % amount)
        if isinstance(answer, Error):
            assert before not in (b"0", b"1", b"-7")
        else:
            assert answer == int(before) + amount
            self.put(key, b"%d" % answer, self.ends.get(key))

    @rule(key=keys, offset=st.integers(0, 5), piece=values)
    def overwrite(self, key: bytes, offset: int, piece: bytes) -> None:
        before = self.there().get(key, b"")
        after = bytearray(before.ljust(offset, b"\0")) if piece else bytearray(before)
        after[offset : offset + len(piece)] = piece
        assert self.ask(b"SETRANGE", key, b"%d" % offset, piece) == len(after)
        if piece:
            self.put(key, bytes(after), self.ends.get(key))

    @rule(key=keys, other=keys)
    def delete(self, key: bytes, other: bytes) -> None:
        gone = {key, other} & set(self.there())
        assert self.ask(b"DEL", key, other) == len(gone)
        for each in gone:
            del self.model[each]
            self.ends.pop(each, None)

    @rule()
    def flush(self) -> None:
        assert self.ask(b"FLUSHALL") == b"OK"
        self.model.clear()
        self.ends.clear()

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        there = self.there()
        assert set(self.ask(b"KEYS", b"*")) == set(there)
        assert self.ask(b"SCAN", b"0", b"COUNT", b"100")[0] == b"0"
        for key in (b"a", b"b", b"{a}c", b""):
            assert self.ask(b"GET", key) == there.get(key)
        assert self.ask(b"DBSIZE") == len(there)


TestCommands = Commands.TestCase
TestCommands.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
