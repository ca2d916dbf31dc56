"""What a catalog knew: after a restart, at any time, on disks that tear."""

import json
from random import Random

import pytest

from shoal.catalog.history import FRESH, History
from shoal.catalog.messages import Change
from shoal.catalog.protocol import Catalog, Effects
from shoal.sim.disk import Crash, SimulatedDisk

NOW = 1_700_000_000.0
LIFETIME_S = 100


def fields(port: int, **more: object) -> bytes:
    return json.dumps({"type": "x", "port": port, **more}).encode()


def changes(effects: Effects) -> list[Change]:
    return [each.fact for each in effects]


def snapshot(catalog: Catalog) -> list[tuple[str, bytes]]:
    return [(entry.key, entry.text) for entry in catalog.in_order()]


def restarted(disk: SimulatedDisk, now: float) -> tuple[Catalog, History]:
    catalog, history = Catalog(now, lifetime_s=LIFETIME_S), History(disk)
    for entry in history.recover(LIFETIME_S):
        catalog.load(entry)
    catalog.wake(now)
    history.begin(snapshot(catalog), now)
    return catalog, history


def test_2_29_a_restart_brings_all_back_for_a_lifetime() -> None:
    disk = SimulatedDisk()
    catalog, history = restarted(disk, NOW)
    history.append(changes(catalog.offer(fields(1), "a", "lab1", NOW)))
    history.append(changes(catalog.offer(fields(2, lifetime=5), "a", "lab1", NOW)))
    history.append(changes(catalog.offer(fields(3), "a", "lab1", NOW)))
    history.append(changes(catalog.offer(fields(3, gone=1, lifetime=1), "a", "h", NOW)))
    later = NOW + 10 * LIFETIME_S
    again, _ = restarted(disk, later)
    assert snapshot(again) == snapshot(catalog)
    assert [entry.heard for entry in again.in_order()] == [int(NOW)] * 4
    again.wake(later + LIFETIME_S - 1)
    assert len(again.entries) == 2
    again.wake(later + LIFETIME_S)
    assert not again.entries


def test_a_history_of_the_future_keeps_nobody() -> None:
    disk = SimulatedDisk()
    catalog, history = restarted(disk, NOW + 9e6)
    history.append(changes(catalog.offer(fields(1), "a", "lab1", NOW + 9e6)))
    again, _ = restarted(disk, NOW)  # Meanwhile somebody has set the clock right.
    assert [entry.heard for entry in again.in_order()] == [int(NOW)]
    again.wake(NOW + LIFETIME_S)
    assert not again.entries


def test_a_restart_after_a_restart_loses_nothing() -> None:
    disk = SimulatedDisk()
    catalog, history = restarted(disk, NOW)
    history.append(changes(catalog.offer(fields(1), "a", None, NOW)))
    for n in range(5):
        catalog, history = restarted(disk, NOW + n)
    assert len(catalog.entries) == 1


def test_every_moment_can_be_asked_for() -> None:
    disk, rng, now = SimulatedDisk(), Random(3), NOW
    catalog, history = restarted(disk, now)
    known: list[tuple[float, list[str]]] = []
    for step in range(300):
        now += rng.choice((1, 5, 30))
        told = changes(catalog.wake(now))
        told += changes(catalog.offer(fields(rng.randrange(9), n=step), "a", None, now))
        history.append(told)
        known.append((now, sorted(catalog.entries)))
        if step % 97 == 96:
            catalog, history = restarted(disk, now)
            known[-1] = (now, sorted(catalog.entries))
    for moment, keys in known:
        assert sorted(entry.key for entry in history.at(moment, 100)) == keys
    assert history.at(NOW - 1) == []
    assert sorted(e.key for e in history.at(now + 1e6)) == known[-1][1]


def test_days_begin_files_and_the_oldest_are_forgotten() -> None:
    disk = SimulatedDisk()
    history = History(disk, file_bytes=2000, kept_bytes=6000)
    catalog = Catalog(NOW, lifetime_s=LIFETIME_S)
    for n in range(200):
        now = NOW + n
        if history.is_due(now):
            history.begin(snapshot(catalog), now)
        history.append(changes(catalog.offer(fields(1, n=n), "a", None, now)))
    sizes = [len(disk.read(name)) for name in disk.names()]
    assert 1 < len(sizes) <= 4
    assert sum(sizes) <= 8000
    assert not history.is_due(NOW + 200)
    assert history.is_due(NOW + 200 + 86_400)
    assert history.is_due(NOW - 1)  # The clock was set back.


@pytest.mark.parametrize("crash", ["kept", "lost", "torn"])
@pytest.mark.parametrize("seed", range(30))
def test_what_was_synced_survives_any_crash(crash: Crash, seed: int) -> None:
    disk, rng, now = SimulatedDisk(), Random(seed), NOW
    catalog, history = restarted(disk, now)
    safe = snapshot(catalog)
    for step in range(rng.randrange(1, 60)):
        now += 1
        told = changes(catalog.wake(now))
        told += changes(catalog.offer(fields(rng.randrange(9), n=step), "a", None, now))
        history.append(told)
        if rng.random() < 0.3:
            history.sync()
            safe = snapshot(catalog)
        if rng.random() < 0.1:
            disk.write(FRESH, b"begun, and never ended")
        if rng.random() < 0.05:
            history.begin(snapshot(catalog), now)
            safe = snapshot(catalog)
    written = snapshot(catalog)
    disk.crash(crash, rng)
    again, history = restarted(disk, now)
    found = {key: json.loads(text)["n"] for key, text in snapshot(again)}
    least = {key: json.loads(text)["n"] for key, text in safe}
    assert found.keys() >= least.keys()
    assert all(found[key] >= n for key, n in least.items())
    if crash == "kept":
        assert snapshot(again) == written
    history.append(changes(again.offer(fields(77), "a", None, now)))


def test_damage_costs_what_it_hit() -> None:
    disk = SimulatedDisk()
    catalog, history = restarted(disk, NOW)
    for port in range(10):
        history.append(changes(catalog.offer(fields(port), "a", None, NOW)))
    [name] = disk.names()
    data = bytearray(disk.read(name))
    for place in range(0, len(data), 7):
        broken = bytearray(data)
        broken[place] ^= 0x55
        disk.write(name, bytes(broken))
        # A line feed that is hit costs the two lines beside it.
        assert len(History(disk).recover()) >= 8


def test_a_full_disk_and_a_failed_sync_ask_for_another_file() -> None:
    disk = SimulatedDisk()
    catalog, history = restarted(disk, NOW)
    disk.failing_syncs = 1
    with pytest.raises(OSError, match="sync"):
        history.sync()
    assert history.is_due(NOW)
    told = changes(catalog.offer(fields(1), "a", None, NOW))
    with pytest.raises(OSError, match="begun"):
        history.append(told)
    history.begin(snapshot(catalog), NOW)
    disk.capacity_bytes = 10
    with pytest.raises(OSError, match="full"):
        history.append(told)
    assert history.is_due(NOW)
    assert len(History(disk).recover()) == 1
