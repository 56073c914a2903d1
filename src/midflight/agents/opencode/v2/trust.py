"""What OpenCode 2 obeys of a folder: the files of version 1, with settings in its own shape too.

The names were read in the description of its configuration (``packages/schema/src/config.ts``) and
in that of the preview; it still takes version 1's, which it translates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from midflight.agents.opencode import trust as v1
from midflight.agents.shared import folder_settings
from midflight.agents.shared.folder_settings import part
from midflight.trust.stake import Consequence

PROGRAMS = (*v1.PROGRAMS, "plugins", "commands", "references", "websearch")
"""Settings that name programs, or where programs and texts come from."""

REDIRECTS = (*v1.REDIRECTS, "providers")
"""Settings by which keys or the conversation may go elsewhere, or come from elsewhere."""

ALLOWANCES = (*v1.ALLOWANCES, "permissions")
"""Settings about what is asked. An agent's own stand in ``agents``, which is shown as it is."""


def read(name: str, body: bytes) -> Iterator[Consequence]:
    """Yield what a file has OpenCode 2 do. Raises `ValueError` if it cannot be read."""
    yield from v1.read_by(name, body, _settings)


def _settings(settings: dict[str, Any]) -> Iterator[Consequence]:
    section = part(settings, "mcp")
    yield from folder_settings.mcp_servers(section)
    yield from folder_settings.mcp_servers(part(section, "servers"))
    yield from v1.by_name(settings, PROGRAMS, REDIRECTS, ALLOWANCES)


OBEYED = msgspec.structs.replace(
    v1.OBEYED, agent="OpenCode 2", read=read, written=partial(v1.written, installs=False)
)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which stable 2.x loads no settings of the folder.

    The preview does so all the same: it does not start where they are not trusted.
    """
    return {**v1.environment(env), "OPENCODE_CONFIG_PROJECT_DISABLE": "1"}
