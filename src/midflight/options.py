"""The options of a session, checked before anything starts."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar, get_args

import msgspec

from midflight._util.text import did_you_mean
from midflight.commands import Answer
from midflight.errors import InvalidOption
from midflight.events import PermissionRequested, QuestionRequested
from midflight.git.remote import Remote
from midflight.option_checks import CHECKS, StrPath, any_folder, directory, items, within
from midflight.values import HostLostChoice, Limits, PermissionMode, Spent, UsageLimitChoice

__all__ = [
    "PERMISSION_MODES",
    "Options",
    "RequestHandler",
    "SessionOptions",
    "check_option",
    "documented",
]

PERMISSION_MODES: tuple[PermissionMode, ...] = get_args(PermissionMode)

RequestHandler = Callable[
    [PermissionRequested | QuestionRequested], Answer | Awaitable[Answer | None] | None
]
"""Answers a request in the program; None leaves the request open for others."""

Names = list[str] | tuple[str, ...]
Paths = list[str] | list[Path] | tuple[StrPath, ...]

FOR_TESTS = "fake"
"""The agent that no person is told of: it plays scripts."""

OWN_SERVER = ("-P", "-m", "midflight.cli.main", "mcp")
"""How the arguments of midflight's own MCP server begin."""

SETUP = "leave setup out; the worker's user has it in [worktree] of their config.toml"

SERVERS_VARIABLE = "MIDFLIGHT_MCP_SERVERS"
"""The environment variable with MCP servers, as JSON, for sessions that are resumed."""

_SECRET = ("env", "mcp_servers")


class SessionOptions(TypedDict, total=False):
    """The options of a session as keyword arguments, for editors and type checkers.

    What each means stands in `Options`, which has the same names.
    """

    agent: str
    model: str | None
    cwd: StrPath
    repo: str | None
    ref: str | None
    setup: str | None
    name: str | None
    max_turns: int | None
    max_budget_usd: float | None
    timeout: float | None
    stall_timeout: float | None
    request_timeout: float
    on_usage_limit: UsageLimitChoice | None
    max_wait: float
    on_host_lost: HostLostChoice
    background_timeout: float | None
    max_depth: int | None
    max_children: int | None
    allowed_tools: Names | None
    disallowed_tools: Names | None
    permission_mode: PermissionMode
    plugins: Paths | list[Mapping[str, str]] | list[dict[str, str]] | None
    skills: Names | None
    mcp_servers: Mapping[str, Mapping[str, Any]] | None
    system_prompt: str | None
    env: Mapping[str, str]
    add_dirs: Paths | None
    effort: str | None
    setting_sources: Names | None
    trust: bool | None
    resume: str | None
    fork: bool
    spent_usd: float | None
    on_request: RequestHandler | None
    attended: bool | None
    agent_path: StrPath | None
    server_url: str | None


