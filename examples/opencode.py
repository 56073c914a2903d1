#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["midflight"]
# ///
"""Give OpenCode a task, and follow up in the same conversation.

OpenCode is found on PATH (`npm install -g opencode-ai`), or where `agent_path=` says. Keys
are its own affair: `opencode auth login`. midflight starts its server and ends it with the session.
"""

import asyncio

import midflight


async def ask(session: midflight.Session, text: str) -> None:
    """Send a message, wait for what comes of it, and print that."""
    message = await session.send(text)
    result = await message.result()
    print(f"{result.status}: {result.text}")
    if result.cost_usd is not None:  # not every model has a price
        print(f"Cost: ${result.cost_usd:.4f}")


async def main() -> None:
    """The session is the state: there is no id to keep and no server to start."""
    async with midflight.open(
        agent="opencode",
        model="sonnet",  # or in full, "opencode/gpt-5-nano": see `opencode models`
        # OpenCode itself has neither of these two limits.
        max_turns=15,
        max_budget_usd=1.0,
        # These run without asking. Reading and searching never ask; anything else is denied here,
        # because nobody is there to answer.
        allowed_tools=["bash", "write", "edit", "webfetch"],
        attended=False,
    ) as session:
        await ask(session, "Add input validation to the /users POST endpoint")
        await ask(session, "Now add tests for the validation you just wrote.")


if __name__ == "__main__":
    asyncio.run(main())
