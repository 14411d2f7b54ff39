"""The same stories of a table, told to real uWSGI and to ours; what differs is declared, with a reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.monitors.pg.support import Table
from tests.support.servers.postgres import Postgres, postgres
from tests.support.vassal import vassal_config
from tests.system.empire import RELOAD_PAUSE, EmperorUnderTest, Kind


@dataclass
class Story:
    """One emperor over one table of its own, whose query is ``query``."""

    emperor: EmperorUnderTest
    table: Table
    monitor: str = ""

    def start(self, query: str = "") -> None:
        argument = f"{self.table.server.dsn};{query or self.table.query('name,config,EXTRACT(epoch FROM ts)')}"
        self.monitor = f"pg://{argument}"
        self.emperor.start("--plugin", "emperor_pg", monitors=[self.monitor])

    def put(self, name: str, ts: float = 1000, config: str | None = "", **settings: str | int) -> None:
        if config == "":
            config = vassal_config({"report": self.emperor.report.path, **settings})
        self.table.put(name, config, ts=datetime.fromtimestamp(ts, UTC))

    def pass_polls(self) -> None:
        """Let the emperor ask again: what was done before is seen by then."""
        self.put("marker.ini")
        self.emperor.wait_vassal("marker.ini", ready=1)
        self.table.remove("marker.ini")
        self.emperor.wait_gone("marker.ini")
        time.sleep(RELOAD_PAUSE)

    def running(self) -> list[str]:
        return sorted(vassal["id"] for vassal in self.emperor.stats()["vassals"])


Observation = dict[str, Any]
Play = Callable[[Story], Observation]


@dataclass(frozen=True)
class Differs:
    uwsgi: object
    ours: object
    because: str


STORIES: list[tuple[Play, Mapping[str, Differs]]] = []


def story(**differs: Differs) -> Callable[[Play], Play]:
    def enlist(play: Play) -> Play:
        STORIES.append((play, differs))
        return play

    return enlist


@story()
def a_row_is_added(it: Story) -> Observation:
    it.put("a.ini", mark=1)
    it.put("no-vassal.txt")
    it.start()
    it.put("b.xml")
    it.pass_polls()
    start = next(entry for entry in it.emperor.reported("start") if entry["name"] == "emperor://a.ini")
    return {"running": it.running(), "arguments": start["argv"][1:], "cwd": start["cwd"] == str(it.emperor.folder)}


@story()
def a_later_time(it: Story) -> Observation:
    it.put("a.ini")
    it.start()
    it.emperor.wait_vassal("a.ini", ready=1)
    it.put("a.ini", 1010)
    it.emperor.wait_vassal("a.ini", respawns=1)
    it.pass_polls()
    vassal = it.emperor.wait_vassal("a.ini", respawns=1)
    return {
        "vassal": {key: vassal[key] for key in ("born", "last_mod", "ready", "accepting", "loyal", "cursed")},
        "orders": it.emperor.orders("emperor://a.ini"),
        "monitor": vassal["monitor"] == it.monitor,
    }


@story()
def a_row_is_removed(it: Story) -> Observation:
    it.put("a.ini")
    it.put("b.ini")
    it.start()
    it.emperor.wait_running("a.ini", "b.ini")
    it.table.remove("a.ini")
    it.emperor.wait_gone("a.ini")
    return {"running": it.running()}


@story(respawns=Differs(0, 1, "a fraction of a second counts: two edits within one second are two"))
def a_time_half_a_second_later(it: Story) -> Observation:
    return _retime(it, 1000.5)


@story(respawns=Differs(0, 1, "any other time counts: a row restored from a backup is older"))
def an_older_time(it: Story) -> Observation:
    return _retime(it, 990)


def _retime(it: Story, ts: float) -> Observation:
    it.put("a.ini")
    it.start()
    it.emperor.wait_vassal("a.ini", ready=1)
    it.put("a.ini", ts)
    it.pass_polls()
    it.pass_polls()
    vassal = it.emperor.vassal("a.ini")
    return {"respawns": vassal and vassal["respawns"]}


@story(refused=Differs(False, True, "a row without a config is refused by name; uWSGI starts a vassal that finds none"))
def a_new_row_without_a_config(it: Story) -> Observation:
    it.put("a.ini", config=None)
    it.start()
    it.pass_polls()
    return {
        "refused": "'a.ini' refused: config" in it.emperor.log(),
        "started": [entry for entry in it.emperor.reported("start") if "a.ini" in entry["name"]],
    }


@story(same=Differs(False, True, "a row that lost its config keeps its vassal as it was; uWSGI reloads it without one"))
def a_row_loses_its_config(it: Story) -> Observation:
    it.put("a.ini")
    it.start()
    before = it.emperor.wait_vassal("a.ini", ready=1)
    it.put("a.ini", 1010, None)
    it.pass_polls()
    it.pass_polls()
    after = it.emperor.vassal("a.ini")
    return {"same": after is not None and (after["pid"], after["respawns"]) == (before["pid"], 0)}


@story(same=Differs(False, True, "an empty answer is believed when a second one says the same"))
def the_answer_is_empty_once(it: Story) -> Observation:
    asked, empty = f"{it.table.name}_asked", f"{it.table.name}_empty"
    it.put("a.ini")
    it.table.sql(f"CREATE SEQUENCE {asked}")
    it.table.sql(f"CREATE TABLE {empty} AS SELECT 0::bigint AS at")
    columns = "name,config,EXTRACT(epoch FROM ts)"
    it.start(f"{it.table.query(columns)} AND (SELECT nextval('{asked}') <> at FROM {empty})")
    before = it.emperor.wait_vassal("a.ini", ready=1)["pid"]
    ((at,),) = it.table.sql(f"UPDATE {empty} SET at = 2 + (SELECT last_value FROM {asked}) RETURNING at")
    it.emperor.wait(lambda: it.table.sql(f"SELECT last_value FROM {asked}")[0][0] > at + 2, "it asks no more")
    same = it.emperor.wait_vassal("a.ini", ready=1)["pid"] == before
    it.table.sql(f"DROP TABLE {empty}")
    it.table.sql(f"DROP SEQUENCE {asked}")
    return {"same": same}


@story()
def the_table_is_emptied(it: Story) -> Observation:
    it.put("a.ini")
    it.start()
    it.emperor.wait_vassal("a.ini", ready=1)
    it.table.remove("a.ini")
    it.emperor.wait_gone("a.ini")
    return {"running": it.running()}


@story(running=Differs([], ["a.ini"], "an answer of another shape is an error, and changes nothing"))
def the_query_answers_with_two_columns(it: Story) -> Observation:
    view = f"{it.table.name}_view"
    it.put("a.ini")
    it.table.sql(f"CREATE VIEW {view} AS {it.table.query('name,config,EXTRACT(epoch FROM ts)')}")
    it.start(f"SELECT * FROM {view}")
    it.emperor.wait_vassal("a.ini", ready=1)
    it.table.sql(f"DROP VIEW {view}")
    it.table.sql(f"CREATE VIEW {view} AS {it.table.query('name,config')}")
    time.sleep(3)
    running = it.running()
    it.table.sql(f"DROP VIEW {view}")
    return {"running": running}


@story(running=Differs(["a.ini"], [], "seven columns are an error: the specification has 3 to 6"))
def the_query_answers_with_seven_columns(it: Story) -> Observation:
    it.put("a.ini")
    it.start(it.table.query(f"name,config,EXTRACT(epoch FROM ts),0,0,'{it.emperor.folder}/a.socket',7"))
    time.sleep(3)
    return {"running": it.running()}


@story(running=Differs([], ["a.ini"], "an empty socket is none; uWSGI tries to bind it, and drops the vassal"))
def the_socket_is_empty(it: Story) -> Observation:
    it.put("a.ini")
    it.start(it.table.query("name,config,EXTRACT(epoch FROM ts),0,0,socket"))
    time.sleep(3)
    return {"running": [vassal["id"] for vassal in it.emperor.stats()["vassals"] if vassal["ready"]]}


@story()
def the_table_is_gone(it: Story) -> Observation:
    it.put("a.ini")
    it.start()
    before = it.emperor.wait_vassal("a.ini", ready=1)["pid"]
    it.table.sql(f"ALTER TABLE {it.table.name} RENAME TO {it.table.name}_away")
    time.sleep(3)
    it.table.sql(f"ALTER TABLE {it.table.name}_away RENAME TO {it.table.name}")
    it.pass_polls()
    return {"same": it.emperor.wait_vassal("a.ini")["pid"] == before}


@story()
def the_server_is_started_again(it: Story) -> Observation:
    with postgres() as server:
        it.table = Table(server, "vassals")
        it.put("a.ini")
        it.start()
        before = it.emperor.wait_vassal("a.ini", ready=1)["pid"]
        server.stop()
        time.sleep(2)
        during = it.running()
        server.start()
        it.put("b.ini")
        it.emperor.wait_running("a.ini", "b.ini")
        same = it.emperor.wait_vassal("a.ini")["pid"] == before
        it.table.drop()
    return {"during": during, "same": same}


Results = Callable[[Play, Kind], Observation]


@pytest.fixture(scope="module")
def results(server: Postgres, vassal_binary: Path) -> Iterator[Results]:
    """What each emperor was seen to do in each story, all of them told at once."""

    def tell(play: Play, kind: Kind) -> Observation:
        with ExitStack() as stack:
            table = Table(server, f"{play.__name__}_{kind.name.lower()}")
            stack.callback(table.drop)
            return play(Story(stack.enter_context(EmperorUnderTest(kind, vassal_binary)), table))

    with ThreadPoolExecutor(len(STORIES)) as pool:
        told = {(play, kind): pool.submit(tell, play, kind) for play, _ in STORIES for kind in Kind}
        yield lambda play, kind: told[play, kind].result()


@pytest.mark.parametrize(("play", "differs"), STORIES, ids=lambda value: getattr(value, "__name__", ""))
def test_same_as_uwsgi(play: Play, differs: Mapping[str, Differs], results: Results) -> None:
    theirs, ours = results(play, Kind.UWSGI), results(play, Kind.OURS)
    expected = ours | {key: difference.uwsgi for key, difference in differs.items()}
    assert theirs == expected
    assert {key: ours[key] for key in differs} == {key: difference.ours for key, difference in differs.items()}
