#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["midflight"]
# ///
"""Change the course of an agent while it works: steer, queue, approve, redirect."""

import asyncio

import midflight


async def watch(session: midflight.Session) -> None:
    """Print the course of things, and allow edits but nothing else."""
    async for event in session.events():
        match event:
            case midflight.MessageSteered() | midflight.MessageCancelled():
                print(f"[{event.type}]")
            case midflight.TurnStarted(turn=turn):
                print(f"[turn {turn} begins]")
            case midflight.ToolStarted(name=name, title=title):
                print(f"  [tool] {name} {title}")
            case midflight.PermissionRequested(request=request, name="Edit" | "Write" as name):
                print(f"  [allow] {name}")
                await session.answer(request, "allow")
            case midflight.PermissionRequested(request=request, name=name):
                print(f"  [deny] {name}")
                await session.answer(request, "deny", reason="only edits, please")
            case midflight.TurnEnded(turn=turn, result=result):
                print(f"[turn {turn}: {result.status}, {result.reason}] {result.text}")


async def work_begins(session: midflight.Session) -> None:
    """Wait for the first thing that the agent says or does."""
    async for event in session.events():
        if isinstance(event, midflight.TextDelta | midflight.ToolStarted):
            return


async def main() -> None:
    """Say one thing after another, each in the middle of what the agent is at."""
    async with midflight.dispatch(
        "Add input validation to the /users POST endpoint", model="sonnet", attended=True
    ) as session:
        watching = asyncio.create_task(watch(session))
        await work_begins(session)

        # The agent reads this at its next step, in the same turn.
        also = await session.send("Also refuse empty names.")

        # This waits in line for a turn of its own. It can still be edited or withdrawn.
        later = await session.send("Then write the changelog.", delivery="queue")
        await later.edit("Then write the changelog entry.")

        # This stops the turn with its tools, and starts one at once. What is queued stays.
        fix = await session.redirect("The email regex rejects + addresses. Fix that first.")

        for message in (also, fix, later):
            result = await message.result()
            print(f"{message.text!r}: {message.state}, {result.reason}")
        if session.total_cost_usd is not None:  # not every agent tells
            print(f"Cost: ${session.total_cost_usd:.4f}")
    await watching


if __name__ == "__main__":
    asyncio.run(main())
