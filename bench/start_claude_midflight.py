import asyncio

import midflight


async def main() -> None:
    async with midflight.dispatch("pong", model="sonnet") as session:
        async for event in session.stream():
            if isinstance(event, midflight.TextDelta):
                print(event.text, end="", flush=True)


asyncio.run(main())