class Options(Limits, frozen=True, kw_only=True):
    """The options of one session; `Options.build` makes a checked one.

    ``None`` leaves the agent's default; an empty list is passed on as empty.

    agent: ``claude`` or another name that `midflight.agents` knows.
    model: as the agent names it.
    cwd: the directory to work in; default: the current one. With ``repo`` it is one of its folders.
    repo: the address of a repository (``https://…``, ``ssh://…``, ``USER@HOST:PATH`` or a path),
        without a password or token. The session works in a checkout of its own, and what it has
        done is pushed to ``refs/midflight/<its id>`` there at the end of each turn.
    ref: the branch, tag or commit of ``repo`` to begin with; default: what it has checked out.
    setup: a command for the shell that prepares the folder before the agent starts for the first
        time; its output is the session's first tool call.
    name: a short name for people; default: made from the task.
    max_turns: model calls in one turn (at least 1).
    max_budget_usd: US dollars over the whole session, resumed parts included.
    timeout: seconds that one turn may take by the wall clock.
    stall_timeout: seconds of silence that end a turn; default: a silence is only reported.
    request_timeout: seconds until a request without an answer is denied, unless a person attends;
        default: 600.
    on_usage_limit: what to do at the account's usage limit: ``wait`` for its reset and go on by
        itself, or ``fail``; default: ask, where a person can answer, else fail.
    max_wait: seconds that all waits for one usage limit may take together; default: 6 hours.
    on_host_lost: what to do when the worker that runs it is lost: ``rest``, the default, until the
        next message, or ``resume`` at once on another one, where the agent is told that it was cut.
    background_timeout: seconds that background work may go on without a sign of life, once no turn
        runs, before it is stopped; default: 600 while a `run` or a ``stream()`` waits for it and no
        person attends, else without end.
    max_depth: how deep agents may dispatch agents, this one counted; default: 3.
    max_children: how many sessions that its agent has begun may work at a time; default: 8.
    allowed_tools: tools that run without asking.
    disallowed_tools: tools that never run.
    permission_mode: ``default``, ``acceptEdits``, ``plan``, ``dontAsk`` or ``bypassPermissions``.
    plugins: folders of plugins.
    skills: names of skills to use.
    mcp_servers: name → ``{"command": …, "args": […], "env": {…}}``, or ``{"type": "http",
        "url": …}``.
    system_prompt: replaces the agent's own.
    env: variables added to the agent's environment.
    add_dirs: more folders that the agent may use.
    effort: how much the agent reasons, in its own words.
    setting_sources: which of the agent's settings to load; ``[]`` loads none. One that names
        ``project`` is the program's own decision about ``trust``.
    trust: whether the agent obeys what the folder itself has it run or redirect: True for this
        session, False for never; default: if the user has agreed to it with ``midflight trust``.
    resume: the agent's own id of an earlier conversation to resume.
    fork: whether to go on in a copy of that conversation, and leave it as it is.
    spent_usd: what that conversation has cost so far; it counts towards ``max_budget_usd``. None if
        that is not known: then the total is not known either, and the budget is for what follows.
    on_request: called with each permission request and question.
    attended: True if a person is there to answer (requests then have no deadline), False if not
        (they are denied at once); default: they are denied at once unless the session has a
        handler, a journal or a reader of its events, and else after ``request_timeout``.
    agent_path: the agent's program; default: the one that midflight finds.
    server_url: the address of an agent's server that runs already, such as an OpenCode server; its
        password is ``OPENCODE_SERVER_PASSWORD`` in ``env``, or else in this process's environment.
    """

    agent: str = "claude"
    model: str | None = None
    cwd: Path
    repo: str | None = None
    ref: str | None = None
    setup: str | None = None
    name: str | None = None
    allowed_tools: tuple[str, ...] | None = None
    disallowed_tools: tuple[str, ...] | None = None
    permission_mode: PermissionMode = "default"
    on_host_lost: HostLostChoice = "rest"
    plugins: tuple[Path, ...] = ()
    skills: tuple[str, ...] | None = None
    mcp_servers: Mapping[str, Mapping[str, Any]] = {}
    system_prompt: str | None = None
    env: Mapping[str, str] = {}
    add_dirs: tuple[Path, ...] = ()
    effort: str | None = None
    setting_sources: tuple[str, ...] | None = None
    trust: bool | None = None
    resume: str | None = None
    fork: bool = False
    spent_usd: Spent | None = 0.0
    on_request: RequestHandler | None = None
    attended: bool | None = None
    agent_path: Path | None = None
    server_url: str | None = None

    @classmethod
    def build(cls, **options: Any) -> Options:
        """Return the options, checked and in their final form.

        Raises `InvalidOption` that names the option, what is wrong and what would be right.
        """
        for name in options:
            if name not in cls.__struct_fields__:
                hint = did_you_mean(name, cls.__struct_fields__, "see midflight.Options")
                raise InvalidOption(name, "there is no such option", hint)
        own = {} if options.get("repo") is None else {"cwd": within}
        checks = {**CHECKS, **own}
        checked = {name: checks[name](name, value) for name, value in options.items()}
        if "cwd" not in checked:
            checked["cwd"] = Path() if own else directory("cwd", ".")
        if checked.get("ref") and not own:
            raise InvalidOption("ref", "there is no repository to have it", "name it with repo")
        if checked.get("fork") and not checked.get("resume"):
            raise InvalidOption("fork", "there is no conversation to copy", "name it with resume")
        return cls(**checked)

    @classmethod
    def build_elsewhere(cls, **options: Any) -> Options:
        """Return those of a session on another machine, where its folders are looked at.

        Raises `InvalidOption`.
        """
        if options.get("agent_path"):
            raise InvalidOption("agent_path", "the machine that it runs on has its own program")
        if options.get("setup") is not None:
            raise InvalidOption("setup", "what prepares a folder there is said there", SETUP)
        own = options.get("repo") is not None
        cwd = None if own else any_folder("cwd", options.pop("cwd", "."))
        more = items("add_dirs", options.pop("add_dirs", None) or ())
        add_dirs = tuple(any_folder("add_dirs", item) for item in more)
        built = cls.build(**options, **({} if cwd is None else {"cwd": "/"}))
        return msgspec.structs.replace(built, cwd=cwd or built.cwd, add_dirs=add_dirs)

    @property
    def place(self) -> str:
        """What people call where the session works."""
        return self.cwd.name or (Remote.parse(self.repo).name if self.repo else "")

    def __repr__(self) -> str:
        """Show the options that differ from the default, without values that may be secret."""
        shown = {
            name: getattr(self, name)
            for name, default in zip(self.__struct_fields__, self.__struct_defaults__, strict=True)
            if getattr(self, name) not in (default, {})
        }
        fields = ", ".join(f"{name}={_without_secrets(name, shown[name])}" for name in shown)
        return f"Options({fields})"


def check_option(name: str, value: object) -> None:
    """Raise `InvalidOption` if an option cannot have this value."""
    CHECKS[name](name, value)


_F = TypeVar("_F", bound=Callable[..., object])


def documented(function: _F) -> _F:
    """Add every option and its meaning to the docstring of a function that takes them."""
    if function.__doc__ and Options.__doc__:  # Python -OO has neither
        options = inspect.cleandoc(Options.__doc__).partition("\n")[2]
        function.__doc__ = f"{inspect.cleandoc(function.__doc__)}\n{options}"
    return function


def _without_secrets(name: str, value: Any) -> str:
    """Return an option's value as text; of ``env`` and ``mcp_servers`` only the names."""
    return repr(sorted(value) if name in _SECRET else value)
