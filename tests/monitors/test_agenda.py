"""What inotify's events lead to: where to look, when, and what of an older look is not to be believed any more."""

from __future__ import annotations

from math import inf

import pytest
from inotify_simple import flags  # type: ignore[import-untyped]

from emperor_trio.model import VassalSpec
from emperor_trio.monitors._agenda import PATIENCE, Agenda
from emperor_trio.monitors._entries import Found, Outcome, Rules, Unfinished
from emperor_trio.monitors._inotify import Seen
from emperor_trio.monitors._ledger import Ledger
from emperor_trio.monitors._patterns import plan_pattern
from emperor_trio.monitors._sight import Glance, Job, Look, Place, Visit
from emperor_trio.monitors._vassals import GRACE

BASE = Place("/opt", 0, "/opt/")
APP = Place("/opt/app", 1, "/opt/app/", "/opt")
NAME = "/opt/app/a.ini"
GLANCE = Glance(NAME, "/opt/app", "a.ini")
CREATED = Glance(NAME, "/opt/app", "a.ini", NAME)


def found(points: tuple[tuple[str, str], ...] = ()) -> Found:
    return Found(VassalSpec(NAME, 1), (1, 0, 0), False, points)


class Desk:
    """An agenda over the pattern ``/opt/*/*.ini``, of which the first look is over."""

    def __init__(self, vassal: bool = True, points: tuple[tuple[str, str], ...] = ()) -> None:
        plan = plan_pattern("/opt/*/*.ini", "/")
        self.ledger = Ledger("m", BASE)
        self.agenda = Agenda(plan, Rules(socket_extension=".sock"), self.ledger)
        job = self.agenda.take(0.0)
        assert job == Job((BASE,), full=True)
        app = Visit(APP, (1, 2), read=True)
        if vassal:
            app.outcomes[NAME] = found(points)
        look = Look(job, {"/opt": Visit(BASE, (1, 1), read=True), "/opt/app": app}, base_points=(("/", "opt"),))
        self.ledger.take(look, 0.0)
        self.agenda.next_scan = 1000.0

    def note(self, *events: tuple[int, str], folder: str = "/opt/app", now: float = 1.0) -> None:
        for mask, name in events:
            self.agenda.note(Seen(folder, int(mask), name), now)

    def glances(self, now: float = 1.0) -> tuple[Glance, ...]:
        return self.agenda.take(now).glances

    def settle(self, outcome: Outcome, now: float = 1.0) -> None:
        """Take, and give this for every glance."""
        job = self.agenda.take(now)
        assert job.glances
        self.agenda.looked(dict.fromkeys(job.glances, outcome), now)
        look = Look(job, glances=dict.fromkeys(job.glances, outcome))
        self.ledger.take(look, now, self.agenda.stale, self.agenda.unfinished)


@pytest.mark.parametrize(
    ("events", "glance"),
    [
        ([(flags.CLOSE_WRITE, "a.ini")], GLANCE),
        ([(flags.MOVED_TO, "a.ini")], GLANCE),
        ([(flags.ATTRIB, "a.ini")], GLANCE),
        ([(flags.CREATE, "a.ini")], CREATED),
        ([(flags.CREATE, "a.ini"), (flags.CLOSE_WRITE, "a.ini")], GLANCE),
        ([(flags.CREATE, "a.ini"), (flags.ATTRIB, "a.ini")], CREATED),
        ([(flags.CLOSE_WRITE, "a.ini"), (flags.DELETE, "a.ini"), (flags.CREATE, "a.ini")], CREATED),
        ([(flags.MOVED_FROM, "a.ini"), (flags.MOVED_TO, "a.ini")], GLANCE),
        ([(flags.CLOSE_WRITE, "a.ini"), (flags.DELETE, "a.ini")], None),
        ([(flags.MODIFY, "a.ini")], None),
        ([(flags.CLOSE_WRITE, "a.xml")], None),
        ([(flags.CLOSE_WRITE, ".a.ini")], None),
        ([(flags.CLOSE_WRITE, "a.ini~")], None),
        ([(flags.CREATE | flags.ISDIR, "a.ini")], None),
        ([(flags.CLOSE_WRITE, "a.ini.sock")], GLANCE),
        ([(flags.ATTRIB, "a.ini.sock")], GLANCE),
        ([(flags.CREATE, "a.ini.sock")], None),
        ([(flags.CLOSE_WRITE, "a.xml.sock")], None),
        ([(flags.CLOSE_WRITE, ".sock")], None),
        ([(flags.CREATE, "a.ini"), (flags.CLOSE_WRITE, "a.ini.sock")], CREATED),
    ],
)
def test_which_events_ask_for_a_look_at_a_config(events: list[tuple[int, str]], glance: Glance | None) -> None:
    desk = Desk()
    desk.note(*events)
    assert desk.agenda.next_due() == (-inf if glance else min(desk.ledger.next_due(), 1000.0))
    assert desk.glances() == ((glance,) if glance else ())


