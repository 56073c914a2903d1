import asyncio

import claude_agent_sdk as sdk


async def main() -> None:
    agents_own = sdk.types.SystemPromptPreset(type="preset", preset="claude_code")
    options = sdk.ClaudeAgentOptions(
        model="sonnet", system_prompt=agents_own, include_partial_messages=True
    )
    async with sdk.ClaudeSDKClient(options) as client:
        await client.query("pong")
        async for message in client.receive_response():
            if isinstance(message, sdk.StreamEvent):
                print(message.event.get("delta", {}).get("text", ""), end="", flush=True)


asyncio.run(main())
