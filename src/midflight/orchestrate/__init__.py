"""A session whose agent drives others: its instructions, its budget, and its children.

`prompt` makes a session an orchestrator. `children` follows every session below it, each of which
is a `child`; `updates` are the messages that tell its agent of them. Everything goes through
`midflight.client.client`.
"""
