"""What agents ask the model on the side, and the answers that use up no step of the script."""

from __future__ import annotations

from midflight.testing.model.script import ModelRequest, Step, Text

# Known by what the agent's system prompt says it is; the answer is the smallest it accepts.
_BY_SYSTEM_PROMPT: dict[str, Step] = {
    "You are naming a coding session": Text('{"title": "Scripted session"}'),
    "You run a web search for another Claude model": Text("The scripted model finds nothing."),
    # Asked in plan and auto mode about each call; a monitor in a test lets nothing through.
    "You are a security monitor for autonomous AI coding agents": Text("<block>yes</block>"),
    "You are a title generator": Text("Scripted session"),  # OpenCode
}


def side_step(request: ModelRequest) -> Step | None:
    """Return the answer to a request on the side, or None for a request of the conversation."""
    if request.body.get("max_tokens") == 1:
        return Text("ok")  # A check of the key or the quota.
    for beginning, step in _BY_SYSTEM_PROMPT.items():
        if beginning in request.system:
            return step
    return None
