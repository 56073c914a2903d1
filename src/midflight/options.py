"""The options of a session, checked before anything starts."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar, get_args

import msgspec
from msgspec import Meta

from midflight._util.files import NOT_TEXT, is_text, shown
from midflight._util.text import did_you_mean, slug
from midflight.commands import Answer
from midflight.errors import InvalidOption
from midflight.events import PermissionRequested, QuestionRequested
from midflight.git.remote import REMOTES, Remote, is_ref
from midflight.values import Amount, Count, HostLostChoice, Limits, PermissionMode, UsageLimitChoice

__all__ = [
    "PERMISSION_MODES",
    "Options",
    "RequestHandler",
    "SessionOptions",
    "check_option",
    "documented",
    "slug",
]

PERMISSION_MODES: tuple[PermissionMode, ...] = get_args(PermissionMode)

RequestHandler = Callable[
    [PermissionRequested | QuestionRequested], Answer | Awaitable[Answer | None] | None
]
"""Answers a request in the program; None leaves the request open for others."""

StrPath = str | os.PathLike[str]
Names = list[str] | tuple[str, ...]
Paths = list[str] | list[Path] | tuple[StrPath, ...]

FOR_TESTS = "fake"
"""The agent that no person is told of: it plays scripts."""

OWN_SERVER = ("-P", "-m", "midflight.cli.main", "mcp")
"""How the arguments of midflight's own MCP server begin."""

SETUP = "leave setup out; the worker's user has it in [worktree] of their config.toml"

SERVERS_VARIABLE = "MIDFLIGHT_MCP_SERVERS"
"""The environment variable with MCP servers, as JSON, for sessions that are resumed."""

_Spent = Annotated[float, Meta(ge=0, le=sys.float_info.max)]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_SKILL = re.compile(r"[\w:.@/-]+")
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
    spent_usd: _Spent | None = 0.0
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
        own = {} if options.get("repo") is None else {"cwd": _within}
        checks = {**_CHECKS, **own}
        checked = {name: checks[name](name, value) for name, value in options.items()}
        if "cwd" not in checked:
            checked["cwd"] = Path() if own else _directory("cwd", ".")
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
        cwd = None if own else _path("cwd", options.pop("cwd", "."))
        more = _items("add_dirs", options.pop("add_dirs", None) or ())
        add_dirs = tuple(_path("add_dirs", item) for item in more)
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
    _CHECKS[name](name, value)


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


def _typed(kind: Any, expected: str) -> Callable[[str, Any], Any]:
    """Return a check by type and bounds alone."""

    def check(name: str, value: Any) -> Any:
        try:
            return msgspec.convert(value, kind)
        except (msgspec.ValidationError, OverflowError) as error:
            raise InvalidOption(name, f"expected {expected}, got {value!r}") from error

    return check


_count = _typed(Count | None, "a whole number from 1 up")


def _one_of(*words: str | None) -> Callable[[str, Any], Any]:
    """Return a check for one of a few words."""

    def check(name: str, value: Any) -> Any:
        if value not in words:
            raise InvalidOption(name, f"{value!r} is not one of {', '.join(filter(None, words))}")
        return value

    return check


