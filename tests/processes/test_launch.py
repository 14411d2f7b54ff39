"""What is to be started, as tables: argv, environment, owner and hooks. No process is started here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from emperor_trio.errors import SpawnError, UsageError
from emperor_trio.model import Owner, VassalId, VassalSpec
from emperor_trio.ports import HookPoint
from emperor_trio.processes.launch import Launch, LaunchPolicy, Pipes, plan, plan_hook, plan_hooks

ENVIRONMENT = {"PATH": "/bin", "HOME": "/root"}
PIPES = Pipes(emperor=(17, 3))
BOTH = Pipes(emperor=(17, 3), config=(19, 4), stdin=21)
SPEC = VassalSpec("one.ini", 1)


def policy(**changes: Any) -> LaunchPolicy:
    return LaunchPolicy(**({"environment": ENVIRONMENT, "directory": "/emperor"} | changes))


def planned(spec: VassalSpec = SPEC, pipes: Pipes = PIPES, ordinal: int = 0, zergs: int = 0, **changes: Any) -> Launch:
    vassal = VassalId("dir://x", spec.name, ordinal)
    return plan(policy(**changes), vassal, spec, pipes, binary=("uwsgi",), zergs=zergs)


LISTS = {
    "inherit_before": ("t1", "t2"),
    "include_before": ("i1", "i2"),
    "sets": ("a=1", "b=2"),
    "inherit": ("t3", "t4"),
    "include": ("i3", "i4"),
}


@pytest.mark.parametrize(
    ("spec", "changes", "argv"),
    [
        (SPEC, {}, "--ini one.ini"),
        (replace(SPEC, name="one.xml"), {}, "--xml one.xml"),
        (replace(SPEC, name="one.yml"), {}, "--yaml one.yml"),
        (replace(SPEC, name="one.yaml"), {}, "--yaml one.yaml"),
        (replace(SPEC, name="one.js"), {}, "--json one.js"),
        (replace(SPEC, name="one.json"), {}, "--json one.json"),
        (replace(SPEC, name="one.lua"), {"extra_extensions": frozenset({".lua"})}, "--config one.lua"),
        (replace(SPEC, name="/glob/one.ini"), {}, "--ini /glob/one.ini"),
        (replace(SPEC, config=b""), {}, "--ini emperor://one.ini"),
        (replace(SPEC, config=b"", executable=True), {}, "--ini emperor://one.ini"),
        (replace(SPEC, name="/glob/one.ini", executable=True), {}, "--ini exec:///glob/one.ini"),
        (replace(SPEC, executable=True), {}, "--ini exec://./one.ini"),
        (
            SPEC,
            LISTS,
            (
                "--inherit t1 --inherit t2 --include i1 --include i2 --set a=1 --set b=2 --ini one.ini "
                "--inherit t3 --inherit t4 --include i3 --include i4"
            ),
        ),
    ],
)
def test_argv(spec: VassalSpec, changes: dict[str, Any], argv: str) -> None:
    assert planned(spec, **changes).commands == (("uwsgi", *argv.split()),)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (SPEC, "one.ini:zerg"),
        (replace(SPEC, config=b""), "emperor://one.ini:zerg"),
        (replace(SPEC, name="/x/one.ini", executable=True), "exec:///x/one.ini:zerg"),
    ],
)
def test_a_zerg_is_named_and_numbered(spec: VassalSpec, name: str) -> None:
    launch = planned(spec, ordinal=2, zergs=5)
    assert launch.commands == (("uwsgi", "--ini", name),)
    assert launch.environment["UWSGI_BROODLORD_NUM"] == "5"
    assert "UWSGI_BROODLORD_NUM" not in planned(spec).environment


def test_a_name_stays_one_argument_whatever_is_in_it() -> None:
    name = "-x $(reboot) '\" ;\n.ini"
    assert planned(replace(SPEC, name=name)).commands == (("uwsgi", "--ini", name),)


@pytest.mark.parametrize(
    ("changes", "heads"),
    [
        ({}, [("uwsgi", "--set", "binary-path=python")]),
        ({"wrapper": "w"}, [("w",)]),
        ({"wrapper_override": ("o1", "o2")}, [("o1",), ("o2",), ("uwsgi", "--set", "binary-path=python")]),
        ({"wrapper_override": ("o",), "wrapper": "w", "wrapper_fallback": ("f",)}, [("o",), ("w",), ("f",)]),
    ],
)
def test_wrappers_and_binary_in_order(changes: dict[str, Any], heads: list[tuple[str, ...]]) -> None:
    found = ("uwsgi", "--set", "binary-path=python")
    commands = plan(policy(**changes), VassalId("m", "one.ini"), SPEC, PIPES, binary=found).commands
    assert commands == tuple((*head, "--ini", "one.ini") for head in heads)


def test_attributes_name_the_binary_and_the_folder_which_is_entered_last() -> None:
    spec = replace(SPEC, directory="/srv", attributes=(("place", "/home/a b"), ("program", "/bin/one")))
    asked: dict[str, Any] = {"wrapper": "/bin/all", "wrapper_attribute": "program", "folder_attribute": "place"}
    (command,) = planned(spec, **asked).commands
    assert command[:2] == ("/bin/sh", "-c")
    assert command[3:] == ("sh", "/home/a b", "/bin/one", "--ini", "/srv/one.ini")
    assert planned(spec, **asked).directory == "/srv"
    assert planned(**asked).commands == (("/bin/all", "--ini", "one.ini"),)
    (sent,) = planned(replace(spec, config=b""), pipes=BOTH, **asked).commands
    assert sent[-1] == "emperor://one.ini"


def test_a_missing_uwsgi_says_what_to_install() -> None:
    with pytest.raises(SpawnError, match=r"pip install 'emperor-trio\[uwsgi\]'"):
        plan(policy(), VassalId("m", "one.ini"), SPEC, PIPES, binary=None)
    fallback = plan(policy(wrapper_fallback=("f",)), VassalId("m", "one.ini"), SPEC, PIPES, binary=None)
    assert fallback.commands == (("f", "--ini", "one.ini"),)


def test_environment_of_a_vassal() -> None:
    environment = {
        **ENVIRONMENT,
        "UWSGI_VASSAL_HARAKIRI": "30",
        "UWSGI_HARAKIRI": "60",
        "UWSGI_VASSAL_EMPEROR_FD": "666",
        "UWSGI_VASSALS_DIR": "/kept",
        "UWSGI_RELOADS": "3",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "x",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "1",
        "UWSGI_EMPEROR_FD": "9",
        "UWSGI_EMPEROR_FD_CONFIG": "10",
        "UWSGI_EMPEROR_PROXY": "/p",
        "UWSGI_BROODLORD_NUM": "7",
    }
    expected = {**ENVIRONMENT, "UWSGI_HARAKIRI": "30", "UWSGI_VASSALS_DIR": "/kept", "UWSGI_EMPEROR_FD": "3"}
    assert planned(environment=environment).environment == expected
    assert planned(pipes=BOTH, environment=environment).environment == {**expected, "UWSGI_EMPEROR_FD_CONFIG": "4"}


def test_what_a_service_manager_says_to_the_emperor_is_for_children_where_it_is_given_to_them() -> None:
    environment = {**ENVIRONMENT, "NOTIFY_SOCKET": "/given", "WATCHDOG_USEC": "1", "UWSGI_RELOADS": "3"}
    given = frozenset({"NOTIFY_SOCKET", "UWSGI_RELOADS"})
    expected = {**ENVIRONMENT, "NOTIFY_SOCKET": "/given"}
    rules = policy(environment=environment, given=given)
    assert planned(environment=environment, given=given).environment == {**expected, "UWSGI_EMPEROR_FD": "3"}
    assert plan_hook(rules, SPEC, ("/hook",)).environment == {**expected, "UWSGI_VASSALS_DIR": "/emperor"}


def test_descriptors_and_folder() -> None:
    assert planned().descriptors == ((17, 3),)
    assert planned().stdin is None
    assert planned().directory == "/emperor"
    launch = planned(replace(SPEC, directory="/watched"), BOTH)
    assert launch.descriptors == ((17, 3), (19, 4))
    assert launch.stdin == 21
    assert launch.directory == "/watched"


def test_the_rest_of_the_policy_is_handed_on() -> None:
    launch = planned(
        umask=0o27,
        descriptor_limit=1024,
        capabilities=("net_bind_service", "10"),
        namespaces=("fs", "pid", "mnt"),
        hook_timeout=7.0,
        start_hook="/bin/hook",
        exec_as_vassal=("one", "two"),
        initgroups=True,
    )
    assert (launch.umask, launch.descriptor_limit, launch.hook_timeout) == (0o27, 1024, 7.0)
    assert launch.capabilities == ("net_bind_service", "10")
    assert launch.namespaces == {"mount", "pid"}
    assert launch.start_hook == ("/bin/hook", "one.ini")
    assert launch.checks == ("one", "two")
    assert launch.environment["UWSGI_VASSALS_DIR"] == "/emperor"
    assert launch.initgroups


def test_owners_count_in_tyrant_mode_only() -> None:
    spec = replace(SPEC, owner=Owner(1000, 1001))
    assert planned(spec).owner is None
    assert planned(spec, tyrant=True).owner == Owner(1000, 1001)


@pytest.mark.parametrize(
    "owner", [None, Owner(0, 1), Owner(1, 0), Owner(-1, 1), Owner(2**32 - 1, 1), Owner(1, 2**32 - 1), Owner(2**32, 1)]
)
def test_nobody_becomes_root_in_tyrant_mode(owner: Owner | None) -> None:
    with pytest.raises(SpawnError, match="Tyrant mode"):
        planned(replace(SPEC, owner=owner), tyrant=True)


def test_a_name_without_an_extension_is_refused() -> None:
    with pytest.raises(SpawnError, match="--emperor-extra-extension"):
        planned(replace(SPEC, name="one"))
    with pytest.raises(SpawnError, match="can't be handed to a process"):
        planned(replace(SPEC, name="\ud800.ini"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"capabilities": ("net_bind_servic",)}, "--emperor-cap: .*'net_bind_servic'; did you mean 'net_bind_service'"),
        ({"capabilities": ("zzz",)}, "--emperor-cap: .*'zzz'; there are chown"),
        ({"namespaces": ("pidd",)}, "--emperor-use-clone: .*'pidd'; did you mean 'pid'"),
        ({"on_demand_exec": "a 'b"}, "--emperor-on-demand-exec a 'b: No closing quotation"),
    ],
)
def test_a_wrong_policy_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        policy(**changes)


def test_hooks_of_the_emperors_side() -> None:
    rules = policy(
        environment={**ENVIRONMENT, "UWSGI_VASSAL_X": "1", "NOTIFY_SOCKET": "/n"},
        stop_hook="/stop",
        exec_as_emperor=("echo 1", "echo 2"),
        start_hook="/start",
        umask=0o77,
        tyrant=True,
    )
    vassal, spec = VassalId("m", "one.ini", 1), replace(SPEC, directory="/watched", owner=Owner(5, 6))
    (stop,) = plan_hooks(rules, HookPoint.AFTER_DEATH, vassal, spec, 42, Owner(0, 0))
    assert stop == plan_hook(rules, spec, ("/stop", "one.ini:zerg"))
    assert stop.environment == {**ENVIRONMENT, "UWSGI_VASSAL_X": "1", "UWSGI_VASSALS_DIR": "/watched"}
    assert (stop.owner, stop.start_hook, stop.umask, stop.directory) == (None, None, None, "/watched")
    after = plan_hooks(rules, HookPoint.AFTER_SPAWN, vassal, spec, 42, Owner(0, 0))
    assert [launch.commands for launch in after] == [(("/bin/sh", "-c", f"echo {n}"),) for n in (1, 2)]
    assert after[0].environment == {
        **stop.environment,
        "UWSGI_VASSAL_CONFIG": "one.ini:zerg",
        "UWSGI_VASSAL_PID": "42",
        "UWSGI_VASSAL_UID": "5",
        "UWSGI_VASSAL_GID": "6",
    }


def test_no_hook_where_none_is_asked_for() -> None:
    vassal = VassalId("m", "one.ini")
    for point in HookPoint:
        assert plan_hooks(policy(), point, vassal, SPEC, 42, Owner(0, 0)) == ()
    (launch,) = plan_hooks(policy(exec_as_emperor=("x",)), HookPoint.AFTER_SPAWN, vassal, SPEC, 42, Owner(7, 8))
    assert (launch.environment["UWSGI_VASSAL_UID"], launch.environment["UWSGI_VASSAL_GID"]) == ("7", "8")


@pytest.mark.parametrize(
    ("command", "executed"),
    [("hooks/stop", "/srv/hooks/stop"), ("./stop", "/srv/./stop"), ("/bin/stop", "/bin/stop"), ("stop", "stop")],
)
def test_a_command_of_the_emperors_side_is_never_looked_up_in_the_vassals_folder(command: str, executed: str) -> None:
    """It runs as root there, and the folder may be a tenant's."""
    policy = LaunchPolicy(environment={}, directory="/srv")
    launch = plan_hook(policy, VassalSpec("one.ini", 1, directory="/home/mallory/vassals"), (command, "one.ini"))
    assert launch.commands == ((executed, "one.ini"),)
    assert launch.directory == "/home/mallory/vassals"
