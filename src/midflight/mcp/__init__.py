"""An MCP server with which an agent dispatches other agents and changes their course.

`server` speaks the protocol. `tools` and `arguments` are what a model reads of each tool.
`handlers` carries a call out, `dispatch` starts sessions within their limits, `elsewhere` says
where those of workers begin, `worktree` takes over their work, and `results` is what a call
returns. Everything goes through `midflight.client.client`.
"""
