"""What must hold of catalogs that share, whatever the seed."""

from dataclasses import dataclass

from shoal.catalog.messages import remembered_s
from tests.simulation.catalogs import DRIFT, LIFETIME_S, WRONG_S, Shelf, Town, update
from tests.simulation.properties import Property

PROGRAMS = 5

# Two updates of one program are so far apart that all clocks agree which is newer.
APART_S = 2 * WRONG_S + 2 * DRIFT * 500 + 1.5

# A greeting that was not lost, and what the sums bring.
LEVEL_S = 25.0

# A record lives by another clock, and is shared for some time before it ends.
ABOUT_S = 8.0

# What a record heard here takes to everybody.
SPREAD_S = 2.0


@dataclass
class Program:
    """One that tells some catalog of itself now and then, and what it told last."""

    port: int
    told: float = -APART_S
    lifetime_s: int = 0
    says: int = 0
    leaving: bool = False

    @property
    def address(self) -> str:
        return f"10.0.0.{self.port}"

    @property
    def key(self) -> str:
        return f"{self.address}:{self.port}:{self.address}"

    def tell(self, town: Town, shelf: Shelf) -> None:
        rng = town.rng
        chance = rng.random()
        if chance < 0.2 and self.lifetime_s:
            self.leaving = True
        elif chance < 0.7 or self.leaving or not self.lifetime_s:
            self.leaving = False
            self.says += 1
            self.lifetime_s = rng.choice([LIFETIME_S, LIFETIME_S, 20])
        self.told = town.network.now
        words = update(self.port, self.says, self.lifetime_s, leaving=self.leaving)
        shelf.offer(words, self.address)


def work(town: Town, programs: list[Program], turns: int) -> None:
    """Programs tell of themselves while things go wrong."""
    for _ in range(turns):
        program = town.rng.choice(programs)
        due = program.told + APART_S <= town.network.now
        if due and town.shelves:
            program.tell(town, town.rng.choice(list(town.shelves.values())))
        town.run(town.rng.uniform(0, 4))
        misfortune(town)


def misfortune(town: Town) -> None:
    rng, name = town.rng, town.rng.choice(town.names)
    chance = rng.random()
    if name not in town.shelves:
        if chance < 0.3:
            town.start(name)
    elif chance < 0.06:
        town.crash(name)
    elif chance < 0.12:
        names = rng.sample(town.names, len(town.names))
        town.partition(names[:1], names[1:])
    elif chance < 0.14:
        town.network.cut(*rng.sample(town.names, 2))
    elif chance < 0.22:
        town.heal()


def end_faults(town: Town) -> None:
    town.loss = town.duplication = 0.0
    town.heal()
    for name in town.names:
        if name not in town.shelves:
            town.start(name)
    town.run(LEVEL_S)


def expect_level(town: Town) -> dict[str, tuple[int, bytes]]:
    """All answer the same, but for a moment in which something ends."""
    for _ in range(4):
        answers = {name: shelf.answers() for name, shelf in town.shelves.items()}
        first = answers[town.names[0]]
        if all(each == first for each in answers.values()):
            return first
        town.run(1)
    raise AssertionError(f"not level: {answers}")


def expect_newest(town: Town, programs: list[Program]) -> None:
    """What was said last is there for its lifetime, and nothing that has ended."""
    answers = expect_level(town)
    for each in programs:
        age_s = town.network.now - each.told
        words = answers.get(each.key, (0, b""))[1]
        if each.leaving:
            assert not words, f"{each.key} left, and is there: {words!r}"
        elif age_s < each.lifetime_s - ABOUT_S:
            said = b'"says":%d,' % each.says
            assert said in words, f"{each.key}: {words!r}, not {said!r}"
        elif words:
            # Whoever was away lets it live for one more lifetime.
            assert age_s < 2 * LIFETIME_S + LEVEL_S + ABOUT_S, f"{each.key} lives"


def catalogs_answer_the_same(seed: int) -> None:
    """Through crashes, partitions, loss and repetition, with clocks that disagree."""
    town = Town(seed, [3, 3, 2, 4][seed % 4])
    town.run(2)
    town.loss = town.rng.choice([0, 0.1, 0.3])
    town.duplication = town.rng.choice([0, 0.2])
    programs = [Program(port) for port in range(1, PROGRAMS + 1)]
    work(town, programs, 120)
    end_faults(town)
    expect_newest(town, programs)
    town.run(LIFETIME_S + ABOUT_S)
    assert not expect_level(town), "something never ends"


def all_answer_soon(seed: int) -> None:
    """In calm a record is everywhere within two seconds."""
    town = Town(seed, 3 + seed % 3)
    town.run(2)
    for program in [Program(port) for port in range(1, PROGRAMS + 1)] * 3:
        town.run(town.rng.uniform(3, 5))
        program.tell(town, town.rng.choice(list(town.shelves.values())))
        town.run(SPREAD_S)
        answers = [each.answers().get(program.key) for each in town.shelves.values()]
        assert all(each == answers[0] for each in answers), answers
        assert bool(answers[0]) is not program.leaving


def a_copy_ends_with_the_record(seed: int) -> None:
    """Though its catalog has come late, and its clock is another."""
    town = Town(seed, 3)
    town.crash(town.names[2])
    town.run(2)
    Program(1).tell(town, town.shelves[town.names[seed % 2]])
    town.run(town.rng.uniform(2, 15))
    town.start(town.names[2])
    town.run(SPREAD_S)
    assert expect_level(town), "what was there before is not shared"
    ended: dict[str, float] = {}
    while len(ended) < len(town.names):
        town.run(0.1)
        for name, shelf in town.shelves.items():
            if not shelf.catalog.entries:
                ended.setdefault(name, town.network.now)
        assert town.network.now < 10 * LIFETIME_S, "it never ends"
    assert max(ended.values()) - min(ended.values()) < 2 * DRIFT * LIFETIME_S + 0.5


def the_last_word_holds(seed: int) -> None:
    """Whichever catalog heard it, and whatever its clock says."""
    town, program = Town(seed, 3), Program(1)
    town.run(2)
    for says in range(10):
        shelf = town.rng.choice(list(town.shelves.values()))
        leaving = town.rng.random() < 0.2
        shelf.offer(update(1, says, LIFETIME_S, leaving=leaving), program.address)
        town.run(town.rng.uniform(1.5, 2))
        said = [each.answers().get(program.key) for each in town.shelves.values()]
        if leaving:
            assert said == [None] * 3, said
        else:
            assert all(each and b'"says":%d,' % says in each[1] for each in said), said


def who_was_away_long_brings_nothing_back(seed: int) -> None:
    """Though nobody remembers any more what ended meanwhile."""
    town, program = Town(seed, 3), Program(1)
    town.run(2)
    away = town.rng.choice(town.names)
    shelf = next(each for name, each in town.shelves.items() if name != away)
    for leaving in (False, True):
        words = update(1, 1, LIFETIME_S, leaving=leaving)
        shelf.offer(words, program.address)
        town.run(SPREAD_S)
        if not leaving:
            town.crash(away)
    town.run(remembered_s(LIFETIME_S) + ABOUT_S)
    assert not shelf.catalog.ended, "what ended is remembered for ever"
    town.start(away)
    town.run(LEVEL_S)
    assert not expect_level(town), "what had left is back"


CATALOGS_PROPERTIES: list[Property] = [
    catalogs_answer_the_same,
    all_answer_soon,
    a_copy_ends_with_the_record,
    the_last_word_holds,
    who_was_away_long_brings_nothing_back,
]
