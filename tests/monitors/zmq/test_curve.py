"""Who may send commands where the emperor has a key, and which keys are not to be used."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq
import zmq.auth

from emperor_trio.errors import UsageError
from emperor_trio.events import VassalRefused
from emperor_trio.testing.conformance import Ring, Watched, count_descriptors
from tests.monitors.support import PATIENCE, make_monitor
from tests.monitors.zmq.conftest import Pushers, Watching

TOUCH = [b"touch", b"a.ini", b"[uwsgi]\n"]


def try_to_send(push: zmq.Socket[bytes], name: bytes) -> None:
    """Whoever was shown the door already would wait for ever."""
    with suppress(zmq.Again):
        push.send_multipart([b"touch", name, b"[uwsgi]\n"], zmq.NOBLOCK)


class Keys:
    """Certificates, as :func:`zmq.auth.create_certificates` makes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients = folder / "clients"
        self.clients.mkdir()
        self.emperor, self.secret = self.make("emperor")

    def make(self, name: str) -> tuple[Path, Path]:
        public, secret = map(Path, zmq.auth.create_certificates(self.folder, name))
        secret.chmod(0o600)
        return public, secret

    def options(self, secret: Path) -> dict[str, bytes]:
        """What a client with this certificate sets on its socket."""
        public, own = zmq.auth.load_certificate(secret)
        assert own is not None
        server, _ = zmq.auth.load_certificate(self.emperor)
        return {"curve_publickey": public, "curve_secretkey": own, "curve_serverkey": server}

    def admit(self, public: Path) -> None:
        """Put a certificate into the clients' folder, in one step."""
        draft = self.clients / "draft"
        draft.write_bytes(public.read_bytes())
        draft.rename(self.clients / public.name)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


async def test_only_whose_certificate_is_there_comes_in(
    watching: Watching, endpoint: str, pushers: Pushers, keys: Keys
) -> None:
    (friend, friends_secret), (stranger, strangers_secret) = keys.make("friend"), keys.make("stranger")
    keys.admit(friend)
    (keys.clients / "broken.key").write_bytes(b"\xff public-key")
    (keys.clients / "empty.key").touch()
    async with watching(zmq_curve_key=str(keys.secret), zmq_curve_clients=str(keys.clients)) as watched:
        try_to_send(pushers(endpoint), b"plain.ini")
        refused = pushers(endpoint, **keys.options(strangers_secret))
        try_to_send(refused, b"stranger.ini")
        await watched.until(lambda: len(watched.events) == 2)
        event, other = sorted(watched.events, key=str)
        assert isinstance(event, VassalRefused)
        assert isinstance(other, VassalRefused)
        assert (other.name, other.field, other.value) == ("a sender", "keys", "missing")
        assert other.reason == "--emperor-zmq-curve-key is given, so commands have to be encrypted"
        assert (event.name, event.field) == ("127.0.0.1", "curve key")
        assert event.value == repr(zmq.auth.load_certificate(stranger)[0].decode())
        assert event.reason == f"no certificate in {keys.clients} has it"

        pushers(endpoint, **keys.options(friends_secret)).send_multipart(TOUCH)
        await watched.until_there("a.ini")
        refused.close(linger=0)

        keys.admit(stranger)  # counts at once
        pushers(endpoint, **keys.options(strangers_secret)).send_multipart([b"touch", b"b.ini", b"[uwsgi]\n"])
        await watched.until_there("a.ini", "b.ini")

        (keys.clients / "friend.key").unlink()
        said = len(watched.events)
        try_to_send(pushers(endpoint, **keys.options(friends_secret)), b"c.ini")
        await watched.until(lambda: len(watched.events) > said)
        assert watched.names == {"a.ini", "b.ini"}


async def test_a_folder_that_cant_be_read_changes_nothing(
    watching: Watching, endpoint: str, pushers: Pushers, keys: Keys
) -> None:
    friend, secret = keys.make("friend")
    keys.admit(friend)
    async with watching(zmq_curve_key=str(keys.secret), zmq_curve_clients=str(keys.clients)) as watched:
        keys.clients.rename(keys.folder / "away")
        pushers(endpoint, **keys.options(secret)).send_multipart(TOUCH)
        await watched.until_there("a.ini")


