"""A Galera cluster of three on one machine: servers that can be killed and cut off from each other.

Each node lives in a network namespace of its own, and all are plugged into one bridge. Unplugged, a
node sends and receives nothing more, and nobody is told: no port is closed and no connection reset,
as when a switch fails. Clients come through Unix sockets, so they reach a node that is cut off.
Namespaces and servers end with the process that made them, however it ends.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql

SIZE = 3
PATIENCE = 120.0
"""Seconds within which a cluster must have become what it is to become."""

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
INSTALL = "apt-get install mariadb-server galera-4 rsync lsof iproute2 util-linux"
_PROGRAMS = (
    "mariadbd",
    "mariadb-install-db",
    "wsrep_sst_rsync",
    "rsync",
    "lsof",
    "ip",
    "nsenter",
    "setpriv",
    "unshare",
)
_MORTAL = ("setpriv", "--pdeathsig", "KILL")
"""What is begun so ends with the process that began it."""
_AS_MYSQL = ("setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups", *_MORTAL[1:])
"""The same as the user of the servers: rsync's daemon, as root, would not read the data."""

os.environ["PATH"] += ":/usr/sbin:/sbin"

_OPTIONS = f"""\
[mysqld]
innodb_buffer_pool_size = 32M
innodb_log_file_size = 16M
performance_schema = OFF
key_buffer_size = 1M
aria_pagecache_buffer_size = 1M
wsrep_on = ON
wsrep_provider = {PROVIDER}
wsrep_cluster_name = coins
wsrep_sst_method = rsync
wsrep_slave_threads = 2
binlog_format = ROW
innodb_autoinc_lock_mode = 2
# A node that is killed loses its last second, and has to get it back from the others.
innodb_flush_log_at_trx_commit = 0
"""
_PROVIDER_OPTIONS = (
    "gcache.size=64M"
    ";evs.keepalive_period=PT0.5S"
    ";evs.inactive_check_period=PT0.5S"
    ";evs.suspect_timeout=PT2S"
    ";evs.inactive_timeout=PT6S"
    ";evs.install_timeout=PT6S"
)


def missing() -> list[str]:
    """What this machine lacks for a cluster, in words."""
    lacking = [name for name in _PROGRAMS if shutil.which(name) is None]
    if not PROVIDER.exists():
        lacking.append(str(PROVIDER))
    if os.geteuid() != 0:
        lacking.append("root's rights, for network namespaces")
    return lacking


class Namespace:
    """A network of its own, held by a process that sleeps."""

    def __init__(self) -> None:
        ours = Path("/proc/self/ns/net").readlink()
        self._holder = subprocess.Popen([*_MORTAL, "unshare", "--net", "sleep", "infinity"])
        self.path = Path(f"/proc/{self._holder.pid}/ns/net")
        wait_for(lambda: self.path.readlink() != ours, "a network namespace")
        self.run("ip link set lo up")

    @property
    def pid(self) -> int:
        """The process by which ``ip`` names it."""
        return self._holder.pid

    def inside(self, *command: str) -> list[str]:
        """``command``, to be run in here."""
        return ["nsenter", f"--net={self.path}", *command]

    def run(self, command: str) -> None:
        """Run ``command`` in here, words apart by spaces."""
        subprocess.run(self.inside(*command.split()), check=True, capture_output=True)

    def end(self) -> None:
        """Let it go."""
        self._holder.kill()
        self._holder.wait()