def _plain(name: str, value: Any) -> str:
    """Return text that is safe as one argument of a command line: no option, no control code."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidOption(name, f"expected text, got {value!r}")
    if value.startswith("-"):
        raise InvalidOption(name, f"{value!r} looks like a command-line option")
    if _CONTROL.search(value):
        raise InvalidOption(name, "control characters and lone surrogates are not allowed")
    return value


def _optional_plain(name: str, value: Any) -> str | None:
    return None if value is None else _plain(name, value)


def _prose(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or _NOT_TEXT.search(value)):
        raise InvalidOption(name, "expected text without NUL and lone surrogates")
    return value


def _items(name: str, value: Any) -> Iterable[Any]:
    if isinstance(value, (str, bytes, Path, Mapping)) or not isinstance(value, Iterable):
        raise InvalidOption(name, f"expected a list, got {value!r}", f"write [{value!r}]")
    return value


def _names(name: str, value: Any) -> tuple[str, ...] | None:
    return None if value is None else tuple(_plain(name, item) for item in _items(name, value))


def _tools(name: str, value: Any) -> tuple[str, ...] | None:
    """Return names of tools, each with what it is about in brackets or without."""
    tools = _names(name, value)
    for tool in tools or ():
        before, bracket, about = tool.partition("(")
        if not before or ")" in before or (bracket and not about.endswith(")")):
            raise InvalidOption(
                name, f"{tool!r} is no tool: its brackets do not match", 'as in "Bash(npm test)"'
            )
    return tools


def _absolute(name: str, value: StrPath) -> Path:
    """Return an absolute path; a relative one begins in the current folder."""
    path = Path(value).expanduser()
    try:
        path = path.absolute()
    except FileNotFoundError:
        raise InvalidOption(
            name, "the current folder was deleted", "cd to another one, or name one"
        ) from None
    if not is_text(path):
        raise InvalidOption(name, f"{shown(path)} {NOT_TEXT}", "rename it, or name another one")
    return path


def _path(name: str, value: Any) -> Path:
    """Return the absolute path of a folder, whether it is there or not."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise InvalidOption(name, f"expected a folder, got {value!r}")
    if "\0" in str(value):
        raise InvalidOption(name, "a path cannot contain NUL")
    return _absolute(name, value)


def _directory(name: str, value: Any) -> Path:
    """Return a directory that exists and can be entered, by the path that no link leads to.

    Agents compare paths as text, and each resolves others of them.
    """
    path = _path(name, value)
    try:
        if not path.exists():
            raise InvalidOption(name, f"{path} does not exist")
        if not path.is_dir():
            raise InvalidOption(name, f"{path} is not a folder")
    except OSError as error:
        raise InvalidOption(name, f"{path} cannot be used: {error.strerror}") from error
    if not os.access(path, os.R_OK | os.X_OK):
        raise InvalidOption(name, f"{path} cannot be read", "check its permissions")
    return _real(name, path)


