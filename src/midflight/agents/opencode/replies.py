"""What every version of OpenCode is told with an answer, and why it asked."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "doom_loop": "the same call, again and again",
    "external_directory": "outside the folder: {}",
    "task": "on this server, a sub-agent does what it does without asking",
}
"""Why a permission is asked for, where the call does not say it; ``{}`` is what it is about."""

EDITED = "The user changed this call. Make it again with exactly this input: {}"

TRIES = 3
"""How often an answer is sent, where the server cannot be reached."""

PAUSE_S = 1.0
