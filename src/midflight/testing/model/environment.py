"""The environment in which an agent's program asks the scripted model, and nobody else.

Each agent has variables of its own for that; together they are the environment of any of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

_KEY = "sk-ant-scripted"
# The third is the pytest plugin's leak check. The last says how far Bun, which OpenCode and Claude
# Code run on, compiles their JavaScript: a program that ends after a turn or two starts sooner
# where it does not go all the way.
_INHERITED = ("PATH", "TMPDIR", "MIDFLIGHT_TEST_RUN", "BUN_JSC_useDFGJIT")


def env_for(
    url: str, home: str | os.PathLike[str], *, subscription: bool = False
) -> dict[str, str]:
    """Return the whole environment of an agent that asks the model at ``url``.

    With a ``subscription`` Claude Code has no key but is logged in to an account, which has usage
    limits.
    """
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "HOME": os.fspath(home),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "NO_PROXY": "127.0.0.1,localhost",
        **_claude(url, subscription=subscription),
        **_opencode(url),
        **_codex(url),
        **_copilot(url),
        **_gemini(url),
        **_qwen(url),
    }


def _claude(url: str, *, subscription: bool) -> Mapping[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        ("CLAUDE_CODE_OAUTH_TOKEN" if subscription else "ANTHROPIC_API_KEY"): _KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_GATEWAY_HINT_HEADERS": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
    }


def _opencode(url: str) -> Mapping[str, str]:
    provider = {"options": {"baseURL": f"{url}/v1", "apiKey": _KEY}}
    config = {"provider": {"anthropic": provider}, "model": "anthropic/claude-sonnet-4-5"}
    return {
        "OPENCODE_CONFIG_CONTENT": json.dumps(config),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        # A catalogue of three models: OpenCode's own takes a third of its time to start.
        "OPENCODE_MODELS_PATH": str(Path(__file__).with_name("opencode_models.json")),
    }


def _codex(url: str) -> Mapping[str, str]:
    provider = {
        "name": "scripted",
        "base_url": f"{url}/v1",
        "wire_api": "responses",
        "env_key": "CODEX_API_KEY",
    }
    config = {
        "model": "gpt-5.5",
        "model_provider": "scripted",
        "model_providers": {"scripted": provider},
        "analytics": {"enabled": False},
        "check_for_update_on_startup": False,
    }
    return {
        "CODEX_API_KEY": _KEY,
        "CODEX_CONFIG": json.dumps(config),
        "MODEL_PROVIDER": "scripted",
        "NO_BROWSER": "1",
    }


def _copilot(url: str) -> Mapping[str, str]:
    return {
        "COPILOT_PROVIDER_BASE_URL": f"{url}/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_API_KEY": _KEY,
        "COPILOT_PROVIDER_WIRE_API": "completions",
        "COPILOT_MODEL": "gpt-5",
        "COPILOT_OFFLINE": "true",
        "COPILOT_AUTO_UPDATE": "false",
    }


def _gemini(url: str) -> Mapping[str, str]:
    return {
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": _KEY,
        "GEMINI_DEFAULT_AUTH_TYPE": "gemini-api-key",
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_MODEL": "gemini-2.5-pro",
        "GEMINI_TELEMETRY_ENABLED": "false",
    }


def _qwen(url: str) -> Mapping[str, str]:
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": _KEY,
        "OPENAI_MODEL": "gpt-5.5",
        "QWEN_CODE_NO_RELAUNCH": "true",
        "QWEN_CODE_SYSTEM_SETTINGS_PATH": str(Path(__file__).with_name("qwen_settings.json")),
        "QWEN_DEFAULT_AUTH_TYPE": "openai",
    }