class Node:
    """One server, and its plug on the bridge."""

    def __init__(self, number: int, folder: Path, bridge: Namespace, template: Path) -> None:
        self.number = number
        self.address = address(number)
        self._data = folder / f"node{number}"
        self._socket = folder / f"{number}.sock"
        self._log = folder / f"node{number}.log"
        self._options = folder / f"node{number}.cnf"
        self._bridge, self._net = bridge, Namespace()
        self._server: subprocess.Popen[bytes] | None = None
        _as_mysql("cp", "-r", str(template), str(self._data))
        self._options.write_text(_OPTIONS + self._own_options())
        bridge.run(f"ip link add port{number} type veth peer name eth0 netns {self._net.pid}")
        bridge.run(f"ip link set port{number} up")
        self._net.run(f"ip address add {self.address}/24 dev eth0")
        self._net.run("ip link set eth0 up")
        self.plug()

    def _own_options(self) -> str:
        own = {
            "datadir": self._data,
            "socket": self._socket,
            "pid_file": self._data / "pid",
            "wsrep_node_address": self.address,
            "wsrep_node_name": f"node{self.number}",
            "wsrep_cluster_address": f"gcomm://{','.join(map(address, range(SIZE)))}",
            "wsrep_provider_options": f'"{_PROVIDER_OPTIONS}"',
        }
        return "".join(f"{name} = {value}\n" for name, value in own.items())

    def url(self, database: str = "") -> str:
        """How SQLAlchemy gets here."""
        return f"mariadb+pymysql://root@/{database}?unix_socket={self._socket}"

    def begin(self, *options: str) -> None:
        """Start the server, with more ``options``."""
        command = ["mariadbd", f"--defaults-file={self._options}", *options]
        with self._log.open("ab") as output:
            self._server = subprocess.Popen(
                self._net.inside(*_AS_MYSQL, *command), stdout=output, stderr=output
            )

    def begin_again(self) -> None:
        """Start the server after it was killed, from where its data say that it stood."""
        mark = self._log.stat().st_size
        self.begin("--wsrep-recover")
        self._waited()
        found = re.findall(r"Recovered position: (\S+)", self._log.read_bytes()[mark:].decode())
        self.begin(f"--wsrep-start-position={found[-1]}")

    def kill(self) -> None:
        """End the server as a crash does."""
        if self._server is not None:
            self._server.kill()
            self._waited()

    def _waited(self) -> None:
        assert self._server is not None
        self._server.wait(PATIENCE)
        self._server = None

    def end(self) -> None:
        """Take server and network away."""
        self.kill()
        self._net.end()

    def plug(self) -> None:
        """Connect it with the others."""
        self._bridge.run(f"ip link set port{self.number} master hub")

    def unplug(self) -> None:
        """Cut it off from the others."""
        self._bridge.run(f"ip link set port{self.number} nomaster")

    def status(self, name: str) -> str:
        """A status variable, such as ``wsrep_cluster_size``; "" if the server does not answer."""
        try:
            return str(self.ask(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1])
        except (OSError, pymysql.MySQLError):
            return ""

    def connect(self) -> pymysql.Connection[Any]:
        """A connection that commits each statement.

        Not through SQLAlchemy, whose first question a node that is cut off does not answer.
        """
        wire = socket.socket(socket.AF_UNIX)
        wire.settimeout(PATIENCE)
        try:
            wire.connect(str(self._socket))
            connection = pymysql.Connection(user="root", autocommit=True, defer_connect=True)
            connection.connect(wire)
        except BaseException:
            wire.close()
            raise
        return connection

    def ask(self, *statements: str) -> tuple[Any, ...]:
        """The rows of the last of ``statements``, on a connection of their own."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def wait_until_joined(self, size: int = SIZE) -> None:
        """Return when it takes writes, as one of ``size`` nodes."""
        wanted = {"wsrep_ready": "ON", "wsrep_cluster_size": str(size)}
        wanted |= {"wsrep_cluster_status": "Primary", "wsrep_local_state_comment": "Synced"}

        def joined() -> bool:
            assert self._server is None or self._server.poll() is None, self._last_words()
            return all(self.status(name) == value for name, value in wanted.items())

        wait_for(joined, f"node {self.number} in a cluster of {size}", self._last_words)

    def wait_until_alone(self) -> None:
        """Return when it has noticed that it is cut off, and takes nothing more."""
        wait_for(lambda: self.status("wsrep_cluster_status") == "non-Primary", "a node alone")

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


class Cluster:
    """Three nodes, all joined."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    def urls(self, database: str) -> list[str]:
        """One for each node."""
        return [node.url(database) for node in self.nodes]

    def wait_until_whole(self) -> None:
        """Return when every node takes writes, and knows of all others."""
        for node in self.nodes:
            node.wait_until_joined()


@contextmanager
def running() -> Iterator[Cluster]:
    """A cluster in a temporary folder; it is gone afterwards."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="coins-cluster-")))
        bridge = Namespace()
        ends.callback(bridge.end)
        bridge.run("ip link add hub type bridge")
        bridge.run("ip link set hub up")
        shutil.chown(folder, "mysql", "mysql")
        template = _template(folder)
        nodes = []
        for number in range(SIZE):
            node = Node(number, folder, bridge, template)
            ends.callback(node.end)
            nodes.append(node)
        _begin(nodes)
        yield Cluster(nodes)


def _template(folder: Path) -> Path:
    template = folder / "template"
    options = folder / "template.cnf"
    options.write_text(_OPTIONS.replace("wsrep_on = ON", "wsrep_on = OFF"))
    command = ["mariadb-install-db", f"--defaults-file={options}", f"--datadir={template}"]
    more = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    _as_mysql(*command, *more)
    return template


def _as_mysql(*command: str) -> None:
    subprocess.run([*_AS_MYSQL, *command], check=True, capture_output=True)


def _begin(nodes: Sequence[Node]) -> None:
    nodes[0].begin("--wsrep-new-cluster")
    nodes[0].wait_until_joined(1)
    for node in nodes[1:]:
        node.begin()
    for node in nodes:
        node.wait_until_joined()


def address(number: int) -> str:
    """That of a node, within the bridge."""
    return f"10.0.0.{number + 1}"


def wait_for(condition: Callable[[], bool], what: str, why: Callable[[], str] = lambda: "") -> None:
    """Return when ``condition()`` holds; an error with ``why()`` if it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {PATIENCE:.0f} s for {what}. {why()}")
        time.sleep(0.1)
