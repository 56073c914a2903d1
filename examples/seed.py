#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["midflight"]
# ///
"""Dispatch a task, watch it, and follow up twice, in one conversation."""

import asyncio

import midflight


async def print_response(session: midflight.Session) -> None:
    """Stream and print what the agent does, until it is quiet."""
    async for event in session.stream():
        match event:
            case midflight.TextDelta(text=text):
                print(text, end="", flush=True)
            case midflight.ToolStarted(name=name):
                print(f"  [tool] {name}")
            case midflight.TurnEnded(result=result):
                print(f"\n\nResult: {result.text}")
                print(f"Cost: ${result.total_cost_usd}")


async def main() -> None:
    """The session is the state: each message continues the same conversation."""
    async with midflight.dispatch(
        "Add input validation to the /users POST endpoint",
        model="sonnet",
        max_turns=15,
        # These run without asking. Reading and searching never ask; anything else is denied here,
        # because nobody is there to answer.
        allowed_tools=["Bash", "Write", "Edit", "WebFetch"],
        attended=False,
        # With plugins=[folder] the agent also has the skills of the plugin in that folder.
    ) as session:
        await print_response(session)

        # "also add tests for the validation"
        await session.send("Now add tests for the validation you just wrote.")
        await print_response(session)

        # "the email regex is wrong, fix it"
        await session.send("The email regex rejects valid emails with + in them. Fix it.")
        await print_response(session)


if __name__ == "__main__":
    asyncio.run(main())
