"""The installed programs obey nothing that the tables of what is at stake do not know."""

from __future__ import annotations

import pytest
from tests.support.description import description
from tests.trust import inventory

from midflight.agents.claude import trust as claude
from midflight.agents.opencode import trust as opencode
from midflight.agents.opencode.v2 import trust as opencode2
from midflight.errors import AgentUnavailable
from midflight.testing.opencode import OpenCodeServer
from midflight.testing.plugin import need

pytestmark = pytest.mark.agent


def test_claude_code_has_no_settings_and_files_that_were_not_looked_at() -> None:
    """As far as the program's text shows it; a name that it puts together at work shows nowhere.

    After a new version: look at what is new, put what runs, redirects or allows into the table, and
    write the list anew; see `inventory`.
    """
    try:
        found = inventory.of_claude()
    except AgentUnavailable as error:
        need(str(error))
    known = inventory.known()["claude"]
    new = {part: sorted(set(found[part]) - set(known[part])) for part in found}
    assert not any(new.values()), new


def test_claude_code_has_every_setting_of_the_table() -> None:
    """So a setting with a new name does not leave the old one behind unseen."""
    elsewhere = {
        "autoMode",
        "skipAutoPermissionPrompt",
    }  # described in another place of the program
    known = {"hooks", "env", "permissions", *claude.PROGRAMS, *claude.REDIRECTS, *claude.ALLOWANCES}
    assert known - elsewhere <= set(inventory.known()["claude"]["settings"])


@pytest.mark.parametrize("word", ["helper", "command", "script", "url", "hook", "wrapper"])
def test_a_setting_that_sounds_like_a_program_is_in_the_table(word: str) -> None:
    """Or among those that are not: what it is about was looked up in the program."""
    other = {
        *("disableAllHooks", "allowManagedHooksOnly", "allowedHttpHookUrls"),
        *("httpHookAllowedEnvVars", "disableCommandPluginSources", "respondToBashCommands"),
        *("disableWindowsBashCommandSplit", "prUrlTemplate"),
    }
    settings = inventory.known()["claude"]["settings"]
    named = {name for name in settings if word in name.lower()}
    table = {"hooks", *claude.PROGRAMS, *claude.REDIRECTS}
    assert named <= table | other


@pytest.mark.anyio
async def test_opencode_has_no_settings_that_were_not_looked_at(
    opencode_server: OpenCodeServer,
) -> None:
    """By its own description of its configuration."""
    schemas = (await description(opencode_server))["components"]["schemas"]
    described = schemas["Config"]["properties"]
    known = set(inventory.known()["opencode"]["settings"])
    assert set(described) <= known
    assert {*opencode.PROGRAMS, *opencode.REDIRECTS, *opencode.ALLOWANCES} <= known


def test_opencode_2_has_no_settings_that_were_not_looked_at() -> None:
    """As the text of its preview describes them; what only stable 2.x has was read elsewhere."""
    try:
        found = set(inventory.of_opencode2()["settings"])
    except AgentUnavailable as error:
        need(str(error))
    assert found <= set(inventory.known()["opencode2"]["settings"])
    only_stable = {"websearch"}
    own = {*opencode2.PROGRAMS, *opencode2.REDIRECTS, *opencode2.ALLOWANCES} - only_stable
    version_1 = {*opencode.PROGRAMS, *opencode.REDIRECTS, *opencode.ALLOWANCES}
    assert own - version_1 <= found
