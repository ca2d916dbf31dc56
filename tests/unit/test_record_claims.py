"""Claims of records: whose, how long, and what their tokens fence."""

from shoal.table.records.desk import Desk
from shoal.table.records.messages import UNITS, Create, Swap, Take
from shoal.table.records.tenures import DRIFT
from tests.unit.offices import Office


def claimed(office: Office, seconds: float = 10) -> int:
    office.done(1, Create("job", "a", b"1"))
    return office.done(2, Take("job", "a", seconds), 100)


def test_a_claim_keeps_others_away_until_its_time_is_over() -> None:
    office = Office()
    token = claimed(office)
    other = Take("job", "a", 10)
    assert office.declined(3, other, 100 + 9.9) == "Conflict"
    assert office.declined(4, other, 100 + 10 * DRIFT - 0.01) == "Conflict"
    assert office.done(5, other, 100 + 10 * DRIFT) > token
    assert office.declined(6, Take("job", "a", 10, token), 101) == "Conflict"


def test_a_renewed_claim_lasts_from_when_it_was_heard_and_writes_nothing() -> None:
    office = Office()
    token = claimed(office)
    before = office.table.sequence
    assert office.done(3, Take("job", "a", 10, token), 109) == token
    assert office.table.sequence == before
    assert office.declined(4, Take("job", "a", 10), 115) == "Conflict"
    assert office.done(5, Take("job", "a", 0, token), 115) > token
    assert office.done(6, Take("job", "a", 10), 115) > token


def test_a_new_owner_waits_as_if_it_had_just_heard_the_holder() -> None:
    office = Office()
    token = claimed(office)
    office.desk = Desk(office.table, office.board)
    office.desk.opened(list(range(UNITS)), 5000)
    assert office.declined(3, Take("job", "a", 10), 5009) == "Conflict"
    assert office.done(4, Take("job", "a", 10), 5000 + 10 * DRIFT) > token


def test_a_write_with_the_token_of_a_lost_claim_is_refused() -> None:
    office = Office()
    token = claimed(office)
    version = office.done(3, Swap("job", "a", token, b"2", token), 101)
    later = office.done(4, Take("job", "a", 10), 200)
    assert later > version
    assert office.declined(5, Swap("job", "a", later, b"3", token), 201) == "Conflict"
    assert office.done(6, Swap("job", "a", later, None, later), 201) > later
    again = office.done(7, Create("job", "a", b"4"), 202)
    assert office.declined(8, Swap("job", "a", again, b"", later), 202) == "Conflict"
    assert office.done(9, Take("job", "a", 1), 202) > again
