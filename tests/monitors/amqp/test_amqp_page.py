"""The quick start of docs/monitors/amqp.md, pasted as it stands but for the ports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.servers.rabbitmq import RabbitMQ
from tests.system.empire import free_port

PAGE = Path(__file__).parents[3] / "docs/monitors/amqp.md"


def test_the_quick_start(broker: RabbitMQ, tmp_path: Path) -> None:
    (script,) = re.findall(r"## Quick start.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = script.replace(":5672", f":{broker.port}").replace(" 5672)", f" {broker.port})")
    script = script.replace("8080", str(free_port())) + "wait\n"
    environment = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-mc", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert done.stdout.startswith("hello"), done.stderr + (tmp_path / "emperor.log").read_text()
