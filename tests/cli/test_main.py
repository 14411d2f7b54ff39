"""The command as one uses it: what runs with which settings, what is said, and the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import ModuleType

import pytest

from emperor_trio.cli.commands import COMMANDS, OPTIONS_OF_COMMANDS
from emperor_trio.cli.main import main
from emperor_trio.errors import EmperorError, UsageError
from emperor_trio.settings import Settings

Run = Callable[..., Settings]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def reigns(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the emperor would have been run with; it stops at once."""
    seen: list[Settings] = []

    def reign(settings: Settings, told: object) -> int:
        seen.append(settings)
        return 0

    stand_in(monkeypatch, reign)
    return seen


def stand_in(monkeypatch: pytest.MonkeyPatch, reign: Callable[[Settings, object], int]) -> None:
    module = ModuleType("emperor_trio.app")
    module.main = reign  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "emperor_trio.app", module)


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert all(line.startswith("emperor-trio: ") for line in printed.err.splitlines())
    return printed.err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--emperor", "/a"], Settings(emperor=("/a",))),
        (
            ["--emperor", "/a", "--emperor-tyrant", "--listen=5"],
            Settings(emperor=("/a",), emperor_tyrant=True, listen=5),
        ),
        (["pg://x;y", "--emperor", "/b", "*.ini"], Settings(emperor=("pg://x;y", "/b", "*.ini"))),
        (["."], Settings(emperor=(".",))),
        (
            ["--emperor", "/a", "-Mp4", "--vacuum"],
            Settings(emperor=("/a",), master=True, ignored=("processes", "vacuum")),
        ),
        (["--set", "listen=7", "--emperor", "/%(x)", "--set-ph", "x=y"], Settings(emperor=("/y",), listen=7)),
    ],
)
def test_what_runs(argv: list[str], expected: Settings, reigns: list[Settings]) -> None:
    assert main(argv) == 0
    assert reigns == [expected]


def test_debians_own_config_of_the_emperor(reigns: list[Settings]) -> None:
    write("emperor.ini", """[uwsgi]
# try to autoload appropriate plugin if "unknown" option has been specified
autoload = true
master = true
workers = 2
no-orphans = true
log-date = true
uid = root
gid = root
emperor = /etc/uwsgi-emperor/vassals
""")  # fmt: skip
    assert main(["--ini", "emperor.ini"]) == 0
    assert reigns[0] == Settings(
        emperor=("/etc/uwsgi-emperor/vassals",), uid="root", gid="root", master=True,
        ignored=("autoload", "workers", "no-orphans", "log-date"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.ini", "[uwsgi]\nemperor = /a\nemperor = /b\nemperor-freq = 0.5\nemperor-tyrant = true\n"),
        (
            "e.xml",
            "<uwsgi><emperor>/a</emperor><emperor>/b</emperor><emperor-freq>0.5</emperor-freq><emperor-tyrant/></uwsgi>",
        ),
        ("e.yaml", "uwsgi:\n  emperor: [/a, /b]\n  emperor-freq: 0.5\n  emperor-tyrant: true\n"),
        ("e.json", '{"uwsgi": {"emperor": ["/a", "/b"], "emperor-freq": 0.5, "emperor-tyrant": true}}'),
        ("e.toml", 'emperor = ["/a", "/b"]\nemperor-freq = 0.5\nemperor-tyrant = true\n'),
    ],
)
def test_one_meaning_in_all_formats(name: str, text: str, reigns: list[Settings]) -> None:
    write(name, text)
    expected = Settings(emperor=("/a", "/b"), emperor_freq=0.5, emperor_tyrant=True)
    option = {"toml": "config"}.get(name.split(".")[1], name.split(".")[1])
    assert main([f"--{option}", name]) == 0
    assert main(["--config", name]) == 0
    assert main([name]) == 0
    assert reigns == [expected] * 3


def test_a_config_besides_the_options_counts_last_and_one_in_an_option_where_it_stands(reigns: list[Settings]) -> None:
    write("e.ini", "[uwsgi]\nemperor = /a\nlisten = 1\n[two]\nlisten = 3\n")
    main(["e.ini", "--listen", "2"])
    main(["--ini", "e.ini", "--listen", "2"])
    main(["--ini", "e.ini", "e.ini:two"])
    assert [settings.listen for settings in reigns] == [1, 2, 3]


def test_placeholders_and_magic_variables(reigns: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "test")
    write("e.ini", "[uwsgi]\nbase = %d$(STAGE)\nemperor = %(base)/vassals\npidfile = /run/%n.pid\n")
    main(["e.ini"])
    assert reigns[0].emperor == (f"{Path.cwd()}/test/vassals",)
    assert reigns[0].pidfile == "/run/e.pid"


