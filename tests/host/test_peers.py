"""A host looks at who asks: an agent's programs reach no further than the agent may."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.host import have

from midflight.host import Host
from midflight.lineage import SESSION_VARIABLE, UNKNOWN
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall

Models = Callable[..., Awaitable[FakeModel]]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")

WRITE = ToolCall("Write", {"file_path": "new", "content": "new"})

_ASK = r"""
import socket, sys
address, request = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX)
connection.connect(address)
connection.sendall(request.encode())
told = b""
while piece := connection.recv(65536):
    told += piece
sys.stdout.buffer.write(told)
"""


_LEAVE = r"""
import os, socket, sys
address, request, answer = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX)
connection.connect(address)
if os.fork():
    os._exit(0)
connection.sendall(request.encode())
while piece := connection.recv(65536):
    os.write(int(answer), piece)
"""
"""Connects, and leaves the connection to a child: whoever looks finds nobody."""


async def ask(
    host: Host, inside: str, target: str, body: object, method: str = "POST", **headers: str
) -> tuple[int, Any]:
    """Ask as a program does that an agent has started, without any help of midflight's own."""
    request = written(target, body, method, **headers)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-S", "-E", "-c", _ASK, host.address(), request),
        env={"PATH": os.environ["PATH"], SESSION_VARIABLE: inside},
        stdout=subprocess.PIPE,
    )
    answer, _ = await program.communicate()
    return read(answer)


def leave(host: Host, inside: str, request: str, answer: int) -> None:
    """Ask, and be gone when this returns; what the host says goes to the file ``answer``."""
    subprocess.run(
        [sys.executable, "-S", "-E", "-c", _LEAVE, host.address(), request, str(answer)],
        env={"PATH": os.environ["PATH"], SESSION_VARIABLE: inside},
        pass_fds=[answer],
        check=True,
    )


def written(target: str, body: object, method: str = "POST", **headers: str) -> str:
    data = json.dumps(body)
    told = {"host": "x", "connection": "close", "content-type": "application/json", **headers}
    told |= {"content-length": str(len(data))}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n{data}"


def read(answer: bytes) -> tuple[int, Any]:
    top, _, content = answer.decode().partition("\r\n\r\n")
    return int(top.split()[1]), json.loads(content)


@pytest.fixture
async def family(
    host: Host, fake_model: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Session, Session, Session]:
    """Return a session, one that it has begun, and one that this one has begun."""
    model = await fake_model(lambda request: Text("done") if request.tool_results else WRITE)
    have(monkeypatch, model.env(tmp_path))
    options = Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
    first = await host.begin(None, options, parent="")
    second = await host.begin(None, options, parent=first.id)
    return first, second, await host.begin(None, options, parent=second.id)


@fault("S11")
async def test_agent_that_uses_the_socket_itself_may_do_no_more(
    host: Host, family: tuple[Session, Session, Session]
) -> None:
    first, second, third = family
    for session in (first, second):
        for command in ({"type": "send", "text": "x"}, {"type": "close"}):
            path = f"/sessions/{session.id}/commands"
            status, told = await ask(host, second.id, path, command)
            assert (status, told["code"]) == (403, "not_allowed")
        status, told = await ask(host, second.id, f"/sessions/{session.id}", None, "DELETE")
        assert (status, told["code"]) == (403, "not_allowed")
        assert (session.status, session.last_seq) == ("idle", 0)
    path = f"/sessions/{third.id}/commands"
    assert (await ask(host, second.id, path, {"type": "interrupt"}))[0] == 202
    assert (await ask(host, "", f"/sessions/{first.id}/commands", {"type": "interrupt"}))[0] == 202
    status, told = await ask(host, UNKNOWN, path, {"type": "interrupt"})
    assert (status, told["code"]) == (403, "not_allowed")


@fault("S11")
async def test_agent_that_uses_the_socket_itself_answers_what_is_granted(
    host: Host, family: tuple[Session, Session, Session]
) -> None:
    _, second, third = family
    message = await third.send("write")
    while not third.pending:
        await anext(third.events(third.last_seq))
    path = f"/sessions/{third.id}/commands"
    answer = {"type": "answer", "request": third.pending[0].request}
    status, told = await ask(host, second.id, path, answer)
    assert (status, told["code"]) == (403, "not_allowed")
    said = {"midflight-may-answer": "Bash,questions"}
    assert (await ask(host, second.id, path, answer, **said))[0] == 403
    said = {"midflight-may-answer": "Write"}
    assert (await ask(host, second.id, path, answer, **said))[0] == 202
    assert (await message.result()).text == "done"


@fault("S11")
async def test_session_that_an_agent_begins_is_its_child(
    host: Host, family: tuple[Session, Session, Session], tmp_path: Path
) -> None:
    _, second, _ = family
    body = {"agent": "fake", "cwd": str(tmp_path), "env": second.options.env, "parent": ""}
    status, info = await ask(host, second.id, "/sessions", body)
    assert (status, info["parent"]) == (201, second.id)


@fault("S7")
@pytest.mark.parametrize("option", [{"trust": True}, {"setting_sources": ["user", "project"]}])
async def test_agent_that_uses_the_socket_itself_trusts_no_folder(
    host: Host, family: tuple[Session, Session, Session], tmp_path: Path, option: dict[str, Any]
) -> None:
    del family
    body = {"task": None, "agent": "fake", "cwd": str(tmp_path), **option}
    status, told = await ask(host, "outer", "/sessions", body)
    assert (status, told["code"]) == (403, "not_allowed")


@fault("S17")
async def test_connection_whose_process_has_gone_is_refused(
    host: Host, family: tuple[Session, Session, Session]
) -> None:
    """The host looks when it comes to accept the connection: until then this test has the loop."""
    _, second, _ = family
    reading, writing = os.pipe()
    path = f"/sessions/{second.id}/commands"
    request = written(path, {"type": "send", "text": "x"})
    leave(host, second.id, request, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        status, told = read(await asyncio.to_thread(answer.read))
    assert (status, told["code"]) == (403, "not_allowed")
    assert second.last_seq == 0


@fault("S17")
async def test_program_without_the_variable_is_still_its_agents(
    host: Host, family: tuple[Session, Session, Session]
) -> None:
    _, second, _ = family
    path = f"/sessions/{second.id}/commands"
    request = written(path, {"type": "close"})
    program = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", 'env -i "$@"; exit', "sh"),
        *(sys.executable, "-S", "-E", "-c", _ASK, host.address(), request),
        env={"PATH": os.environ["PATH"], SESSION_VARIABLE: second.id},
        stdout=subprocess.PIPE,
    )
    answer, _ = await program.communicate()
    status, told = read(answer)
    assert (status, told["code"]) == (403, "not_allowed")
