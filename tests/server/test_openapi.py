"""The OpenAPI document says what the server does; a judge from outside tries all of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # it brings no types
import pytest
from tests.faults.manifest import fault
from tests.host.test_shared_host import one_environment, started
from tests.server.conftest import TOKEN, Server

from midflight.host import Host
from midflight.server.server import OPEN
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

__all__ = ["one_environment", "started"]


@pytest.fixture(autouse=True)
def patient() -> None:
    """Leave the judge its time, which has a bound of its own."""


async def test_document_has_every_route_with_its_types(server: Server) -> None:
    status, told = await server.call("/openapi.json")
    assert (status, told["openapi"]) == (200, "3.1.0")
    described = {(path, method) for path, methods in told["paths"].items() for method in methods}
    assert described == {(route.path, route.method.lower()) for route in server.routes}
    for path, method in described:
        operation = told["paths"][path][method]
        assert operation["summary"]
        assert ("security" in operation) == (path in OPEN), path
        for status_, answer in operation["responses"].items():
            assert answer["content"], (path, method, status_)
    names = {"SessionInfo", "Outcome", "AgentInfo", "NewSession", "Send", "TextDelta", "Problem"}
    assert names <= told["components"]["schemas"].keys()
    begun_with = told["components"]["schemas"]["NewSession"]["properties"]
    assert {"task", "images", "cwd", "model", "parent", "id"} <= begun_with.keys()


async def test_examples_are_of_their_schemas(server: Server) -> None:
    _, told = await server.call("/openapi.json")
    seen = 0
    for methods in told["paths"].values():
        for operation in methods.values():
            bodies = operation.get("requestBody", {}).get("content", {}).values()
            for part in [*bodies, *operation["parameters"]]:
                whole = {**part["schema"], "components": told["components"]}
                jsonschema.Draft202012Validator.check_schema(whole)
                if "example" in part:
                    jsonschema.validate(part["example"], whole)
                    seen += 1
    assert seen > 8


async def test_what_is_answered_is_of_its_schema(
    server: Server, begin: Begin, tmp_path: Path
) -> None:
    _, told = await server.call("/openapi.json")
    write = ToolCall("Write", {"file_path": "new", "content": "by the agent"})
    _, session = await begin([Text("one"), write], Text("done"), attended=False)
    await (await session.send("go")).result()
    for path in ("/sessions", "/sessions/{session}", "/sessions/{session}/events", "/events"):
        _, body = await server.call(path.replace("{session}", session.id))
        answer = told["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        jsonschema.validate(body, {**answer["schema"], "components": told["components"]})


JUDGE_S = 240

PROGRAMS = Path(__file__).parents[1] / "support" / "programs"

SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 404, 409, 422]
"""
"""No schema tells which session, folder, model or agent there is."""

WIDE = ("/schedules", "/sessions/{session}/commands")
"""They have a body with the most fields after the one with which a session is begun."""

LESS = "".join(
    f'[[operations]]\ninclude-path = "{path}"\nphases.coverage.enabled = false\n' for path in WIDE
)
"""Leaves what each of these fields may not be, one by one, to ``scripts/check long``."""

SESSIONS, REST = ("--include-path", "/sessions"), ("--exclude-path", "/sessions")
WHOLLY = [word for path in WIDE for word in ("--include-path", path)]


@fault("S1", "I2", "I8")
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("schemathesis") is None, reason="scripts/test installs it")
@pytest.mark.parametrize(
    ("paths", "settings"),
    [
        pytest.param(SESSIONS, "", id="sessions"),
        pytest.param(REST, LESS, id="rest"),
        pytest.param(WHOLLY, "", id="wide", marks=pytest.mark.long),
    ],
)
async def test_judge_from_outside_finds_nothing(
    *,
    server: Server,
    started: list[Host],
    model: FakeModel,
    begin: Begin,
    tmp_path: Path,
    paths: Sequence[str],
    settings: str,
) -> None:
    """`schemathesis`: all its checks, with the token and without, over the fake agent."""
    _, session = await begin(lambda _: Text("done"), name="fix-the-tests")  # as in the examples
    await (await session.send("go")).result()
    (tmp_path / "schemathesis.toml").write_text(SETTINGS + settings)
    _, told = await server.call("/openapi.json")  # it would wait for it for 10 seconds only
    (tmp_path / "openapi.json").write_text(json.dumps(told))
    command = ["run", "openapi.json", "--url", server.url, "--checks", "all", "--max-examples", "5"]
    command += ["--generation-deterministic", "--no-color", "--phases", "examples,coverage,fuzzing"]
    command += ["--request-timeout", "60", *paths]
    for header in (f"Authorization: Bearer {TOKEN}", "Accept: application/json"):
        command += ["--header", header]
    judge = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", *command),
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(PROGRAMS),
            "SCHEMATHESIS_HOOKS": "openapi_judge",
            "FOLDER": str(tmp_path),
            "MODEL": model.env(tmp_path)["ANTHROPIC_BASE_URL"],
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(JUDGE_S):
            out, _ = await judge.communicate()
    except TimeoutError:
        judge.kill()
        out, _ = await judge.communicate()
    assert judge.returncode == 0, out.decode()
    assert (await server.call("/sessions"))[0] == 200
