"""Git worktrees for sessions: a folder and a branch of their own, in a durable place.

`repository` finds and makes them, `merging` and `discarding` are what can be done with them,
`changes` is what has changed in a folder, `place` is where they lie. `git` runs git, and nothing
that a repository would have it run.
"""

from __future__ import annotations

__all__: list[str] = []
