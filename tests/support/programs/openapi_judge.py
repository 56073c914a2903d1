"""What schemathesis is told before it tries a server: sessions have the fake agent, in one folder.

It is loaded by schemathesis itself (``SCHEMATHESIS_HOOKS``). A body that is wrong on purpose stays.
"""

from __future__ import annotations

import os
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Have nothing but fake agents begun."""
    if case.method == "DELETE" and case.path_parameters.get("session") == "fix-the-tests":
        case.path_parameters["session"] = "none"  # the others need it
    if (case.method, case.path) == ("POST", "/schedules") and isinstance(case.body, dict):
        case.body |= {"agent": "fake", "cwd": os.environ["FOLDER"]}
        for name in ("agent_path", "server_url"):
            case.body.pop(name, None)
    if (case.method, case.path) == ("POST", "/sessions") and isinstance(case.body, dict):
        env = {"ANTHROPIC_BASE_URL": os.environ["MODEL"]}
        case.body |= {"agent": "fake", "cwd": os.environ["FOLDER"], "env": env}
        for name in ("agent_path", "server_url", "mcp_servers", "id", "resume"):
            case.body.pop(name, None)
