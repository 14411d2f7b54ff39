"""A private slapd of Debian's on free ports of loopback, with uWSGI's schema; as its own user where we are root."""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import ldap  # type: ignore[import-untyped]
import ldap.modlist  # type: ignore[import-untyped]

from tests.support.servers.common import answers, end, folder, free_port, until

SUFFIX = "dc=example,dc=org"
ADMIN = f"cn=admin,{SUFFIX}"
PASSWORD = "secret"
USER = "openldap"

CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include {folder}/uwsgi.schema
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
{tls}
{globally}
database mdb
suffix "{suffix}"
rootdn "{admin}"
rootpw {password}
directory {folder}/db
dbnosync
maxsize 1073741824
index objectClass,entryCSN,entryUUID eq
{overlay}
{locally}
"""

Values = Mapping[str, str | bytes | Sequence[str | bytes]]


def encode(values: Values) -> dict[str, list[bytes]]:
    """Attributes as python-ldap wants them."""
    plain = {name: [value] if isinstance(value, str | bytes) else value for name, value in values.items()}
    return {name: [v.encode() if isinstance(v, str) else v for v in found] for name, found in plain.items()}


@dataclass
class Slapd:
    """``authority`` is the file of the certificate that signed the server's own, where there is TLS."""

    folder: Path
    config: dict[str, str]
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    authority: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = {"tls": "", "globally": "", "overlay": "", "locally": ""} | self.config
        text = CONFIG.format(folder=self.folder, suffix=SUFFIX, admin=ADMIN, password=PASSWORD, **settings)
        config = self.folder / "slapd.conf"
        config.write_text(text)
        secure = [f"ldaps://127.0.0.1:{self.tls_port}"] if self.authority else []
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                ["/usr/sbin/slapd", "-f", config, "-d", "0", "-h", " ".join([f"ldap://{self.address}", *secure])],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                text=False,
                **_as_user(),
            )
        until(lambda: answers(self.port), "slapd", self.process)

    def start_first(self) -> None:
        """Start with an empty suffix; on other ports where somebody else was quicker to take one."""
        for _ in range(5):
            try:
                self.start()
                self.add_root()
                return
            except (RuntimeError, ldap.LDAPError):
                self.stop()
                self.port, self.tls_port = free_port(), free_port()
        raise RuntimeError(f"slapd does not start: {(self.folder / 'out').read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            end(self.process, number)
            self.process = None

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wipe(self) -> None:
        """Throw all data away; it is not to be running."""
        shutil.rmtree(self.folder / "db")
        self.make_database()

    def make_database(self) -> None:
        (self.folder / "db").mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.folder / "db", USER, USER)

    def client(self) -> Any:
        """A connection with all rights."""
        client = ldap.initialize(f"ldap://{self.address}")
        client.set_option(ldap.OPT_TIMEOUT, 20)
        client.simple_bind_s(ADMIN, PASSWORD)
        return client

    def add(self, dn: str, values: Values) -> None:
        self._do(lambda client: client.add_s(dn, list(encode(values).items())))

    def modify(self, dn: str, values: Values) -> None:
        """Replace attributes; those without a value go."""
        changes = [(ldap.MOD_REPLACE, name, found or None) for name, found in encode(values).items()]
        self._do(lambda client: client.modify_s(dn, changes))

    def rename(self, dn: str, rdn: str) -> None:
        self._do(lambda client: client.rename_s(dn, rdn))

    def delete(self, dn: str) -> None:
        self._do(lambda client: client.delete_s(dn))

    def _do(self, job: Any) -> None:
        client = self.client()
        try:
            job(client)
        finally:
            client.unbind_s()

    def add_root(self) -> None:
        self.add(SUFFIX, {"objectClass": ["dcObject", "organization"], "dc": "example", "o": "example"})

    def add_base(self, name: str = "") -> str:
        """A new organizational unit for a test of its own: its DN."""
        name = name or f"test{next(self.numbers)}"
        dn = f"ou={name},{SUFFIX}"
        self.add(dn, {"objectClass": "organizationalUnit", "ou": name})
        return dn


def vassal(name: str, **options: str | bytes | Sequence[str | bytes]) -> dict[str, str | bytes | Sequence[str | bytes]]:
    """The attributes of an entry that is a vassal; options by the names of their attributes without uWSGI."""
    own = {f"uWSGI{option}": value for option, value in options.items()}
    return {"objectClass": ["device", "uWSGIConfig"], "cn": name, "uWSGImodule": "app", **own}


@cache
def schema_text() -> str:
    """uWSGI's schema, as the command prints it."""
    command = Path(sys.executable).parent / "emperor-trio"
    return subprocess.run([command, "ldap-schema"], capture_output=True, check=True, text=True).stdout


@contextmanager
def slapd(*, push: bool = True, tls: bool = False, globally: str = "", locally: str = "") -> Iterator[Slapd]:
    """A server with an empty suffix, that tells of changes where it is to ``push``. Configuration may be added."""
    with folder("slapd", USER) as path:
        server = Slapd(path, {"globally": globally, "locally": locally})
        if push:
            server.config["overlay"] = "overlay syncprov\nsyncprov-sessionlog 1000"
        (path / "uwsgi.schema").write_text(schema_text())
        if tls:
            server.authority = make_certificates(path)
            server.config["tls"] = f"TLSCertificateFile {path}/server.pem\nTLSCertificateKeyFile {path}/server.key"
        server.make_database()
        try:
            server.start_first()
            yield server
        finally:
            server.stop()


def make_certificates(path: Path) -> Path:
    """An authority of our own, and the server's certificate for 127.0.0.1: the file of the authority's certificate."""

    def openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=path)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=private authority")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (path / "extensions").write_text("subjectAltName = IP:127.0.0.1\n")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.pem", "-extfile", "extensions"),
    )
    if os.geteuid() == 0:
        shutil.chown(path / "server.key", USER, USER)
    return path / "ca.pem"


def _as_user() -> dict[str, Any]:
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
