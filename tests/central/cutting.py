"""A line to PostgreSQL that is cut where the test says, and PgBouncer in between."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.postgres import OWNER, Postgres, give_to_owner, scratch
from tests.processes import free_port, wait_until

READY: Final = b"Z"
"""ReadyForQuery of PostgreSQL's protocol 3: what was asked is done, and acknowledged by this."""
BOUNCER: Final = "/usr/sbin/pgbouncer"


class Cut:
    """Where a connection is cut: at its n-th acknowledgement, which never arrives, or behind it.

    Behind it the next request is lost instead.
    """

    def __init__(self, number: int) -> None:
        self.acknowledgement = number // 2 + 1
        self.loses_request = bool(number % 2)


class Line:
    """Passes connections on to a server without TLS; each of the first `cuts` is cut once."""

    def __init__(self, port: int, cuts: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cuts = iter(range(cuts))
        self.made = 0
        """Cuts so far."""
        threading.Thread(target=self._accept, daemon=True).start()

    def through(self, dsn: str) -> str:
        """An address over this line."""
        return make_conninfo(dsn, port=self.port, sslmode="disable", gssencmode="disable")

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                number = next(self._cuts, None)
                cut = None if number is None else Cut(number)
                threading.Thread(target=self._serve, args=(client, cut), daemon=True).start()

    def _serve(self, client: socket.socket, cut: Cut | None) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            for one in (client, server):  # else small answers wait for each other
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            gate = threading.Event()  # set once requests are lost
            up = threading.Thread(target=self._pass_requests, args=(client, server, gate))
            up.start()
            self._pass_answers(server, client, cut, gate)
            up.join()

    def _pass_requests(
        self, client: socket.socket, server: socket.socket, gate: threading.Event
    ) -> None:
        with suppress(OSError):
            while (data := client.recv(1 << 16)) and not gate.is_set():
                server.sendall(data)
        _end(client, server)

    def _pass_answers(
        self, server: socket.socket, client: socket.socket, cut: Cut | None, gate: threading.Event
    ) -> None:
        seen = 0
        with suppress(OSError), server.makefile("rb") as answers:
            while len(head := answers.read(5)) == 5:
                body = answers.read(int.from_bytes(head[1:], "big") - 4)
                seen += head[:1] == READY
                if cut is not None and seen == cut.acknowledgement and head[:1] == READY:
                    self.made += 1
                    if not cut.loses_request:
                        break
                    gate.set()
                client.sendall(head + body)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_line(postgres: Postgres, cuts: int) -> Iterator[Line]:
    line = Line(postgres.port, cuts)
    yield line
    line.close()


@contextmanager
def pooled(postgres: Postgres, *dsns: str) -> Iterator[list[str]]:
    """The same addresses by way of a PgBouncer that deals out connections by the transaction."""
    given = [conninfo_to_dict(dsn) for dsn in dsns]
    port = free_port()
    with scratch() as folder:
        users = folder / "users"
        users.write_text("".join(f'"{one["user"]}" "{one["password"]}"\n' for one in given))
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\n"
            f"default_pool_size = 2\nlogfile = {folder / 'log'}\n"
        )
        for path in folder.iterdir():
            give_to_owner(path)
        words = [BOUNCER, *(["-u", OWNER] if os.geteuid() == 0 else []), str(config)]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: _listens(port), 10)
            yield [make_conninfo(dsn, port=port) for dsn in dsns]
        finally:
            process.terminate()
            process.wait(timeout=10)


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False
