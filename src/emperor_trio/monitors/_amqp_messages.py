"""What an AMQP message says: a config, a path, a URL, or that a vassal is to go; and the broker's address. Pure.

The three kinds are those of uWSGI's ``emperor_amqp``. Whoever may publish may send anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from emperor_trio.errors import UsageError
from emperor_trio.masking import masked
from emperor_trio.model import MAX_CONFIG, config_option
from emperor_trio.monitors._http import read_url
from emperor_trio.monitors._rows import BadField, RowRules, Wrong, read_config, read_name, read_text, show

EXCHANGE = "uwsgi.emperor"

NOT_FILES = ("/proc", "/sys", "/dev")
"""Folders whose entries are no files, whatever they say of themselves."""

CERTIFICATES = ("cacertfile", "certfile", "keyfile")
"""What may stand behind ``?`` in an amqps address, in RabbitMQ's spelling: the paths of PEM files."""

NO_OWNER = "Tyrant mode needs uid and gid, and such a message has none; announce a file, whose owner counts"


@dataclass(frozen=True, slots=True)
class Given:
    """A config came in the message itself."""

    name: str
    config: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The vassal of this name is to go."""

    name: str


@dataclass(frozen=True, slots=True)
class Path:
    """The config is in a file; its absolute path is the vassal's name."""

    name: str


@dataclass(frozen=True, slots=True)
class Url:
    """The config is to be fetched; its URL is the vassal's name."""

    name: str


Message = Given | Ended | Path | Url


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is. ``certificates`` are paths by the names in :data:`CERTIFICATES`."""

    host: str
    port: int
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    certificates: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_message(rules: RowRules, key: str, body: bytes) -> Message | Wrong:
    """Judge one message. Never raises. A message that is wrong and names no vassal is told by its body."""
    try:
        return _read_given(rules, key, body) if key else _read_announced(rules, body)
    except BadField as bad:
        return bad.of(key or masked(show(body).strip("'\"")) or "message")


def _read_given(rules: RowRules, key: str, body: bytes) -> Message:
    name = read_name(key, rules)
    if not body:
        return Ended(name)
    if rules.tyrant:
        raise BadField("uid and gid", None, NO_OWNER)
    if len(body) > MAX_CONFIG:  # it may have been cut: how long it was is not known here
        reason = f"the emperor protocol carries {MAX_CONFIG:,} bytes at most"
        raise BadField("config", f"of more than {MAX_CONFIG:,} bytes", reason)
    return Given(name, read_config(body))


def _read_announced(rules: RowRules, body: bytes) -> Message | Wrong:
    if not body:
        raise BadField("body", body, "is empty, and there is no routing key that would name a vassal to remove")
    if len(body) > MAX_CONFIG:
        raise BadField("body", body, "is too long for a path or URL, and there is no routing key to name a config")
    text = read_text(body, "body").strip()
    if config_option(text, rules.extra_extensions) is None:
        reason = "is neither path nor URL of a config: it ends in no config's extension, or has 255 bytes or more"
        raise BadField("body", body, reason)
    if text[:8].lower().startswith(("http://", "https://")):
        try:
            read_url(text)
        except ValueError as error:
            raise BadField("URL", masked(text), str(error)) from None
        if rules.tyrant:
            return BadField("uid and gid", None, NO_OWNER).of(text)
        return Url(text)
    return Path(_read_path(text))


def _read_path(text: str) -> str:
    if not text.startswith("/"):
        raise BadField("path", text, "is not absolute (nor an http:// or https:// URL)")
    if any(ord(character) < 32 for character in text):
        raise BadField("path", text, "no path of a config may hold control characters")
    normal = os.path.normpath(text)
    if any(normal.startswith((f"{folder}/", f"/{folder}/")) for folder in NOT_FILES):
        raise BadField("path", text, f"no config lies in {', '.join(NOT_FILES)}")
    return text


def read_address(name: str, argument: str, *, tls: bool) -> Address:
    """``[user:password@]host[:port][/vhost]``, percent-encoded where need be.

    Raises :class:`~emperor_trio.errors.UsageError`, which names ``--emperor {name}`` and never the argument.
    """
    try:
        return _read_address(_split(argument), tls=tls)
    except ValueError as error:
        shape = f"amqp{'s' * tls}://[user:password@]host[:port][/vhost]"
        raise UsageError(f"--emperor {name}: {error}; it is {shape}, with / ? # @ : written as %2F … in it") from None


def _split(argument: str) -> SplitResult:
    try:
        return urlsplit(f"//{argument}")
    except ValueError:  # which quotes what stands between brackets, a piece of a password maybe
        raise ValueError("there are brackets in it that hold no IPv6 address") from None


def _read_address(parts: SplitResult, *, tls: bool) -> Address:
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port is no number up to 65535") from None
    host = unquote(parts.hostname or "")
    if not host or not host.isprintable() or " " in host or port == 0:
        raise ValueError("there is no host, or no port, in it")
    if parts.fragment:
        raise ValueError("there is a # in it")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for option, value in options.items():
        if option not in CERTIFICATES or not value or not tls:
            raise ValueError(f"behind ? may stand {', '.join(f'{one}=FILE' for one in CERTIFICATES)}, in amqps:// only")
    if "keyfile" in options and "certfile" not in options:
        raise ValueError("a keyfile without a certfile is of no use")
    return Address(
        host=host,
        port=port or (5671 if tls else 5672),
        user=unquote(parts.username) if parts.username else "guest",
        password=unquote(parts.password) if parts.password is not None else "guest",
        vhost=unquote(parts.path[1:]) or "/",
        certificates=tuple(options.items()),
    )
