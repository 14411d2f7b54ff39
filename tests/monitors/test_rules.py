"""The pure rules of the file monitors, as tables: signs of inotify, doubt, points, and what is said of a vassal."""

from __future__ import annotations

from math import inf

import pytest
from inotify_simple import flags  # type: ignore[import-untyped]

from emperor_trio.events import VassalRefused
from emperor_trio.model import Destroy, Owner, Touch, VassalSpec
from emperor_trio.monitors._belief import SecondLook
from emperor_trio.monitors._entries import Absent, Failed, Found, Outcome, Refused, Rules
from emperor_trio.monitors._points import Points
from emperor_trio.monitors._sight import Glance, Place
from emperor_trio.monitors._signs import Sign, read_sign
from emperor_trio.monitors._vassals import GRACE, Told, Vassals

# --- signs ---


@pytest.mark.parametrize(
    ("mask", "configs", "way"),
    [
        (flags.CLOSE_WRITE, Sign.WRITTEN, Sign.NOTHING),
        (flags.MOVED_TO, Sign.WRITTEN, Sign.BRANCH),
        (flags.ATTRIB, Sign.TOUCHED, Sign.NOTHING),
        (flags.ATTRIB | flags.ISDIR, Sign.NOTHING, Sign.BRANCH),
        (flags.CREATE, Sign.CREATED, Sign.BRANCH),
        (flags.CREATE | flags.ISDIR, Sign.NOTHING, Sign.BRANCH),
        (flags.MOVED_TO | flags.ISDIR, Sign.NOTHING, Sign.BRANCH),
        (flags.DELETE, Sign.LEFT, Sign.BRANCH),
        (flags.DELETE | flags.ISDIR, Sign.LEFT, Sign.BRANCH),
        (flags.MOVED_FROM, Sign.LEFT, Sign.BRANCH),
        (flags.MODIFY, Sign.NOTHING, Sign.NOTHING),
        (flags.OPEN, Sign.NOTHING, Sign.NOTHING),
        (flags.DELETE_SELF, Sign.DELETED, Sign.DELETED),
        (flags.MOVE_SELF, Sign.LOST, Sign.LOST),
        (flags.UNMOUNT, Sign.LOST, Sign.LOST),
        (flags.IGNORED, Sign.LOST, Sign.LOST),
    ],
)
def test_what_a_mask_means(mask: int, configs: Sign, way: Sign) -> None:
    assert read_sign(mask, configs=True) is configs
    assert read_sign(mask, configs=False) is way


# --- doubt ---


def test_a_doubtful_answer_is_believed_when_it_is_repeated_after_a_second() -> None:
    look = SecondLook()
    assert look.due == inf
    assert not look.believes("empty", 10.0)
    assert look.due == 11.0
    assert not look.believes("empty", 10.9)
    assert look.due == 11.0
    assert look.believes("empty", 11.0)
    assert look.due == inf
    assert not look.believes("empty", 12.0)


def test_another_doubtful_answer_is_another_doubt() -> None:
    look = SecondLook()
    assert not look.believes("one", 10.0)
    assert not look.believes("other", 11.5)
    assert look.due == 12.5
    assert not look.believes("one", 12.6)
    assert look.believes("one", 13.6)


def test_an_answer_without_doubt_settles_it() -> None:
    look = SecondLook()
    assert not look.believes("empty", 10.0)
    look.settle()
    assert look.due == inf
    assert not look.believes("empty", 11.0)


# --- points ---


def test_points_know_who_depends_on_what() -> None:
    points: Points[str] = Points()
    assert points.depend("a", (("/x", "1"), ("/y", "2"))) == []
    assert points.depend("b", (("/x", "1"), ("/x", "3"))) == []
    assert set(points.at("/x", "1")) == {"a", "b"}
    assert points.at("/y", "2") == ("a",)
    assert points.at("/y", "1") == points.at("/z", "1") == ()
    assert sorted(points.at("/x", "")) == ["a", "b", "b"]
    assert points.folders() == {"/x", "/y"}
    assert points.of("a") == (("/x", "1"), ("/y", "2"))
    assert points.depend("a", (("/x", "1"),)) == ["/y"]
    assert not points.has("/y")
    assert points.depend("b", ()) == []
    assert points.depend("b", ()) == []
    assert points.has("/x")
    assert points.depend("a", ()) == ["/x"]
    assert points == Points()


# --- one vassal ---

GLANCE = Glance("a.ini", "/f", "a.ini")
A = VassalSpec("a.ini", 1)


def found(version: int = 1, *, size: int = 0, racy: bool = False, owner: Owner | None = None) -> Found:
    return Found(VassalSpec("a.ini", version, owner=owner), (version, size, 7), racy)


