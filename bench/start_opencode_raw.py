import asyncio

from bench.opencode import Raw


async def main() -> None:
    async with Raw("pong") as talk:
        await talk.listen(lambda text: print(text, end="", flush=True))


asyncio.run(main())
