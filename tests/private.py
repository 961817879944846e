"""Servers of a test's own, in a temporary folder and on a free port: to be stopped and killed at will.

    python -m tests.private COMMAND ...

runs a command that finds a PostgreSQL and a MariaDB by ``COINS_TEST_POSTGRESQL`` and
``COINS_TEST_MARIADB``; what of these is not set is started for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

PATIENCE = 60
"""Seconds that a server may take to answer, or to end."""


def binary(name: str, package: str) -> str:
    """The path of a server's program; what to install where there is none."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *map(str, versions)]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise RuntimeError(f"{name} is not installed: 'apt-get install {package}'.")
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A server's process. It is started again with the same port and data."""

    user: str
    """Whom it runs as where the tests run as root."""
    died: tuple[int, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        if self._demoted():
            os.chown(folder, pwd.getpwnam(self.user).pw_uid, -1)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of one of its databases."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """What starts it, in the foreground."""
        raise NotImplementedError

    def _demoted(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def run(self, *command: str) -> None:
        """Run a program as the server's user, to its end."""
        options: dict[str, Any] = self._demoted()
        done = subprocess.run(
            command, check=False, cwd=self.folder, capture_output=True, text=True, **options
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"No answer: {self.log[-2000:]}")
            # After a SIGKILL the first try may fail, as long as its children hold on to its memory.
            if self.process is None or self.process.poll() is not None:
                self._spawn()
            time.sleep(0.05)

    def _spawn(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=log, stderr=log, **self._demoted()
            )

    def _answers(self) -> bool:
        engine = sa.create_engine(self.url(""), poolclass=NullPool)
        try:
            with engine.connect():
                return self.process is not None
        except DBAPIError:
            return False

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self.folder / "log").read_text(errors="replace")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal, and wait for its end."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def kill(self) -> None:
        """SIGKILL to it and to all its children, as the kernel does when memory runs out."""
        if self.process is not None:
            pid = self.process.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            self.process.kill()
            for child in children:
                with_it = Path(f"/proc/{child}")
                if with_it.exists():
                    os.kill(int(child), signal.SIGKILL)
            self.process.wait(PATIENCE)
            self.process = None


class PostgreSQL(Server):
    """A cluster of its own; ``postgres`` is its user and first database."""

    user = "postgres"

    def __init__(self, folder: Path, *, fsync: bool = False, **settings: str) -> None:
        super().__init__(folder)
        self.settings = {
            "fsync": "on" if fsync else "off",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            **settings,
        }
        initdb = binary("initdb", "postgresql")
        options = ["-U", "postgres", "-A", "trust", "-N", "--no-locale", "-E", "UTF8"]
        self.run(initdb, "-D", "data", *options)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database or 'postgres'}"

    def command(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        server = binary("postgres", "postgresql")
        return [server, "-D", "data", "-p", str(self.port), *settings]


class MariaDB(Server):
    """A server of its own; ``root`` needs no password, ``test`` is a database."""

    user = "mysql"

    def __init__(self, folder: Path, *options: str, fsync: bool = False) -> None:
        super().__init__(folder)
        self.flush = 1 if fsync else 2
        self.options = options
        self.data = f"--datadir={folder / 'data'}"
        install = binary("mariadb-install-db", "mariadb-server")
        self.run(install, "--no-defaults", self.data, "--auth-root-authentication-method=normal")

    def url(self, database: str) -> str:
        return f"mariadb+pymysql://root@127.0.0.1:{self.port}/{database}?ssl_disabled=true"

    def command(self) -> list[str]:
        return [
            binary("mariadbd", "mariadb-server"),
            "--no-defaults",
            self.data,
            f"--port={self.port}",
            f"--socket={self.folder / 'socket'}",
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=32M",
            f"--innodb-flush-log-at-trx-commit={self.flush}",
            *self.options,
        ]


class PgBouncer(Server):
    """A pooler in transaction mode in front of ``behind``, with as many server connections."""

    user = "postgres"

    def __init__(self, folder: Path, behind: PostgreSQL, connections: int = 8) -> None:
        super().__init__(folder)
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={behind.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={self.port}\nauth_type=any\n"
            f"unix_socket_dir=\npool_mode=transaction\ndefault_pool_size={connections}\n"
        )

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database or 'postgres'}"

    def command(self) -> list[str]:
        return [binary("pgbouncer", "pgbouncer"), "pgbouncer.ini"]


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that a server's user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="coins-server-") as name:
        yield Path(name)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start ``server``, and kill it in the end."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


def main() -> int:
    """Run the command that was given; its exit status."""
    roomy = {"shared_buffers": "128MB", "max_connections": "300", "full_page_writes": "off"}
    options = ["--innodb-buffer-pool-size=128M", "--max-connections=300", "--skip-name-resolve"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # not without them
    with ExitStack() as stack:
        if "COINS_TEST_POSTGRESQL" not in os.environ:
            postgresql = PostgreSQL(stack.enter_context(folder()), **roomy)
            url = stack.enter_context(running(postgresql)).url("")
            os.environ["COINS_TEST_POSTGRESQL"] = url
        if "COINS_TEST_MARIADB" not in os.environ:
            mariadb = MariaDB(stack.enter_context(folder()), *options)
            os.environ["COINS_TEST_MARIADB"] = stack.enter_context(running(mariadb)).url("")
        return subprocess.run(sys.argv[1:], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