REFUSED = Refused("socket file", "'x'", "no", None)
REFUSED_THEN = VassalRefused("m", "a.ini", "socket file", "'x'", "no")
FAILED_THEN = VassalRefused(
    "m", "a.ini", "file", "'a.ini'", "Input/output error; nothing changes for it until it can be looked at"
)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([(0, found())], [Touch(A)]),
        ([(0, found()), (1, found())], [Touch(A)]),
        ([(0, found()), (1, found(2))], [Touch(A), Touch(VassalSpec("a.ini", 2))]),
        ([(0, found(2)), (1, found(1))], [Touch(VassalSpec("a.ini", 2)), Touch(A)]),
        ([(0, found(racy=True)), (1, found(size=5))], [Touch(A), Touch(A, force=True)]),
        ([(0, found(racy=False)), (1, found(size=5))], [Touch(A)]),
        ([(0, Absent())], []),
        ([(0, found()), (1, Absent())], [Touch(A)]),
        ([(0, found()), (1, Absent()), (1 + GRACE, Absent())], [Touch(A), Destroy("a.ini")]),
        ([(0, found()), (1, Absent()), (1.05, found()), (1.2, Absent())], [Touch(A)]),
        ([(0, found()), (1, Absent()), (1.05, found(2))], [Touch(A), Touch(VassalSpec("a.ini", 2))]),
        ([(0, found()), (1, Absent(sure=False)), (9, Absent(sure=False))], [Touch(A)]),
        ([(0, found()), (1, Absent()), (9, Absent(sure=False))], [Touch(A), Destroy("a.ini")]),
        ([(0, REFUSED), (1, REFUSED)], [REFUSED_THEN]),
        ([(0, REFUSED), (1, Absent()), (2, REFUSED)], [REFUSED_THEN, REFUSED_THEN]),
        ([(0, REFUSED), (1, found()), (2, REFUSED)], [REFUSED_THEN, Touch(A), REFUSED_THEN]),
        ([(0, found()), (1, REFUSED), (9, REFUSED)], [Touch(A), REFUSED_THEN]),
        ([(0, found()), (1, Absent()), (1.05, REFUSED), (9, REFUSED)], [Touch(A), REFUSED_THEN]),
        ([(0, found()), (1, Failed("Input/output error")), (2, Failed("Input/output error"))], [Touch(A), FAILED_THEN]),
        (
            [(0, found(owner=Owner(1, 1))), (1, REFUSED)],
            [Touch(found(owner=Owner(1, 1)).spec), REFUSED_THEN, Destroy("a.ini")],
        ),
    ],
)
def test_what_is_said_of_a_vassal(outcomes: list[tuple[float, Outcome]], said: list[object]) -> None:
    vassals = Vassals("m")
    heard: list[object] = []
    for now, outcome in outcomes:
        told = Told()
        vassals.settle(GLANCE, outcome, now, told)
        heard += [*told.events, *told.observations]
    assert heard == said


def test_a_name_that_left_is_due_after_its_time_to_return() -> None:
    vassals = Vassals("m")
    vassals.left("a.ini", 0.0)
    assert vassals.next_due() == inf
    vassals.settle(GLANCE, found(), 0.0, Told())
    vassals.left("a.ini", 1.0)
    vassals.left("a.ini", 1.05)
    assert vassals.next_due() == 1.0 + GRACE
    assert vassals.due(1.05) == []
    assert vassals.due(1.0 + GRACE) == [GLANCE]
    vassals.returned("a.ini")
    assert vassals.next_due() == inf


def test_many_names_that_left_are_due_in_turn() -> None:
    vassals = Vassals("m")
    glances = [Glance(f"{number}.ini", "/f", f"{number}.ini") for number in range(3)]
    for number, glance in enumerate(glances):
        vassals.settle(glance, Found(VassalSpec(glance.name, 1), (1, 0, 0), False), 0.0, Told())
        vassals.left(glance.name, float(number))
    assert vassals.due(1.0 + GRACE) == glances[:2]


def test_a_link_that_leads_nowhere_keeps_its_points_and_gives_them_back() -> None:
    vassals = Vassals("m")
    nowhere = Absent("a link that leads nowhere", points=(("/x", "1"),))
    told = Told()
    vassals.settle(GLANCE, nowhere, 0.0, told)
    assert vassals.points.at("/x", "1") == (GLANCE,)
    assert vassals.names_in("/f") == {"a.ini"}
    assert vassals.folders() == ["/f"]
    assert not vassals.is_expected("a.ini")
    vassals.lacks("a.ini", Absent(), 1.0, told)
    assert (told.observations, told.freed) == ([], ["/x"])
    assert vassals.folders() == []


def test_a_vassal_whose_links_target_is_gone_keeps_its_points_after_its_end() -> None:
    vassals = Vassals("m")
    told = Told()
    vassals.settle(GLANCE, Found(A, (1, 0, 0), False, (("/x", "1"),)), 0.0, told)
    nowhere = Absent("a link that leads nowhere", points=(("/x", "1"), ("/y", "2")))
    vassals.settle(GLANCE, nowhere, 1.0, told)
    assert vassals.points.at("/y", "2") == (GLANCE,)
    vassals.settle(GLANCE, nowhere, 2.0, told)
    assert told.observations == [Touch(A), Destroy("a.ini")]
    assert vassals.points.at("/y", "2") == (GLANCE,)


def test_refusals_of_entries_that_are_gone_are_forgotten() -> None:
    vassals = Vassals("m")
    told = Told()
    vassals.settle(GLANCE, REFUSED, 0.0, told)
    vassals.forget_said({"a.ini"})
    vassals.settle(GLANCE, REFUSED, 1.0, told)
    vassals.forget_said(set())
    vassals.settle(GLANCE, REFUSED, 2.0, told)
    vassals.left("a.ini", 3.0)
    vassals.settle(GLANCE, REFUSED, 4.0, told)
    assert told.events == [REFUSED_THEN] * 3


# --- names ---


def test_which_config_a_socket_file_belongs_to() -> None:
    rules = Rules(socket_extension=".socket")
    assert rules.config_of("a.ini.socket") == "a.ini"
    assert rules.config_of("a.ini") is None
    assert rules.config_of(".socket") is None
    assert Rules().config_of("a.ini.socket") is None


def test_which_paths_a_place_holds() -> None:
    place = Place("/opt", 0, "/opt/")
    assert place.holds("/opt")
    assert place.holds("/opt/a")
    assert not place.holds("/optional")
    assert Place("/").holds("/a")
