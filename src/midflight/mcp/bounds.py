"""Where and with what a server of MCP dispatches: what its user has listed, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from midflight._util.files import current_folder
from midflight._util.sanitize import one_line
from midflight.agents import NAMES, cost_of
from midflight.errors import NotAllowed
from midflight.git.own_checkout import is_checkout
from midflight.narrowing import check_mode, strictest, within
from midflight.options import Options
from midflight.reach import HINT, check_agent, check_folder, is_below
from midflight.values import PermissionMode

ROOT = Path("/")

USUAL = Options(cwd=ROOT).agent
"""The agent that is meant where none is named."""


class DispatchBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What may be dispatched.

    ``dirs``: the folders that sessions work in or below; None: the server's own. ``agents``: their
    names, and ``acp:COMMAND`` with the whole command; None: those that midflight knows. ``repos``:
    the addresses of repositories for sessions of workers, beside those of the folders.
    ``permission_mode``, ``allowed_tools`` and ``max_budget_usd`` are the most for a client that is
    no session of midflight; another one has no more than its session.
    ``depth``, ``children``: how deep agents may dispatch agents, and how many may work for one at a
    time, where that is less than it would be. ``worktree``: each session gets a git worktree of its
    own unless the call says otherwise.
    """

    dirs: tuple[Path, ...] | None = None
    agents: tuple[str, ...] | None = None
    repos: tuple[str, ...] = ()
    permission_mode: PermissionMode = "default"
    allowed_tools: tuple[str, ...] = ()
    max_budget_usd: float | None = None
    depth: int | None = None
    children: int | None = None
    worktree: bool = False

    def agent(self, wanted: str) -> str:
        """Return the agent, or the usual one for nothing. Raises `NotAllowed`."""
        known = NAMES if self.agents is None else self.agents
        if not wanted and known:
            return USUAL if USUAL in known else known[0]
        check_agent(wanted, known)
        return wanted

    def folder(self, wanted: str, more: Iterable[Path]) -> Path:
        """Return the folder to work in; without one it is the server's own, or the first of these.

        ``more`` are folders that the caller works in itself. Raises `NotAllowed`.
        """
        here = current_folder(needed=False)
        own = (
            (here,) if here != ROOT else ()
        )  # a program that no folder was chosen for stands there
        mine = (*more, *(own if self.dirs is None else self.dirs))
        if not wanted:
            wanted = str(here if not mine or is_below(here, mine) else mine[0])
        folder = _absolute(wanted)
        check_folder(folder, mine)
        return folder

    @staticmethod
    def is_folder(repo: str) -> bool:
        """Tell whether a folder of this machine is meant, and not an address."""
        return is_checkout(_absolute(repo))

    def check_repo(self, address: str) -> None:
        """Raise `NotAllowed` for a repository that the user has not listed."""
        if address not in self.repos:
            raise NotAllowed(
                f"repo: {one_line(address, 200)} is not among those that may be worked in",
                f"name a folder of this machine that has it, or {HINT}",
            )

    def mode(self, wanted: PermissionMode | None, session: PermissionMode | None) -> PermissionMode:
        """Return the permission mode: the usual one, or a narrower one where more is not to be had.

        ``session`` is that of the caller's own session. Raises `NotAllowed`.
        """
        widest = self.permission_mode if session is None else session
        if wanted is None:
            return strictest(("default", widest))
        check_mode(wanted, widest)
        return wanted

    def check_tools(self, tools: Sequence[str]) -> None:
        """Raise `NotAllowed` for tools of which the user has not said that they may be allowed."""
        more = set(tools) - set(within(tools, self.allowed_tools))
        if more:
            names = ", ".join(sorted(more))
            raise NotAllowed(f"allowed_tools: {names} cannot be allowed beforehand here", HINT)

    def budget(self, wanted: float, agent: str) -> float | None:
        """Return the limit in US dollars; 0 stands for none that was asked for.

        Raises `NotAllowed` where the user's own limit could not be kept with this agent.
        """
        if self.max_budget_usd and cost_of(agent) == "not":
            raise NotAllowed(
                f"max_budget_usd: the user's limit of ${self.max_budget_usd:g} cannot be kept with "
                f"{agent}, which tells neither money nor tokens",
                "use an agent that does",
            )
        asked = [each for each in (wanted, self.max_budget_usd) if each]
        return min(asked, default=None)


def _absolute(folder: str) -> Path:
    path = Path(folder).expanduser()
    return path if path.is_absolute() else current_folder() / path
