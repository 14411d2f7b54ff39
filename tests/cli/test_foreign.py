"""The table of uWSGI's options: complete, consistent with ours, and each class with a reason."""

from __future__ import annotations

import re
import subprocess

import pytest

from emperor_trio.cli.arguments import _arity
from emperor_trio.cli.foreign import IGNORED, OURS, REASONS, uwsgi_options
from emperor_trio.settings import NAMES


def test_each_class_has_a_reason_and_each_reason_a_class() -> None:
    assert {option.kind for option in uwsgi_options().values()} == {OURS, IGNORED, *REASONS}


def test_ours_are_taken_as_uwsgi_takes_them() -> None:
    for name, option in uwsgi_options().items():
        assert (option.kind == OURS) == (name in NAMES), name
        if name in NAMES:
            assert option.arity == _arity(name), name
            if NAMES[name].name == name:
                assert option.short == NAMES[name].short, name


def test_no_option_of_uwsgi_has_a_name_that_is_only_ours() -> None:
    for name, option in NAMES.items():
        if option.ours and name != "log-format":
            assert name not in uwsgi_options(), name


def test_the_options_of_a_real_uwsgi_are_all_known() -> None:
    ran = subprocess.run(["/usr/bin/uwsgi-core", "--help"], capture_output=True, text=True, timeout=30, check=True)
    names = re.findall(r"^ +(?:-.\|)?--([A-Za-z0-9_-]+)", ran.stdout, re.MULTILINE)
    assert len(names) > 500
    assert [name for name in names if name not in uwsgi_options()] == []


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("socket", "socket http-socket https-socket fastcgi-socket raw-socket shared-socket zerg-server zeromq-socket"),
        ("router", "http https https2 http-to fastrouter rawrouter sslrouter forkptyrouter subscribe2 legion st"),
        ("app", "module wsgi-file wsgi callable mount file import psgi rack php-app cgi pyrun"),
        ("process", "cron attach-daemon smart-attach-daemon2 legion-cron mule mules spooler worker-exec"),
        ("stats", "stats stats-server carbon stats-push"),
        ("symbol", "call-as-vassal call-as-emperor4 dlopen"),
        ("hook", "hook-as-vassal hook-as-emperor hook-asap hook-touch"),
        ("mount", "mount-as-vassal umount-as-emperor mount-asap"),
        ("command", "exec-asap exec-as-root touch-exec file-write"),
        ("identity", "chroot cap unshare immediate-uid add-gid namespace cgroup privileged-binary-patch"),
        ("limit", "limit-as max-fd"),
        ("fork-server", "emperor-use-fork-server emperor-fork-server-attr vassal-fork-base"),
        ("proxy", "emperor-proxy-socket"),
        ("trigger", "emperor-trigger-socket"),
        ("zeus", "zeus"),
        ("daemonize", "daemonize daemonize2"),
        (
            IGNORED,
            "processes workers lazy-apps http-socket-modifier1 log-date vacuum thunder-lock touch-reload vassal-sos",
        ),
        (IGNORED, "check-mount mount-check mountpoint-check plugins-dir autoload no-orphans buffer-size harakiri"),
    ],
)
def test_classes(kind: str, names: str) -> None:
    assert {name: uwsgi_options()[name].kind for name in names.split()} == dict.fromkeys(names.split(), kind)