def test_a_hundred_events_of_one_name_are_one_look() -> None:
    desk = Desk()
    desk.note(*[(flags.CLOSE_WRITE, "a.ini")] * 100)
    assert desk.glances() == (GLANCE,)
    assert desk.agenda.next_due() == 1000.0


def test_a_name_that_left_is_looked_at_after_its_time_to_return() -> None:
    desk = Desk()
    desk.note((flags.DELETE, "a.ini"))
    assert desk.agenda.next_due() == 1.0 + GRACE
    assert desk.glances(1.0 + GRACE) == (GLANCE,)


def test_what_happened_during_a_look_makes_it_stale() -> None:
    desk = Desk()
    desk.note((flags.CLOSE_WRITE, "a.ini"), (flags.DELETE, "b.ini"))
    assert desk.agenda.stale == {"/opt/app/a.ini", "/opt/app/b.ini"}
    desk.agenda.take(1.0)
    assert desk.agenda.stale == set()


def test_an_unfinished_file_is_waited_for_until_its_write_ends() -> None:
    desk = Desk(vassal=False)
    desk.note((flags.CREATE, "a.ini"))
    desk.settle(Unfinished())
    desk.note((flags.ATTRIB, "a.ini"), (flags.CLOSE_WRITE, "a.ini.sock"))
    assert desk.agenda.unfinished == {NAME}
    assert desk.agenda.next_due() == 1.0 + PATIENCE
    desk.note((flags.CLOSE_WRITE, "a.ini"))
    assert desk.agenda.unfinished == set()
    assert desk.glances() == (GLANCE,)
    assert desk.agenda.next_due() == 1000.0


def test_an_unfinished_file_is_waited_for_so_long_and_no_longer() -> None:
    desk = Desk(vassal=False)
    desk.note((flags.CREATE, "a.ini"))
    desk.settle(Unfinished())
    desk.settle(found(), 1.0 + PATIENCE)
    assert set(desk.ledger.vassals.known) == {NAME}
    assert desk.agenda.next_due() == 1000.0


def test_a_link_that_was_created_is_complete() -> None:
    desk = Desk(vassal=False)
    desk.note((flags.CREATE, "a.ini"))
    desk.settle(found())
    assert set(desk.ledger.vassals.known) == {NAME}
    assert desk.agenda.unfinished == set()


def test_a_write_that_ended_while_it_was_found_unfinished() -> None:
    desk = Desk(vassal=False)
    desk.note((flags.CREATE, "a.ini"))
    job = desk.agenda.take(1.0)
    desk.note((flags.CLOSE_WRITE, "a.ini"))
    desk.agenda.looked(dict.fromkeys(job.glances, Unfinished()), 1.0)
    assert desk.agenda.unfinished == set()
    assert desk.glances() == (GLANCE,)


def test_a_deleted_file_that_is_written_anew_is_back_but_not_read() -> None:
    desk = Desk()
    desk.note((flags.DELETE, "a.ini"), (flags.CREATE, "a.ini"))
    desk.settle(Unfinished())
    assert desk.agenda.next_due() == 1.0 + GRACE
    desk.settle(found(), 1.0 + GRACE)
    assert desk.agenda.next_due() == 1.0 + PATIENCE
    desk.note((flags.DELETE, "a.ini"), now=2.0)
    assert desk.agenda.unfinished == set()
    assert desk.agenda.next_due() == 2.0 + GRACE


def test_a_socket_file_that_left_may_return_before_it_is_missed() -> None:
    desk = Desk()
    desk.note((flags.MOVED_FROM, "a.ini.sock"))
    assert desk.agenda.next_due() == 1.0 + GRACE
    assert desk.glances() == ()
    assert desk.glances(1.0 + GRACE) == (GLANCE,)