def _real(name: str, path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidOption(name, f"{path} cannot be resolved: {error}") from error


def _within(name: str, value: Any) -> Path:
    """Return a folder of a repository, relative to it; whether it has one is seen later."""
    text = str(value) if isinstance(value, (str, os.PathLike)) else ""
    path = Path(text)
    if path.is_absolute() or not {"..", ".git", "~"}.isdisjoint(path.parts):
        raise InvalidOption(name, f"{text!r} is no folder within the repository", "such as api/src")
    return Path() if path == Path() else Path(_plain(name, text))


def _repository(name: str, value: Any) -> str | None:
    """Return the address of a repository; an error does not repeat what may be a secret."""
    if value is None:
        return None
    try:
        return Remote.parse(value if isinstance(value, str) else "").url
    except ValueError as error:
        raise InvalidOption(name, str(error), REMOTES) from None


def _ref(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and is_ref(value)):
        raise InvalidOption(name, f"{value!r} cannot name a branch, a tag or a commit")
    return value


def _command(name: str, value: Any) -> str | None:
    text = _prose(name, value)
    if text is not None and not text.strip():
        raise InvalidOption(name, "there is nothing to run")
    return text


def _directories(name: str, value: Any) -> tuple[Path, ...]:
    return tuple(_directory(name, item) for item in _items(name, () if value is None else value))


def _plugins(name: str, value: Any) -> tuple[Path, ...]:
    """Return folders, given as paths or ``{"type": "local", "path": …}``; the agent checks them."""
    paths = []
    for item in _items(name, () if value is None else value):
        path = item.get("path") if isinstance(item, Mapping) else item
        if not isinstance(path, (str, os.PathLike)):
            raise InvalidOption(name, f"expected a folder, got {item!r}")
        paths.append(_absolute(name, _plain(name, str(path))))
    return tuple(paths)


def _type_name(value: object) -> str:
    """Return the type's name of a value that may be secret."""
    return type(value).__name__


def _skills(name: str, value: Any) -> tuple[str, ...] | None:
    """Return names of skills. They become rules for tools, so they may contain nothing else."""
    names = _names(name, value)
    for skill in names or ():
        if not _SKILL.fullmatch(skill):
            raise InvalidOption(name, f"{skill!r} is not the name of a skill")
    return names


def _environment(name: str, value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidOption(name, f"expected a mapping of names to values, not {_type_name(value)}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise InvalidOption(name, f"{key!r} and its value must be text")
        if not key or "=" in key or "\0" in key + text:
            raise InvalidOption(name, f"{key!r} cannot be an environment variable")
    return dict(value)


def _servers(name: str, value: Any) -> Mapping[str, Mapping[str, Any]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and isinstance(server, Mapping) for key, server in value.items()
    ):
        raise InvalidOption(name, "expected a mapping of server names to their settings")
    for key, server in value.items():
        _check_server(name, key, server)
    return {key: dict(server) for key, server in value.items()}


def _check_server(name: str, key: str, server: Mapping[str, Any]) -> None:
    """Raise `InvalidOption` that names the setting, without its value: that may be secret."""
    if not isinstance(server.get("command", server.get("url")), str):
        raise InvalidOption(name, f"server {key!r} needs a command or a url")
    for part in ("type", "command", "url"):
        if part in server and not isinstance(server[part], str):
            raise InvalidOption(name, f"{part} of server {key!r} is not text")
    for part in ("env", "headers"):
        values = server.get(part)
        if values is not None and not (
            isinstance(values, Mapping)
            and all(isinstance(text, str) for text in (*values, *values.values()))
        ):
            raise InvalidOption(name, f"{part} of server {key!r} is a mapping of text to text")
    words = server.get("args")
    if words is not None and not (
        isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words)
    ):
        raise InvalidOption(name, f"args of server {key!r} is a list of text")
    try:
        msgspec.json.encode(server)
    except UnicodeEncodeError:
        raise InvalidOption(
            name, f"server {key!r} has a lone surrogate, which is no text"
        ) from None
    except (TypeError, ValueError) as error:
        raise InvalidOption(name, f"server {key!r} is not plain data: {error}") from error


def _address(name: str, value: Any) -> str | None:
    if value is not None and not re.match(r"https?://[^/\s@?#]+/?$", _plain(name, value)):
        raise InvalidOption(name, f"expected http://host:port, got {value!r}")
    return None if value is None else str(value).rstrip("/")


def _file(name: str, value: Any) -> Path | None:
    return None if value is None else _absolute(name, _plain(name, str(value)))


def _handler(name: str, value: Any) -> RequestHandler | None:
    if value is not None and not callable(value):
        raise InvalidOption(name, f"expected a function, got {value!r}")
    return value  # type: ignore[no-any-return]  # callable() cannot tell mypy the signature


_amount = _typed(Amount | None, "a finite number above 0")
_seconds = _typed(Amount, "a finite number of seconds above 0")

_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "agent": _plain,
    **dict.fromkeys(("model", "name", "effort", "resume"), _optional_plain),
    "server_url": _address,
    "cwd": _directory,
    "repo": _repository,
    "ref": _ref,
    "setup": _command,
    **dict.fromkeys(("max_turns", "max_depth", "max_children"), _count),
    **dict.fromkeys(("max_budget_usd", "timeout", "stall_timeout", "background_timeout"), _amount),
    **dict.fromkeys(("request_timeout", "max_wait"), _seconds),
    "spent_usd": _typed(_Spent | None, "a finite number from 0 up"),
    "fork": _typed(bool, "True or False"),
    **dict.fromkeys(("allowed_tools", "disallowed_tools"), _tools),
    "setting_sources": _names,
    "skills": _skills,
    "permission_mode": _one_of(*PERMISSION_MODES),
    "on_usage_limit": _one_of(None, *get_args(UsageLimitChoice)),
    "on_host_lost": _one_of(*get_args(HostLostChoice)),
    "plugins": _plugins,
    "mcp_servers": _servers,
    "system_prompt": _prose,
    "env": _environment,
    "add_dirs": _directories,
    "on_request": _handler,
    **dict.fromkeys(("attended", "trust"), _typed(bool | None, "True, False or None")),
    "agent_path": _file,
}
