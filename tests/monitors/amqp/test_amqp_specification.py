"""The specification's own snippets, as they stand but for addresses, and ``type``, which pika calls otherwise now."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from tests.monitors.amqp.support import watching
from tests.monitors.support import write
from tests.support.servers.http import Pages
from tests.support.servers.rabbitmq import RabbitMQ

ANNOUNCE = """
    # The pika module is used in this example, but you're free to use whatever adapter you like.
    import pika
    # connect to RabbitMQ server
    connection = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', PORT))
    # get the channel
    channel = connection.channel()
    # create the exchange (if not already available)
    channel.exchange_declare(exchange='uwsgi.emperor', exchange_type='fanout')
    # publish a new config file
    channel.basic_publish(exchange='uwsgi.emperor', routing_key='', body='/etc/vassals/mydjangoapp.xml')
    """

ANNOUNCE_URL = """
    channel.basic_publish(exchange='uwsgi.emperor', routing_key='', body='http://example.com/confs/trac.ini')
    """

GIVE = '''
channel.basic_publish(
  exchange='uwsgi.emperor', 
  routing_key='mydomain_trac_config.ini', 
  body="""
[uwsgi]
socket=:3031
env = TRAC_ENV=/accounts/unbit/trac/uwsgi
module = trac.web.main:dispatch_request
processes = 4""")
'''  # noqa: W291 - as it stands

END = """
    channel.basic_publish(exchange='uwsgi.emperor', routing_key='mydomain_trac_config.ini', body='')
    """


async def test_the_snippets(broker: RabbitMQ, pages: Pages, tmp_path: Path) -> None:
    path, url = str(tmp_path / "mydjangoapp.xml"), pages.url("/confs/trac.ini")
    pages.at["/confs/trac.ini"] = b"[uwsgi]\n"
    variables: dict[str, object] = {}

    def run(snippet: str) -> None:
        text = dedent(snippet).replace("PORT", str(broker.port))
        text = text.replace("/etc/vassals/mydjangoapp.xml", path).replace("http://example.com/confs/trac.ini", url)
        exec(text, variables)

    async with watching(broker.port) as watched:
        await watched.until_there()
        write(Path(path), "<uwsgi/>")
        run(ANNOUNCE)
        await watched.until_there(path)
        run(ANNOUNCE_URL)
        await watched.until_there(path, url)
        run(GIVE)
        await watched.until_there(path, url, "mydomain_trac_config.ini")
        config = watched.vassals["mydomain_trac_config.ini"].config
        assert config is not None
        assert config.startswith(b"\n[uwsgi]\nsocket=:3031\n")
        run(END)
        await watched.until_there(path, url)
        del pages.at["/confs/trac.ini"]
        run(ANNOUNCE_URL)
        await watched.until_there(path)
        Path(path).unlink()
        await watched.until_there()
        exec("connection.close()", variables)