@pytest.mark.parametrize(
    ("folder", "mask", "name", "place"),
    [
        ("/opt", flags.CREATE | flags.ISDIR, "new", Place("/opt/new", 1, "/opt/new/", "/opt")),
        ("/opt", flags.MOVED_TO, "link", Place("/opt/link", 1, "/opt/link/", "/opt")),
        ("/opt", flags.DELETE | flags.ISDIR, "app", APP),
        ("/opt", flags.ATTRIB | flags.ISDIR, "app", APP),
        ("/opt", flags.ATTRIB, "file", None),
        ("/opt", flags.CREATE | flags.ISDIR, ".hidden", None),
        ("/opt", flags.ATTRIB | flags.ISDIR, "", None),
        ("/opt/app", flags.MOVE_SELF, "", APP),
        ("/opt/app", flags.IGNORED, "", APP),
        ("/unknown", flags.CREATE | flags.ISDIR, "new", None),
    ],
)
def test_which_events_ask_for_a_walk(folder: str, mask: int, name: str, place: Place | None) -> None:
    desk = Desk()
    desk.note((mask, name), folder=folder)
    job = desk.agenda.take(1.0)
    assert job == Job((place,) if place else ())


@pytest.mark.parametrize("mask", [flags.CREATE, flags.DELETE, flags.MOVED_TO | flags.ISDIR, flags.ATTRIB])
def test_the_way_to_the_first_folder_asks_for_everything(mask: int) -> None:
    desk = Desk()
    desk.note((mask, "opt"), folder="/")
    assert desk.agenda.take(1.0) == Job((BASE,), full=True)


def test_other_names_on_the_way_ask_for_nothing() -> None:
    desk = Desk()
    desk.note((flags.CREATE, "tmp"), folder="/")
    assert desk.agenda.next_due() == 1000.0


def test_a_folder_that_moved_away_is_not_listened_to() -> None:
    desk = Desk()
    desk.note((flags.MOVE_SELF, ""), (flags.DELETE, "a.ini"), (flags.CLOSE_WRITE, "b.ini"))
    assert desk.agenda.lost == {"/opt/app"}
    assert desk.agenda.take(1.0) == Job((APP,))
    assert desk.agenda.next_due() == 1000.0


def test_a_folder_that_was_deleted_was_empty() -> None:
    desk = Desk()
    desk.note((flags.DELETE_SELF, ""))
    assert desk.agenda.stale == {NAME}
    assert desk.agenda.take(1.0) == Job((APP,))
    assert desk.glances(1.0 + GRACE) == (GLANCE,)


@pytest.mark.parametrize(
    ("mask", "name", "glance"),
    [
        (flags.CLOSE_WRITE, "t.ini", GLANCE),
        (flags.MOVED_TO, "t.ini", GLANCE),
        (flags.ATTRIB, "t.ini", GLANCE),
        (flags.CREATE, "t.ini", Glance(NAME, "/opt/app", "a.ini", "/target/t.ini")),
        (flags.CREATE | flags.ISDIR, "t.ini", Glance(NAME, "/opt/app", "a.ini", "/target/t.ini")),
        (flags.CLOSE_WRITE, "other", None),
        (flags.OPEN, "t.ini", None),
        (flags.IGNORED, "", GLANCE),
        (flags.MOVE_SELF, "", GLANCE),
    ],
)
def test_a_links_target_asks_for_a_look_at_the_link(mask: int, name: str, glance: Glance | None) -> None:
    desk = Desk(points=(("/target", "t.ini"),))
    desk.note((mask, name), folder="/target")
    assert desk.glances() == ((glance,) if glance else ())


def test_a_links_target_that_left_may_return() -> None:
    desk = Desk(points=(("/target", "t.ini"),))
    desk.note((flags.MOVED_FROM, "t.ini"), folder="/target")
    assert desk.agenda.next_due() == 1.0 + GRACE


def test_after_an_overflow_everything_is_looked_at() -> None:
    desk = Desk()
    desk.note((flags.CREATE, "b.ini"), (flags.MOVED_FROM, "a.ini.sock"), (flags.CLOSE_WRITE, "c.ini"))
    desk.agenda.overflow()
    assert desk.agenda.next_due() == -inf
    assert desk.agenda.take(1.0) == Job((BASE,), full=True)
    assert desk.agenda.unfinished == set()


def test_everything_is_looked_at_when_it_is_time() -> None:
    desk = Desk()
    assert desk.agenda.take(999.0) == Job()
    assert desk.agenda.take(1000.0) == Job((BASE,), full=True)
    desk.agenda.next_scan = 2000.0
    desk.agenda.scan_now()
    assert desk.agenda.take(1001.0) == Job((BASE,), full=True)


def test_a_doubted_folder_is_looked_at_again() -> None:
    desk = Desk()
    job = Job((APP,))
    desk.ledger.take(Look(job, {"/opt/app": Visit(APP, (1, 9), read=True)}), 1.0)
    assert desk.agenda.next_due() == 2.0
    assert desk.agenda.take(2.0) == job
