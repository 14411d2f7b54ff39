"""The same commands, sent to real uWSGI with its plugin and to ours: the same is seen, but for what is declared.

Each difference is named by the first cell of its row in ``docs/monitors/zmq.md``. All scenarios run at once, in
threads, since uWSGI does most things once a second.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from tests.support.servers.common import free_port
from tests.support.vassal import Setting, vassal_config
from tests.system.differential.scenario import Differs, Observation, Scenario
from tests.system.empire import EmperorUnderTest, Kind

PAGE = Path(__file__).parents[3] / "docs" / "monitors" / "zmq.md"
SETTLED = 1.5
"""Seconds after which uWSGI, too, has done what there is to do; its clock ticks in whole seconds."""


class Court:
    """One emperor that takes commands, and whoever sends them."""

    def __init__(self, emperor: EmperorUnderTest, push: zmq.Socket[bytes], *options: str) -> None:
        self.emperor = emperor
        endpoint = f"tcp://127.0.0.1:{free_port()}"
        emperor.start("--plugin", "emperor_zeromq", *options, monitors=[f"zmq://{endpoint}"])
        self._push = push
        push.connect(endpoint)

    def send(self, *frames: str) -> None:
        self._push.send_multipart([frame.encode() for frame in frames])

    def touch(self, name: str, *rest: str, **settings: Setting) -> None:
        self.send("touch", name, self.config(**settings), *rest)

    def config(self, **settings: Setting) -> str:
        return vassal_config({"report": self.emperor.report.path, **settings})

    def names(self) -> list[str]:
        """The vassals that there are, once a newer one has come and some time has passed."""
        self.touch("newest.ini")
        self.emperor.wait_vassal("newest.ini", ready=1)
        time.sleep(SETTLED)
        return sorted(vassal["id"] for vassal in self.emperor.stats()["vassals"])

    def read(self) -> list[int]:
        """The numbers in the configs that vassals read, in order."""
        texts = [entry["text"] for entry in self.emperor.reported("config")]
        return [int(number) for text in texts for number in re.findall(r"number = (\d+)", text)]


Play = Callable[[Court], Observation]
SCENARIOS: list[Scenario] = []


def scenario(*options: str, **differs: Differs) -> Callable[[Play], Play]:
    def enlist(play: Play) -> Play:
        def told(emperor: EmperorUnderTest) -> Observation:
            with zmq.Context() as library, library.socket(zmq.PUSH) as push:
                push.linger = 0
                return play(Court(emperor, push, *options))

        SCENARIOS.append(Scenario(play.__name__, told, differs))
        return play

    return enlist


@scenario()
def a_vassal_is_touched_and_destroyed(court: Court) -> Observation:
    court.touch("a.ini", number=1)
    vassal = court.emperor.wait_vassal("a.ini", ready=1, accepting=1)
    start = court.emperor.reported("start")[0]
    court.send("destroy", "a.ini")
    court.emperor.wait_gone("a.ini")
    return {
        "argv": start["argv"][1:],
        "cwd": Path(start["cwd"]) == court.emperor.folder,
        "read": court.read(),
        "orders": court.emperor.orders("emperor://a.ini"),
        "vassal": {key: vassal[key] for key in ("id", "on_demand", "zerg", "respawns")},
    }


@scenario(read=Differs([1, 2, 2, 3, 3], [1, 2, 3, 4, 5], "successive configs"))
def five_configs_one_after_the_other(court: Court) -> Observation:
    for number in range(1, 6):
        court.touch("a.ini", number=number)
        court.emperor.wait_reported("config", count=number)
        time.sleep(SETTLED)
    return {"read": court.read()}


@scenario(read=Differs([1], [1, 2], "two touches within a second"))
def two_touches_within_a_second(court: Court) -> Observation:
    time.sleep(1.05 - time.time() % 1)  # early in a second
    court.touch("a.ini", number=1)
    court.emperor.wait_vassal("a.ini", ready=1)
    court.touch("a.ini", number=2)
    time.sleep(SETTLED)
    return {"read": court.read()}


@scenario()
def a_file_of_the_emperors_folder(court: Court) -> Observation:
    court.emperor.add("a.ini", folder=court.emperor.folder, number=1)
    court.send("touch", "a.ini")
    court.emperor.wait_vassal("a.ini", ready=1, accepting=1)
    start = court.emperor.reported("start")[0]
    time.sleep(SETTLED)
    court.emperor.add("a.ini", folder=court.emperor.folder, number=2)
    court.send("touch", "a.ini")
    court.emperor.wait_reported("config", count=2)
    court.emperor.remove("a.ini", folder=court.emperor.folder)
    return {
        "argv": start["argv"][1:],
        "read": court.read(),
        "after it was removed": court.names(),
    }


@scenario(starts=Differs(True, False, "a file that is not there"))
def a_file_that_is_not_there(court: Court) -> Observation:
    court.send("touch", "none.ini")
    names = court.names()
    return {"starts": "none.ini" in names or court.emperor.blacklisted("none.ini") is not None}


@scenario()
def names_that_are_no_vassals(court: Court) -> Observation:
    court.touch("a.conf")
    court.touch("a" * 255 + ".ini")
    court.touch("")
    return {"names": court.names()}


@scenario()
def commands_that_are_none(court: Court) -> Observation:
    court.send("touch")
    court.send("stop", "newest.ini")
    court.send("destroy", "never.ini")
    court.send("TOUCH", "a.ini", court.config())
    return {"names": court.names()}


@scenario(lost=Differs(True, False, "a command of five frames"))
def five_frames_and_the_next_command_at_once(court: Court) -> Observation:
    for number in range(20):
        court.touch(f"five-{number}.ini", "0", "0")
        court.touch(f"next-{number}.ini")
    time.sleep(SETTLED)
    return {"lost": sum(name.startswith("next-") for name in court.names()) < 20}


@scenario(names=Differs(["a.ini", "newest.ini"], ["newest.ini"], "a command of seven frames"))
def seven_frames(court: Court) -> Observation:
    court.touch("a.ini", "0", "0", "127.0.0.1:0", "more")
    return {"names": court.names()}


@scenario(started=Differs(False, True, "an empty socket"))
def an_empty_socket(court: Court) -> Observation:
    court.touch("a.ini", "0", "0", "")
    court.names()
    return {"started": bool(court.emperor.reported("start", "emperor://a.ini"))}


@scenario()
def a_socket(court: Court) -> Observation:
    path = court.emperor.folder / "socket"
    court.touch("a.ini", "0", "0", str(path))
    vassal = court.emperor.wait_vassal("a.ini", on_demand=str(path))
    court.names()
    return {"pid": vassal["pid"], "started": bool(court.emperor.reported("start", "emperor://a.ini"))}


@scenario("--emperor-tyrant", names=Differs([], ["a.ini"], "a command of five frames"))
def in_tyrant_mode_the_owner_comes_along(court: Court) -> Observation:
    court.touch("none.ini")
    court.touch("half.ini", "1000")
    for name, uid in (("root.ini", "0"), ("a.ini", "1000")):
        time.sleep(0.3)  # after five frames, uWSGI takes the next command that is there for the sixth
        court.touch(name, uid, "100")
    time.sleep(SETTLED)
    return {"names": [vassal["id"] for vassal in court.emperor.stats()["vassals"]]}


Results = Callable[[Scenario, Kind], Observation]


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, vassal_binary: Path) -> Iterator[Results]:
    """What each emperor was seen to do. All that is asked for starts now."""

    def play(chosen: Scenario, kind: Kind) -> Observation:
        with EmperorUnderTest(kind, vassal_binary) as emperor:
            return chosen.play(emperor)

    wanted = [item.callspec.params.get("scenario") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        futures: dict[tuple[str, Kind], Future[Observation]] = {
            (chosen.name, kind): pool.submit(play, chosen, kind)
            for chosen in SCENARIOS
            if chosen in wanted
            for kind in Kind
        }
        yield lambda chosen, kind: futures[chosen.name, kind].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_same_as_uwsgi(scenario: Scenario, results: Results) -> None:
    theirs, ours = results(scenario, Kind.UWSGI), results(scenario, Kind.OURS)
    declared = scenario.differs
    assert ours == {key: declared[key].ours if key in declared else value for key, value in theirs.items()}
    assert theirs == {key: declared[key].uwsgi if key in declared else value for key, value in ours.items()}


def test_each_difference_is_on_the_page() -> None:
    rows = set(re.findall(r"^\| *([^|]+?) *\|", PAGE.read_text(), re.MULTILINE))
    assert {differs.row for scenario in SCENARIOS for differs in scenario.differs.values()} <= rows
