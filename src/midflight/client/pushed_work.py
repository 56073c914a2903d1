"""What a session has pushed, which is removed with it."""

from __future__ import annotations

import shlex

from midflight.errors import Conflict, MidflightError
from midflight.git.remote import Remote, session_ref
from midflight.git.store import forget
from midflight.info import RepositoryInfo


async def forget_work(session: str, repository: RepositoryInfo) -> None:
    """Remove the ref of a session at its remote, from any machine that may push there.

    Raises `Conflict` where that does not work in the time that a push may take.
    """
    try:
        await forget(Remote.parse(repository.remote), session)
    except (MidflightError, ValueError) as error:
        why = error.message if isinstance(error, MidflightError) else str(error)
        raise Conflict(
            f"the session is removed, and the work that it has pushed is not: {why}",
            f"git push {shlex.quote(repository.remote)} :{session_ref(session)}",
        ) from error
