"""The settings with which an agent behind ACP is launched: it obeys what is trusted of a folder.

The protocol has no word for it, so each program has its own, and its preset names them. What an
untrusted folder says to the model alone still reaches it, and what a trusted one allows is asked
for all the same. This is loaded with the table of presets, and loads the rest when it is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from midflight.options import Options
    from midflight.trust.decision import Standing

_CONFIG = "OPENCODE_CONFIG_CONTENT"

_RULE = re.compile(r"[A-Za-z_][\w-]*(?:\(.*\))?", re.DOTALL)
_EVERYTHING = ("Bash", "Edit", "NotebookEdit", "WebFetch", "WebSearch", "Write")


class LaunchSettings(NamedTuple):
    """More variables for an agent, and ``_meta`` of the call that opens its session.

    ``problems`` are texts for the model that do not reach it whole.
    """

    env: Mapping[str, str] = {}
    meta: Mapping[str, object] = {}
    problems: tuple[str, ...] = ()


MakeLaunchSettings = Callable[["Options", Mapping[str, str], "Standing"], LaunchSettings]
"""Makes them from the options, the agent's environment, and what is at stake."""


def claude_options(options: Options, env: Mapping[str, str], standing: Standing) -> LaunchSettings:
    """Name Claude Code's settings: only the user's own, or what the folder allows to be asked for.

    Source: ``createSession`` in ``acp-agent.ts`` of ``claude-agent-acp``, where these options of
    the client come after its own, which load everything.
    """
    from midflight.agents.shared.obeyed import trust_of

    if standing.trusted:
        ask = sorted(set(_to_ask(standing)))
        settings = {**_models(env), "permissions": {"ask": ask}}
        return _claude({"settings": settings}) if ask else LaunchSettings()
    text, problems = trust_of("claude").instructions(options)
    more = {"systemPrompt": {"append": text}} if text else {}
    user_only = _claude({"settingSources": ["user"]})
    return LaunchSettings(meta={**user_only.meta, **more}, problems=problems)


def _models(env: Mapping[str, str]) -> Mapping[str, object]:
    """Return what the adapter takes from a variable, unless it gets settings."""
    try:
        models: Any = json.loads(env.get("CLAUDE_MODEL_CONFIG") or "{}")
    except ValueError:
        return {}  # the adapter will say what is wrong
    return models if isinstance(models, dict) else {}


def _claude(options: Mapping[str, object]) -> LaunchSettings:
    return LaunchSettings(meta={"claudeCode": {"options": options}})


def _to_ask(standing: Standing) -> Iterator[str]:
    """Yield rules that cover whatever the folder's own do; a rule to ask goes before one to allow.

    One that is not plain may allow anything.
    """
    for file in standing.stake.files:
        for consequence in file.consequences:
            for rule in consequence.rules:
                yield from (rule,) if _RULE.fullmatch(rule) else _EVERYTHING


def opencode_config(options: Options, env: Mapping[str, str], standing: Standing) -> LaunchSettings:
    """Switch off OpenCode's look-up in the folder, and name the folder's texts by their paths.

    ``opencode acp`` obeys the same variables as ``opencode serve``.
    """
    from midflight.agents.shared.obeyed import trust_of

    if standing.trusted:
        return LaunchSettings()
    trust = trust_of("opencode")
    config = trust.without(options, trust.variable(env, _CONFIG))
    return LaunchSettings(trust.environment({_CONFIG: json.dumps(config)}))
