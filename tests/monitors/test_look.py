"""Races within one look: what is exchanged or vanishes between two of its steps."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.model import VassalSpec
from emperor_trio.monitors import _look
from emperor_trio.monitors._entries import Absent, Failed, Found, Outcome, Rules, Unfinished
from emperor_trio.monitors._look import Looker
from emperor_trio.monitors._patterns import plan_folder, plan_pattern
from emperor_trio.monitors._sight import Glance, Job, Look, Place
from tests.monitors.support import write


def look(pattern: str, job: Job, rules: Rules | None = None) -> Look:
    plan = plan_pattern(pattern, "/") if "*" in pattern or pattern.endswith(".ini") else plan_folder(pattern, "/")
    return Looker(plan, rules or Rules(), None, {}).carry_out(job)


def glance(path: Path, created: Path | None = None) -> Outcome:
    item = Glance(path.name, str(path.parent), path.name, str(created) if created else None)
    return look(str(path.parent), Job(glances=(item,))).glances[item]


def test_a_glance(tmp_path: Path) -> None:
    write(tmp_path / "a.ini")
    os.utime(tmp_path / "a.ini", ns=(0, 5))
    outcome = glance(tmp_path / "a.ini")
    assert isinstance(outcome, Found)
    assert outcome.spec == VassalSpec("a.ini", 5, directory=str(tmp_path))
    assert glance(tmp_path / "b.ini") == Absent()
    assert glance(tmp_path / "missing" / "b.ini") == Absent(sure=False)


def test_what_was_created_and_is_not_there_any_more(tmp_path: Path) -> None:
    assert glance(tmp_path / "a.ini", created=tmp_path / "a.ini") == Absent()
    write(tmp_path / "a.ini")
    assert glance(tmp_path / "a.ini", created=tmp_path / "a.ini") == Unfinished()
    assert isinstance(glance(tmp_path / "a.ini", created=tmp_path / "gone"), Found)
    os.link(tmp_path / "a.ini", tmp_path / "b.ini")
    assert isinstance(glance(tmp_path / "b.ini", created=tmp_path / "b.ini"), Found)


def test_one_file_whose_name_is_no_configs(tmp_path: Path) -> None:
    write(tmp_path / "README")
    base = Place(str(tmp_path), 0, f"{tmp_path}/")
    plan = plan_pattern(str(tmp_path / "README"), "/")
    seen = Looker(plan, Rules(), None, {}).carry_out(Job((base,), full=True))
    visit = seen.visits[str(tmp_path)]
    assert visit.outcomes == {}
    assert visit.skipped == {f"{tmp_path}/README": "its ending is no config's, or it has 255 bytes or more"}


class BadEntry:
    """A directory entry that can't be looked at."""

    def __init__(self, entry: os.DirEntry[str], error: int) -> None:
        self.name = entry.name
        self._error = error

    def stat(self, *, follow_symlinks: bool) -> None:
        raise OSError(self._error, os.strerror(self._error))


@pytest.mark.parametrize(("error", "outcome"), [(errno.ENOENT, Absent()), (errno.EIO, Failed("Input/output error"))])
def test_an_entry_that_fails_while_its_folder_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, outcome: Outcome
) -> None:
    write(tmp_path / "a.ini")
    real = os.scandir

    @contextmanager
    def scan(descriptor: int) -> Iterator[Any]:
        with real(descriptor) as entries:
            yield [BadEntry(entry, error) for entry in entries]

    monkeypatch.setattr(_look.os, "scandir", scan)  # type: ignore[attr-defined]
    base = Place(str(tmp_path))
    visit = look(str(tmp_path), Job((base,), full=True)).visits[str(tmp_path)]
    assert visit.outcomes | visit.absent == {"a.ini": outcome}


def test_a_link_that_is_exchanged_while_it_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "target" / "a.ini")
    (tmp_path / "hop").symlink_to("target")
    (tmp_path / "a.ini").symlink_to("hop/a.ini")
    real = os.readlink

    def read(path: Any, **options: Any) -> str:
        if str(path).endswith("hop"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return str(real(path, **options))

    monkeypatch.setattr(os, "readlink", read)
    outcome = glance(tmp_path / "a.ini")
    assert isinstance(outcome, Found)
    assert (str(tmp_path), "hop") in outcome.points


def test_what_a_link_leads_over(tmp_path: Path) -> None:
    write(tmp_path / "releases" / "1" / "a.ini")
    (tmp_path / "current").symlink_to("releases/1")
    (tmp_path / "vassals").mkdir()
    (tmp_path / "vassals" / "a.ini").symlink_to("../current/./a.ini")
    outcome = glance(tmp_path / "vassals" / "a.ini")
    assert isinstance(outcome, Found)
    assert outcome.points == ((str(tmp_path), "current"), (str(tmp_path / "releases" / "1"), "a.ini"))


def test_what_a_link_that_leads_nowhere_leads_over(tmp_path: Path) -> None:
    (tmp_path / "a.ini").symlink_to(tmp_path / "not" / "there" / "a.ini")
    assert glance(tmp_path / "a.ini") == Absent("a link that leads nowhere", points=((str(tmp_path), "not"),))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a.ini").symlink_to("b")
    (tmp_path / "b").symlink_to("c")
    (tmp_path / "c").symlink_to("b")
    outcome = glance(tmp_path / "a.ini")
    assert outcome == Absent("a link that leads nowhere", points=((str(tmp_path), "b"), (str(tmp_path), "c")))


def test_the_way_to_the_first_folder(tmp_path: Path) -> None:
    (tmp_path / "real" / "vassals").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    base = Place(str(tmp_path / "link" / "vassals"))
    points = look(base.path, Job((base,), full=True)).base_points
    way = [(str(folder), folder_below.name) for folder_below in tmp_path.parents for folder in [folder_below.parent]]
    assert set(way) - {("/", "")} <= set(points)
    assert points[-3:] == (
        (str(tmp_path), "link"),
        (str(tmp_path), "real"),
        (str(tmp_path / "real"), "vassals"),
    )
