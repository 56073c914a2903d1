"""How a journal on PostgreSQL is reached: connections that notice a cut, and TLS between machines.

Without these settings a cable that was pulled was not noticed in 25 seconds, and who hung in the
middle of a transaction kept its locks for as long.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

from midflight.errors import StoreRefused

DRIVER = "postgresql+psycopg"

CONNECT_S = 10
"""How long a connection waits for its server."""

NOTICE_A_CUT = {
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
"""A connection that is cut is an error after 5 seconds, also in the middle of a statement.

The names are libpq's; the last one is in milliseconds.
"""

NOTICE_THERE = """
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 30000
"""
"""The server notices a client that is cut off, too, after half a minute.

It would keep the connection of each for two hours, and let nobody in when it has a hundred of them.
"""

_AT_START = f"{NOTICE_THERE}; SET idle_in_transaction_session_timeout = '5s'"
"""A client that hangs, or is cut off, in a transaction holds its locks no longer."""

_WEAK = ("disable", "allow")
_OPEN = "the connection to the journal's server goes to another machine, and is not encrypted"
_USE_TLS = "sslmode=require in its address, or better verify-full; or a tunnel that ends here"

NO_TLS = "server does not support SSL"
"""What libpq says of a server without TLS."""

NOT_ALLOWED = ("42501", "3F000")
"""PostgreSQL's codes for what a role may not do, and for a schema that it may not look into."""

START_TLS = "switch TLS on there (ssl = on), or reach it by a tunnel that ends here"


def parameters(url: URL) -> dict[str, Any]:
    """Return what a connection to a server is made with, by libpq's names.

    Raises `StoreRefused` where it would go to another machine without TLS, and `ImportError` where
    the driver is missing.
    """
    from psycopg.pq import Conninfo

    _, given = url.set(drivername=DRIVER).get_dialect()().create_connect_args(url)
    usual = {one.keyword.decode(): (one.val or b"").decode() for one in Conninfo.get_defaults()}
    known = {**usual, **given}  # the usual ones are those of the environment
    made = {**given, "connect_timeout": CONNECT_S, **NOTICE_A_CUT}
    hosts = str(known["hostaddr"] or known["host"]).split(",")
    if all(map(_is_here, hosts)):
        return made
    if known["sslmode"] in _WEAK:
        raise StoreRefused(_OPEN, _USE_TLS)
    return made | ({"sslmode": "require"} if known["sslmode"] == "prefer" else {})


def engine(url: URL, parameters: Mapping[str, Any]) -> Engine:
    """Return the engine for a server, whose connections are made with these parameters."""
    made = create_engine(
        url.set(drivername=DRIVER),
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=dict(parameters),
    )

    @event.listens_for(made, "connect")
    def prepare(connection: Any, record: Any) -> None:
        check_encrypted(connection)
        connection.execute(_AT_START)
        _check_pooling(connection, parameters)
        connection.commit()  # or it would be undone with the transaction

    return made


def check_encrypted(connection: Any) -> None:
    """Look at what has come of it: a service's file may name another server than the address."""
    server = connection.pgconn
    where = (server.hostaddr or server.host or b"").decode()
    if not server.ssl_in_use and not _is_here(where):
        raise StoreRefused(_OPEN, _USE_TLS)


def _check_pooling(connection: Any, parameters: Mapping[str, Any]) -> None:
    """Refuse a pooler that lends the server's connections out for each transaction anew.

    What a host holds and hears is lost then: it is its connection's. Who pools is seen by the
    process that it names, which is not the server's; and how, by a second connection that gets
    the server's process of the first, while that one is there.
    """
    served_by = connection.execute(_PROCESS).fetchone()[0]
    if served_by == connection.info.backend_pid:
        return
    import psycopg

    connection.commit()
    with contextlib.closing(psycopg.connect(**parameters)) as second:
        if second.execute(_PROCESS).fetchone() == (served_by,):
            raise StoreRefused(
                "the pooler before the journal's server lends connections out by the transaction",
                "pool_mode = session, or go past it",
            )


_PROCESS = "SELECT pg_backend_pid()"


def _is_here(host: str) -> bool:
    """Tell whether a server's name is that of a socket, or of this machine itself."""
    if not host or host == "localhost" or host[0] in "/@":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
