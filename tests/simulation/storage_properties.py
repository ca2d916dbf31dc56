"""What must hold of a table's storage on a hostile disk, whatever the seed."""

import math
from collections.abc import Callable
from functools import partial

from tests.simulation.properties import Property
from tests.simulation.storage import KEYS, PowerCutError, World

STEPS = 300


class Play:
    """Clients, a clock and misfortunes, in a world."""

    def __init__(self, world: World, *, hostile: bool = True) -> None:
        self.world, self.rng = world, world.rng
        self.values = 0
        self._moves: list[tuple[float, Callable[[], object]]] = [
            (8, self.put),
            (2, self.drop),
            (4, self.find),
            (0.15, self.flush),
            (0.7, self.wake),
            (14, lambda: self.world.life.go_on()),
            (1, self.pass_time),
            (0.5, lambda: self.world.life.committer.sync_soon()),
        ]
        if hostile:
            self._moves += [
                (0.3, self.crash_soon),
                (0.2, self.fill),
                (0.3, self.make_room),
                (0.1, self.break_syncs),
            ]

    def step(self) -> None:
        weights = [weight for weight, _ in self._moves]
        [(_, move)] = self.rng.choices(self._moves, weights)
        world = self.world
        try:
            move()
        except PowerCutError:
            world.crash()
        if world.life.error and self.rng.random() < 0.2:
            world.crash()

    # Clients

    def put(self) -> None:
        self.values += 1
        value = b"%d \xf5SHL" % self.values + bytes(self.rng.randrange(300))
        ends = self.rng.random() < 0.3
        deadline_ms = int(1000 * self.world.now) + self.rng.randint(1, 4000)
        key = self.rng.choice(KEYS)
        life = self.world.life
        self.turn(partial(life.put, key, value, deadline_ms if ends else 0))

    def drop(self) -> None:
        self.turn(partial(self.world.life.drop, self.rng.choice(KEYS)))

    def find(self) -> None:
        self.turn(partial(self.world.life.find, self.rng.choice(KEYS)))

    def flush(self) -> None:
        self.turn(self.world.life.flush)

    def turn(self, act: Callable[[], int]) -> None:
        self.world.life.turn(self.world.now, act)

    # The clock

    def wake(self) -> None:
        self.world.life.wake(self.world.now)

    def pass_time(self) -> None:
        """Mostly it goes on; it may be set back."""
        self.world.now += self.rng.choice([0.5, 1, 2, -3])

    # Misfortunes

    def crash_soon(self) -> None:
        self.world.disk.calls_left = self.rng.randint(0, 12)
        if self.world.disk.calls_left == 0:
            self.world.crash()

    def fill(self) -> None:
        disk = self.world.disk
        used = sum(len(disk.read(name)) for name in disk.names())
        disk.capacity_bytes = used + self.rng.randrange(1000)

    def make_room(self) -> None:
        self.world.disk.capacity_bytes = math.inf

    def break_syncs(self) -> None:
        self.world.disk.failing_syncs = 1


def finish(world: World) -> None:
    """Everything is committed in the end, and there after a power cut."""
    if world.life.error:
        world.crash()
    world.disk.repair()
    life = world.life
    life.committer.close()
    while life.go_on():
        pass
    if life.error:
        return
    assert life.committer.ended
    assert life.committed == len(world.history.changes), "something was not committed"
    assert not life.waiting, "somebody still waits"
    assert life.state() == world.history.state()
    world.history.told = world.history.synced = life.committed
    world.crash("lost")


def acknowledged_is_there_and_refused_is_not(seed: int) -> None:
    """Through power cuts at any call, full disks, failing syncs and checkpoints."""
    world = World(seed)
    play = Play(world)
    for _ in range(STEPS):
        play.step()
    finish(world)


def what_was_synced_is_there(seed: int) -> None:
    """The same when it is told before it is synced."""
    world = World(seed, sync=False)
    play = Play(world)
    for _ in range(STEPS):
        play.step()
    finish(world)


def the_log_stays_short(seed: int) -> None:
    """As long as the disk is well, checkpoints keep up with the changes."""
    world = World(seed)
    play = Play(world, hostile=False)
    for _ in range(3 * STEPS):
        play.step()
        segments = [n for n in world.disk.names() if n.startswith("segment-")]
        assert len(segments) < 12, segments
    assert world.life.log.checkpoints >= 3, world.life.log.checkpoints
    finish(world)


STORAGE_PROPERTIES: list[Property] = [
    acknowledged_is_there_and_refused_is_not,
    what_was_synced_is_there,
    the_log_stays_short,
]
