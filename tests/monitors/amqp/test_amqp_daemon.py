"""The whole daemon: real uWSGI vassals that messages start, change and stop, and that come back with the emperor."""

from __future__ import annotations

import http.client
import sys
from contextlib import suppress
from pathlib import Path

from tests.monitors.amqp.support import Publisher
from tests.support.servers.http import Pages
from tests.support.servers.rabbitmq import RabbitMQ
from tests.system.empire import EmperorUnderTest, Kind, free_port, wait_until

PASSWORD = "a-word-that-nobody-else-says"

APPLICATION = """
import uwsgi

def application(environ, start_response):
    start_response("200 OK", [])
    return [uwsgi.opt["says"]]
"""


def ask(port: int) -> str:
    """What the application on a port says, "" where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    connection.close()
    return ""


def test_real_vassals(broker: RabbitMQ, publisher: Publisher, pages: Pages, tmp_path: Path) -> None:
    application = tmp_path / "application.py"
    application.write_text(APPLICATION)
    broker.control("add_user", "emperor", PASSWORD)
    broker.control("set_permissions", "emperor", ".*", ".*", ".*")
    ports = {name: free_port() for name in ("key", "file", "url")}
    path, url = tmp_path / "file.ini", pages.url("/url.ini")

    def config(name: str, says: str) -> str:
        where = f"http-socket = 127.0.0.1:{ports[name]}\nwsgi-file = {application}\n"
        return f"[uwsgi]\nmaster = true\nneed-app = true\n{where}set = says={says}\n"

    def publish(key: str, body: str) -> None:
        wait_until(lambda: publisher.try_publish(key, body))

    def wait_for(name: str, says: str) -> None:
        wait_until(lambda: ask(ports[name]) == says, lambda: emperor.log()[-4000:])

    with EmperorUnderTest(Kind.OURS, Path(sys.prefix, "bin", "uwsgi")) as emperor:
        address = f"amqp://emperor:{PASSWORD}@127.0.0.1:{broker.port}"
        state = emperor.folder / "state" / "emperor"
        state.parent.mkdir(mode=0o755)
        emperor.folder.chmod(0o755)
        emperor.start("--emperor-state", state, monitors=[address])
        publish("key.ini", config("key", "one"))
        path.write_text(config("file", "one"))
        publish("", str(path))
        pages.at["/url.ini"] = config("url", "one").encode()
        publish("", url)
        for name in ports:
            wait_for(name, "one")

        publish("key.ini", config("key", "two"))
        path.write_text(config("file", "two"))
        publish("", str(path))
        pages.at["/url.ini"] = config("url", "two").encode()
        publish("", url)
        for name in ports:
            wait_for(name, "two")

        shown = emperor.log() + str(emperor.stats())
        for pid in emperor.processes():
            shown += Path(f"/proc/{pid}/cmdline").read_text()
        assert f"amqp://emperor:***@127.0.0.1:{broker.port}" in shown
        assert PASSWORD not in shown

        assert emperor.stop() == 0
        emperor.start("--emperor-state", state, monitors=[address])
        for name in ports:
            wait_for(name, "two")

        publish("key.ini", "")
        path.unlink()
        pages.at["/url.ini"] = 404
        publish("", url)
        for name in ("key.ini", str(path), url):
            emperor.wait_gone(name)
        for name in ports:
            wait_for(name, "")
