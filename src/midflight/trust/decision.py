"""How an agent may start in a folder: with the folder's own settings, or without them."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

import msgspec

from midflight import lineage
from midflight._util.sanitize import exact_line
from midflight.errors import AgentFailed, InvalidOption
from midflight.lineage import SESSION_VARIABLE, UNKNOWN
from midflight.options import Options
from midflight.trust import store
from midflight.trust.stake import Obeyed, Stake, StakeFile, look

PROJECT = frozenset({"project", "local"})
"""The sources in `Options.setting_sources` that are a folder's own."""

NAMED = 3
"""How many files a notice names."""


class Standing(msgspec.Struct, frozen=True):
    """What is at stake, and whether the agent may obey it.

    ``notice`` says to people that it starts without, and why; it is empty where they know.
    ``replaced`` says that the texts for the model reach it in another way: the options did not ask
    to leave those out too.
    """

    stake: Stake = Stake()
    trusted: bool = True
    notice: str = ""
    replaced: bool = False


def by_caller(options: Options) -> bool:
    """Tell whether the options themselves agree to what the folder has the agent run."""
    return bool(options.trust or PROJECT & set(options.setting_sources or ()))


def check_for_worker(options: Options) -> None:
    """Raise `InvalidOption` where the options of a worker's session agree for the worker's user."""
    if by_caller(options):
        raise InvalidOption(
            "trust",
            "what a folder has the agent run is agreed to on the worker's own machine",
            "leave it out; the worker's user runs there: midflight trust",
        )


def decide(options: Options, obeyed: Obeyed) -> Standing:
    """Look at what is at stake, and return how the agent may start. It takes no clock and no lock.

    Raises `NotAllowed` where an agent agrees for the user, and `StoreFailed`.
    """
    sources = options.setting_sources
    by_program = bool(PROJECT & set(sources or ()))
    if by_caller(options):
        store.check_caller()
    stake = look(options, obeyed)
    if not stake:
        return Standing()
    if sources is not None and not by_program:
        return Standing(stake, trusted=False)
    if options.trust is False:
        notice = "" if obeyed.told else _notice(options, obeyed, stake, "you do not trust them")
        return Standing(stake, trusted=False, notice=notice, replaced=True)
    why = stake.beyond
    if not why and not store.read().covers(stake.files):
        why = _missing(options, stake, by_program=by_program)
    notice = _notice(options, obeyed, stake, why)
    return Standing(stake, trusted=not why, notice=notice, replaced=bool(why))


def _missing(options: Options, stake: Stake, *, by_program: bool) -> str:
    """Return why files that are not recorded are not trusted, or nothing where they are."""
    if not (by_program or options.trust):
        return "you have not trusted them"
    if stake.redirects:
        return "they send your key elsewhere, which has to be agreed to by itself"
    if by_program:
        return ""
    session = _session(options)
    if not session or store.same_as_begun(session, stake.files):
        return ""
    return "they are not what this session began with"


def _notice(options: Options, obeyed: Obeyed, stake: Stake, why: str) -> str:
    if not why:
        return ""
    names = [exact_line(file.path) for file in stake.files]
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" * (len(names) > NAMED))
    look_at_it = f"to look at it: {_commands(options, stake)}"
    if obeyed.told:
        return (
            f"{obeyed.agent} starts without what this folder has it run or redirect ({listed}):"
            f" {why}; {look_at_it}"
        )
    return (
        f"{obeyed.agent} cannot be told to leave out what this folder has it run or redirect"
        f" ({listed}), and {why}; {look_at_it}"
    )


def _commands(options: Options, stake: Stake) -> str:
    """Return the commands that show what is not trusted: one for each folder that holds some."""
    trusted = store.read()
    files = [file for file in stake.files if not trusted.covers([file])]
    inside = {
        file.place: [added for added in options.add_dirs if file.place.is_relative_to(added)]
        for file in files
    }
    folders = [options.cwd] if not all(inside.values()) or stake.beyond else []
    folders += [added for added in options.add_dirs if any(added in of for of in inside.values())]
    shown = (quote(exact_line(str(folder))) for folder in folders or [options.cwd])
    return " && ".join(f"midflight trust {folder}" for folder in dict.fromkeys(shown))


def record(stake: Stake) -> None:
    """Keep that the user trusts these files. Raises `NotAllowed`, `StoreFailed`."""
    with store.changed() as trusted:
        trusted.add(stake.files)


def look_again(options: Options, obeyed: Obeyed, standing: Standing) -> None:
    """Agree to what an agent's program has written itself as it came up, before any model spoke.

    Raises `AgentFailed` if anything else has changed since: the program may have loaded it.
    """
    if obeyed.written is None or not (standing.stake and standing.trusted):
        return
    own, others = obeyed.written(options, standing.stake)
    if others:
        raise AgentFailed(
            f"{others[0].place} has changed while {obeyed.agent} started", "try again"
        )
    if own:
        _adopt(options, standing, own)


def _adopt(options: Options, standing: Standing, files: Iterable[StakeFile]) -> None:
    """Keep that these are agreed to. Inside of an agent nothing is kept; the next start asks."""
    if lineage.inside():
        return
    with store.changed() as trusted:
        if trusted.covers(standing.stake.files):
            trusted.add(files)
        elif (session := _session(options)) in trusted.sessions:
            trusted.sessions[session] += [file.digest for file in files]


def _session(options: Options) -> str:
    """Return the id of the session that an agent is started for, or nothing."""
    session = options.env.get(SESSION_VARIABLE, "").rpartition("/")[2]
    return "" if session == UNKNOWN else lineage.plain(session)
