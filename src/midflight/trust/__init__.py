"""What a folder has an agent run or redirect, and whether the user has agreed to it.

`stake` finds it without running anything, `store` keeps what the user has agreed to, and
`decision` says how an agent may start. Which files an agent obeys stands in its own `trust.py`.
"""
