"""Git, without any session: worktrees with a branch of their own, and what has changed in a folder.

`command` runs git, and nothing that a repository would have it run. `repository` finds worktrees
and makes them, at the place that `location` tells. `diff` compares, `merge` and `discard` are what
becomes of a worktree.
"""
