"""What is remembered of a session, into a server that has another part of it, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from midflight import Options
from midflight.agents.opencode.server import Refused
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.agents.opencode.v1.memory import Remembering, bring_together
from midflight.errors import ConversationLost
from midflight.testing.opencode import OpenCodeServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]

SESSION = "ses_0000000000001remembered00"
MODEL = {"providerID": "anthropic", "modelID": "claude-sonnet-4-5"}
INFO: dict[str, Any] = {
    "id": SESSION,
    "slug": "brave-nebula",
    "directory": "/on/another/machine",
    "title": "midflight",
    "version": "1.18.33",
    "cost": 0.5,
    "tokens": {"input": 3, "output": 5, "reasoning": 0, "cache": {"read": 0, "write": 0}},
    "time": {"created": 1796003572813, "updated": 1796003578871},
}


def message(number: int, text: str) -> dict[str, Any]:
    """Return a message of the user."""
    known = f"msg_00000000000{number}remembered0000"
    part = {"id": f"prt_00000000000{number}remembered0000", "type": "text", "text": text}
    about = {"sessionID": SESSION, "messageID": known}
    time = {"created": 1796003573035 + number}
    info = {"id": known, "sessionID": SESSION, "role": "user", "agent": "build", "time": time}
    return {"info": {**info, "model": MODEL}, "parts": [{**part, **about}]}


def memory(*messages: dict[str, Any], info: dict[str, Any] = INFO) -> dict[str, list[str]]:
    parts = {SESSION: info, **{f"{SESSION}/{each['info']['id']}": each for each in messages}}
    return {part: [msgspec.json.encode(value).decode()] for part, value in parts.items()}


@pytest.fixture
async def client(opencode_server: OpenCodeServer) -> AsyncIterator[OpenCodeClient]:
    client = OpenCodeClient(opencode_server.url, opencode_server.password, opencode_server.cwd)
    try:
        yield client
        await opencode_server.forget(SESSION)
    finally:
        await client.close()


@pytest.fixture
def options(opencode_server: OpenCodeServer) -> Options:
    return Options.build(agent="opencode", cwd=opencode_server.cwd, resume=SESSION)


ONE, TWO, THREE = message(1, "one"), message(2, "two"), message(3, "three")


async def test_server_takes_in_what_it_lacks_and_tells_what_is_new(
    client: OpenCodeClient, options: Options
) -> None:
    async def here() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await client.get(f"/session/{SESSION}/message")
        return found

    known = memory(ONE, TWO)
    await bring_together(client, options, known)
    assert await here() == [ONE, TWO]
    info = await client.get(f"/session/{SESSION}")
    assert info["directory"] == str(options.cwd)
    assert {name: info[name] for name in ("cost", "tokens")} == {
        name: INFO[name] for name in ("cost", "tokens")
    }

    follow = Remembering(client, SESSION, known)
    await follow.changed()
    assert await follow.changed() == []
    await client.delete(f"/session/{SESSION}/message/{TWO['info']['id']}")
    part = ONE["parts"][0]
    await client.patch(
        f"/session/{SESSION}/message/{part['messageID']}/part/{part['id']}", {**part, "text": "1"}
    )
    told = {new.part: new.lines for new in await follow.changed(newest=1) if new.part != SESSION}
    assert told[f"{SESSION}/{TWO['info']['id']}"] == ()
    assert '"text":"1"' in told[f"{SESSION}/{ONE['info']['id']}"][0]

    await bring_together(client, options, memory(ONE))
    assert (await here())[0]["parts"][0]["text"] == "1"  # it has all, and perhaps more
    await bring_together(client, options, memory(ONE, TWO, THREE))
    assert await here() == [ONE, TWO, THREE]


async def test_what_is_remembered_and_cannot_be_read_is_a_lost_conversation(
    client: OpenCodeClient, options: Options
) -> None:
    for line in ("{", "[" * 100_000, '"\\ud800"', '{"id": 1e999}'):
        with pytest.raises(ConversationLost):
            await bring_together(client, options, {SESSION: [line]})
    await bring_together(client, options, memory(ONE))
    with pytest.raises(ConversationLost):
        await bring_together(client, options, memory(ONE, {"info": {"id": "msg_9"}}))
    assert await client.get(f"/session/{SESSION}/message") == [ONE]


async def test_what_is_remembered_says_nothing_of_another_session(
    client: OpenCodeClient, options: Options
) -> None:
    """Whoever has had the session may have written it."""
    other = "ses_0000000000002another000000"
    allowed = {"permission": "*", "pattern": "*", "action": "allow"}
    message = {
        "info": {**ONE["info"], "sessionID": other},
        "parts": [{**ONE["parts"][0], "sessionID": other}],
    }
    info = {**INFO, "id": other, "permission": [allowed]}
    await bring_together(client, options, memory(message, info=info))
    assert await client.get(f"/session/{SESSION}/message") == [ONE]
    assert "permission" not in await client.get(f"/session/{SESSION}")
    with pytest.raises(Refused):
        await client.get(f"/session/{other}")


async def test_contents_of_changed_files_are_not_remembered(
    client: OpenCodeClient, options: Options
) -> None:
    change = {"file": "a", "patch": "x" * 1000, "additions": 1, "deletions": 0}
    summary = {"title": "t", "diffs": [change]}
    long = {**ONE, "info": {**ONE["info"], "summary": summary}}
    await bring_together(client, options, memory(long))
    told = await Remembering(client, SESSION, {}).changed()
    assert '"summary":{"title":"t","diffs":[]}' in told[1].lines[0]
    assert not any("xxx" in line for new in told for line in new.lines)