def test_what_is_meant_for_shells_and_vassals_is_left_alone(reigns: list[Settings]) -> None:
    write("e.ini", "[uwsgi]\nemperor = /a\nexec-as-vassal = echo $(date -u) $(NOPE)\nvassal-set = logformat=%(addr)\n")
    main(["e.ini"])
    assert reigns[0].exec_as_vassal == ("echo $(date -u) $(NOPE)",)
    assert reigns[0].vassal_set == ("logformat=%(addr)",)


def test_uwsgis_own_log_format_is_about_requests(reigns: list[Settings]) -> None:
    write("e.ini", "[uwsgi]\nemperor = /a\nlog-format = %(addr) - %(method)\n")
    main(["e.ini"])
    assert reigns[0] == Settings(emperor=("/a",), ignored=("log-format",))


@pytest.mark.usefixtures("reigns")
def test_nothing_to_watch(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys)
    assert "nothing to watch" in said
    assert "usage: emperor-trio [OPTIONS]" in said


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--emperor-throtle", "5"], ["--emperor-throtle: unknown option; did you mean --emperor-throttle?"]),
        (["--emperor", "/a", "--emperor-freq", "x"], ["--emperor-freq x: expected a number of seconds above 0"]),
        (["--emperor", "/a", "--http", ":80"], ["--http :80: the emperor opens no router", "config of a vassal"]),
        (["--emperor", "/a", "--daemonize", "/x"], ["--daemonize /x: the init system", "--logto"]),
        (["--emperor", "$(NO_SUCH)/x"], ["--emperor $(NO_SUCH)/x: NO_SUCH is not set"]),
        (["--set-ph", "listen=5", "--emperor", "/a"], ["listen 5: an option's name can't be a placeholder"]),
        (["--ini", "nope.ini"], ["--ini nope.ini: nope.ini can't be read"]),
        (["--emperor", "/a", "--if-env", "X"], ["--if-env X: ", "not supported"]),
        (["nope.ini"], ["nope.ini: there is no such config"]),
        (["/no/such/folder"], ["/no/such/folder: there is no such folder", "--emperor /no/such/folder"]),
        (["plain.conf"], ["plain.conf: a config's name must end in one of .ini"]),
        (["versoin"], ["versoin: neither a folder", "did you mean version?"]),
        (["xyzzy"], ["xyzzy: neither a folder", "commands are check, completion, help, "]),
        (["version", "2"], ["nothing may follow"]),
        (["help", "xyzzy"], ["no option, command or monitor has to do with 'xyzzy'"]),
    ],
)
@pytest.mark.usefixtures("reigns")
def test_mistakes(argv: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write("plain.conf", "")
    said = refused(capsys, *argv)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "emperor-throtle = 5",
            "e.ini:3: emperor-throtle = 5: unknown option; did you mean emperor-throttle? (and no %(",
        ),
        ("emperor-freq = x", "e.ini:3: emperor-freq = x: expected a number of seconds above 0"),
        ("http-socket = :80", "e.ini:3: http-socket = :80: the emperor opens no socket of its own"),
        ("chroot = /jail", "e.ini:3: chroot = /jail: it changes as whom or in which jail vassals run"),
        ("emperor = 50%", "e.ini:3: emperor = 50%: % stands for nothing; write %%"),
        ("help = true", "e.ini:3: help = true: this belongs on the command line"),
        ("pidfile =", "e.ini:3: pidfile =: expected a path (it needs a value)"),
    ],
)
@pytest.mark.usefixtures("reigns")
def test_mistakes_in_configs_name_file_line_key_and_value(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("e.ini", f"[uwsgi]\nemperor = /a\n{text}\n")
    assert message in refused(capsys, "e.ini")


@pytest.mark.usefixtures("reigns")
def test_all_mistakes_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--http", ":80", "--cron", "x", "--emperor-freq", "x", "--listen", "0")
    assert len(said.splitlines()) == 4


@pytest.mark.parametrize(
    "argv", [["a.ini", "b.ini"], ["--emperor", "a.ini", "b.ini"], ["a.ini", "b.ini", "--emperor", "/a"]]
)
@pytest.mark.usefixtures("reigns")
def test_a_pattern_that_the_shell_expanded_is_thought_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.ini", "b.ini"):
        write(name, "[uwsgi]\nmodule = x\n")
    said = refused(capsys, *argv)
    assert "the emperor runs no application itself" in said
    assert "did your shell expand a pattern? put it in quotes, as in '*.ini'" in said
    assert "did your shell" not in refused(capsys, "a.ini")


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def raises(error: Exception) -> Callable[[Settings, object], int]:
        def reign(_settings: Settings, _told: object) -> int:
            raise error

        return reign

    stand_in(monkeypatch, raises(UsageError("no driver")))
    assert main(["--emperor", "/a"]) == 2
    stand_in(monkeypatch, raises(EmperorError("broken")))
    assert main(["--emperor", "/a"]) == 1
    stand_in(monkeypatch, lambda _settings, _told: 1)
    assert main(["--emperor", "/a"]) == 1
    assert capsys.readouterr().err == "emperor-trio: no driver\nemperor-trio: broken\n"


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"], ["--emperor", "/a", "--usage"]])
def test_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: emperor-trio")
    for word in ("Examples", "Commands", "What to watch", "--emperor-priority PATTERN=N", "default 3 s"):
        assert word in text
    assert "\033" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_help_about_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "--emperor-freq"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("What to watch\n  --emperor-freq S")
    assert "--listen" not in text


@pytest.mark.parametrize(
    ("word", "lines"),
    [
        ("pg", ["Commands", "  pg-trigger", "Monitors", "  pg:// "]),
        ("PG://", ["Monitors", "  pg:// ", "every row that a query of PostgreSQL answers with is a vassal"]),
        ("zookeeper", ["Monitors", "  zoo:// ", "every child of one znode is a vassal"]),
        ("pg-trigger", ["Commands", "  pg-trigger"]),
        ("monitors", ["Commands", "  monitors"]),
        ("znode", ["Monitors", "  zoo:// "]),
    ],
)
def test_help_finds_commands_and_monitors(word: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", word]) == 0
    text = capsys.readouterr().out
    for line in lines:
        assert line in text


def test_help_about_a_monitor_imports_none() -> None:
    code = "import sys; from emperor_trio.cli.main import main; main(['help', 'zoo']); sys.exit('trio' in sys.modules)"
    assert python("-c", code).returncode == 0


@pytest.mark.parametrize("argv", [["--version"], ["version"]])
def test_version(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    assert capsys.readouterr().out.startswith("emperor-trio 0.")


@pytest.mark.parametrize(
    "argv", [["--imperial-monitors-list"], ["--imperial-monitor-list"], ["monitors", "--installed"]]
)
def test_monitors(argv: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        name = "emperor-trio"
        metadata = Message()

    class Entry:
        dist = Distribution()

        def __init__(self, name: str, error: Exception | None = None) -> None:
            self.name, self.module, self.error = name, f"emperor_trio.monitors.{name}", error

        def load(self) -> object:
            if self.error:
                raise self.error
            return object

    Distribution.metadata["Provides-Extra"] = "pg"
    entries = [
        Entry("glob"),
        Entry("pg", ModuleNotFoundError(name="psycopg")),
        Entry("far", ModuleNotFoundError(name="other")),
        Entry("odd", ZeroDivisionError("zero")),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries if group else [])
    assert main(argv) == 0
    assert capsys.readouterr().out.splitlines() == [
        "far://   not installed, needs other",
        "glob://  installed",
        "odd://   broken: zero",
        "pg://    not installed, needs psycopg: pip install 'emperor-trio[pg]'",
    ]


def test_the_built_in_monitors_are_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitors", "--installed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith(("dir", "glob"))] == [
        ["dir://", "installed"],
        ["glob://", "installed"],
    ]


def test_commands_and_options_go_together() -> None:
    assert {words[0] for words in OPTIONS_OF_COMMANDS.values()} <= set(COMMANDS)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_itself() -> None:
    ran = python("-c", "import sys; from emperor_trio.cli.main import main; sys.exit(main())", "--emperor-freq")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("emperor-trio: --emperor-freq needs a value")


def test_help_and_mistakes_need_no_trio() -> None:
    code = "import sys; from emperor_trio.cli.main import main; main(['-h']); main(['x']); print('trio' in sys.modules)"
    assert python("-c", code).stdout.splitlines()[-1] == "False"


def test_a_config_from_standard_input() -> None:
    code = "from emperor_trio.cli.main import main; raise SystemExit(main(['--ini', '-']))"
    text = "[uwsgi]\nemperor-freq = %o\n"
    ran = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr[:43]) == (2, "emperor-trio: -:2: emperor-freq = -: expect")


def test_help_on_a_terminal_without_unicode() -> None:
    code = "from emperor_trio.cli.main import main; main(['--help'])"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, env=environment)
    assert ran.stderr == b""
    assert b"SCHEME://?" in ran.stdout


def test_a_reader_that_leaves_early_is_no_crash() -> None:
    code = "import sys; from emperor_trio.cli.main import main; sys.exit(main(['--help']))"
    ran = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{code}" | true'], capture_output=True, text=True, timeout=60
    )
    assert ran.stderr == ""


@pytest.mark.parametrize("words", ["version", "--help", "help emperor", "monitors --installed"])
@pytest.mark.parametrize(("where", "why"), [(">/dev/full", "to stdout: No space left on device"), (">&-", ": stdout")])
def test_an_answer_that_cant_be_written_is_one_clear_line(words: str, where: str, why: str) -> None:
    script = f'"$0" -m emperor_trio {words} {where}'
    ran = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("emperor-trio: the answer can't be written")
    assert why in line
