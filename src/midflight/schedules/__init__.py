"""Tasks that begin by themselves at times that a person has set: when, with what, and by whom.

`cron` and `rules` are pure: which moment comes next, and what a moment that has passed means.
`making` checks what is to be scheduled, and `Firing` begins it, in any number of processes at once.
"""