async def test_without_a_folder_comes_in_who_knows_the_emperors_key(
    watching: Watching, endpoint: str, pushers: Pushers, keys: Keys
) -> None:
    async with watching(zmq_curve_key=str(keys.secret)) as watched:
        try_to_send(pushers(endpoint), b"plain.ini")
        pushers(endpoint, **keys.options(keys.make("anyone")[1])).send_multipart(TOUCH)
        await watched.until_there("a.ini")


async def test_restarts_leave_nothing_behind(endpoint: str, pushers: Pushers, keys: Keys) -> None:
    friend, secret = keys.make("friend")
    keys.admit(friend)
    watched = Watched(PATIENCE)
    options: dict[str, Any] = {"zmq_curve_key": str(keys.secret), "zmq_curve_clients": str(keys.clients)}
    monitor = make_monitor(f"zmq://{endpoint}", watched.publish, watched.bell, **options)
    descriptors = count_descriptors()
    for _ in range(10):
        watched.observations.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.run, watched.emit)
            await watched.until(lambda: watched.observations)
            nursery.cancel_scope.cancel()
    assert count_descriptors() == descriptors
    async with trio.open_nursery() as nursery:
        nursery.start_soon(monitor.run, watched.emit)
        pushers(endpoint, **keys.options(secret)).send_multipart(TOUCH)
        await watched.until_there("a.ini")
        nursery.cancel_scope.cancel()


async def test_with_keys_no_port_is_warned_of(pushers: Pushers, watching: Watching, endpoint: str, keys: Keys) -> None:
    async with watching(endpoint.replace("127.0.0.1", "0.0.0.0"), zmq_curve_key=str(keys.secret)) as watched:
        pushers(endpoint, **keys.options(keys.make("anyone")[1])).send_multipart(TOUCH)
        await watched.until_there("a.ini")
        assert not watched.events


# --- keys that are not to be used ------------------------------------------------------------------------------------


def refused(key: Path | None, clients: Path | None = None) -> str:
    options: dict[str, Any] = {"zmq_curve_key": key and str(key), "zmq_curve_clients": clients and str(clients)}
    with pytest.raises(UsageError) as raised:
        make_monitor("zmq://tcp://127.0.0.1:5252", lambda event: None, Ring(), **options)
    return str(raised.value)


def test_the_emperors_key_has_to_be_a_secret(keys: Keys) -> None:
    option = f"--emperor-zmq-curve-key {keys.secret}"
    for mode in (0o640, 0o604, 0o620, 0o644):
        keys.secret.chmod(mode)
        assert refused(keys.secret) == f"{option}: others can read or write it: chown {os.geteuid()}, chmod 600"
    keys.secret.chmod(0o600)
    keys.secret.write_text("nothing")
    form = "is no secret certificate; zmq.auth.create_certificates makes some that end in .key_secret"
    assert refused(keys.secret) == f"{option}: {form}"
    keys.secret.write_bytes(b"\xff\xfe")
    assert refused(keys.secret) == f"{option}: {form}"
    keys.emperor.chmod(0o600)
    public = "is the public key, for clients; give the one in .key_secret"
    for mode in (0o600, 0o644):
        keys.emperor.chmod(mode)
        assert refused(keys.emperor) == f"--emperor-zmq-curve-key {keys.emperor}: {public}"
    keys.secret.unlink()
    assert refused(keys.secret) == f"{option}: No such file or directory"
    assert refused(keys.clients).startswith(f"--emperor-zmq-curve-key {keys.clients}: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_the_emperors_key_belongs_to_the_emperor(keys: Keys) -> None:
    os.chown(keys.secret, 65534, 65534)
    assert "others can read or write it: chown 0, chmod 600" in refused(keys.secret)


def test_the_clients_folder_has_to_be_there_and_needs_a_key(keys: Keys) -> None:
    none = keys.folder / "none"
    assert refused(keys.secret, none) == f"--emperor-zmq-curve-clients {none}: No such file or directory"
    text = f"--emperor-zmq-curve-clients {keys.clients}: needs the emperor's own key, too: --emperor-zmq-curve-key"
    assert refused(None, keys.clients) == text
