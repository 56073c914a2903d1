"""Carries out the tools, through the same client that everything else goes through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight._util.sanitize import exact_line, one_name
from midflight.client.client import Client
from midflight.errors import Conflict, InvalidInput, MidflightError, NotAllowed, NotFound
from midflight.events import Request
from midflight.git.repository import branch_of
from midflight.info import SessionInfo
from midflight.mcp import arguments as t
from midflight.mcp import results as r
from midflight.mcp.bounds import DispatchBounds
from midflight.mcp.dispatch import Dispatcher
from midflight.mcp.worktree import take_over
from midflight.state.session import BUSY

MAX_NEW_CHARS = 3_000
"""How much of what is new is returned at once; several sessions share it."""

MIN_NEW_CHARS = 600

Progress = Callable[[str], Awaitable[None]]
"""Reports to a waiting client what happens meanwhile."""


class Handlers:
    """The tools, and what the model has seen of each session and which it used last."""

    def __init__(self, client: Client, bounds: DispatchBounds) -> None:
        """``client`` has been entered."""
        self._client = client
        self._seen: dict[str, int] = {}
        self._handles: dict[str, dict[str, str]] = {}
        self._shown: dict[str, dict[str, r.Asked]] = {}
        self._used: list[str] = []
        self._attending: dict[str, asyncio.Task[None]] = {}
        self._dispatcher = Dispatcher(client, bounds)

    @property
    def answers(self) -> bool:
        """Whether any request may be answered here."""
        return bool(self._client.grant)

    async def close(self) -> None:
        """Stop attending the sessions, which go on."""
        for task in self._attending.values():
            task.cancel()
        await asyncio.gather(*self._attending.values(), return_exceptions=True)

    # Which session ------------------------------------------------------------------------

    async def _find(self, name: str) -> SessionInfo:
        """Return a session by its name; without a name it is the one used last."""
        if not name and not self._used:
            raise NotFound("no session has been used here yet", "give its name; see sessions")
        info = await self._client.info(name or self._used[-1])
        self._use(info.id)
        return info

    def _use(self, session: str) -> None:
        if session in self._used:
            self._used.remove(session)
        self._used.append(session)

    def _attend(self, session: str) -> None:
        """Attend a session while it works: its requests have no deadline then.

        Only a caller that may answer every request does.
        """
        running = self._attending.get(session)
        if self._client.grant.everything and (running is None or running.done()):
            self._attending[session] = asyncio.create_task(self._stay(session))

    async def _stay(self, session: str) -> None:
        with contextlib.suppress(MidflightError):
            async with await self._client.session(session) as entered:
                async for _ in entered.stream():
                    pass

    # Tools that change something ----------------------------------------------------------

    async def dispatch(self, args: t.DispatchArgs) -> r.Report:
        """Start a session."""
        session, notes = await self._dispatcher.start(args, self._used)
        self._use(session.id)
        self._attend(session.id)
        report = await self._report(session.id, "wait for it")
        return msgspec.structs.replace(report, notes=notes)

    async def send(self, args: t.SendArgs) -> r.Report:
        """Send a message: steer, queue, or resume."""
        return await self._send(args.session, c.Send(text=args.text, delivery=args.delivery))

    async def redirect(self, args: t.RedirectArgs) -> r.Report:
        """Stop what runs, and do this instead."""
        command = c.Redirect(text=args.text, drop_queued=args.drop_queued)
        return await self._send(args.session, command)

    async def interrupt(self, args: t.InterruptArgs) -> r.Report:
        """Stop what runs."""
        info = await self._find(args.session)
        if info.host is not None:
            await self._client.carry_out(info.id, c.Interrupt(keep_queued=args.keep_queued))
        return await self._report(info.id)

    async def stop(self, args: t.StopArgs) -> r.Report:
        """End a session."""
        info = await self._find(args.session)
        if info.status != "closed":
            await self._client.carry_out(info.id, c.Close())
        return await self._report(info.id)

    async def _send(self, name: str, command: c.Send | c.Redirect) -> r.Report:
        info = await self._find(name)
        await self._client.carry_out(info.id, command)
        self._attend(info.id)
        return await self._report(info.id, "wait for it")

    async def answer(self, args: t.AnswerArgs) -> r.Report:
        """Answer a request that has been shown here; none that has not."""
        info = await self._find(args.session)
        handles = {self._handle(info.id, one.request): one for one in info.pending}
        shown = self._shown.get(info.id, {})
        known = [handle for handle in handles if handle in shown]
        wanted = args.request or (known[0] if len(known) == len(handles) == 1 else "")
        if not handles:
            raise InvalidInput(
                f"nothing waits in session {info.name}", "read shows what was asked and decided"
            )
        if wanted not in known:
            names = ", ".join(f"{handle} ({_what(handles[handle])})" for handle in known)
            raise InvalidInput(
                f"session {info.name} has {len(handles)} requests that wait; say which",
                f"shown so far: {names or 'none'}; wait shows what each would do",
            )
        if args.decision == "allow" and not shown[wanted].whole:
            raise NotAllowed("the request is too long to be shown whole", "the user can answer it")
        await self._client.carry_out(info.id, _answer(handles[wanted], args))
        self._attend(info.id)
        done = "denied" if args.decision == "deny" else "answered" if args.answers else "allowed"
        report = await self._report(info.id, "wait for it")
        what = f"{done} {wanted} ({_what(handles[wanted])})"
        return msgspec.structs.replace(report, answered=what)

    async def worktree(self, args: t.WorktreeArgs) -> r.WorktreeResult:
        """Take over what a session has done in a worktree of its own, or throw it away."""
        info = await self._find(args.session)
        done = await take_over(self._client, info, args.action)
        if done.untrusted_conflicts:
            self._attend(info.id)
        return done

    # Tools that look ----------------------------------------------------------------------

    async def wait(self, args: t.WaitArgs, progress: Progress) -> r.Reports:
        """Wait until the first of some sessions has settled, or the time is over."""
        names = args.sessions or [""]
        infos = {info.id: info for info in [await self._find(name) for name in names]}
        news = [info for info in infos.values() if _is_settled(info) and self._is_new(info)]
        busy = [info for info in infos.values() if not _is_settled(info)]
        over = False
        if busy and not news:
            over = not await self._first(busy, args.timeout_s, progress)
        most = max(MIN_NEW_CHARS, MAX_NEW_CHARS // len(infos))
        reports = [await self._report(session, most=most) for session in infos]
        return r.Reports(sessions=reports, timed_out=over)

    def _is_new(self, info: SessionInfo) -> bool:
        return info.seq > self._seen.get(info.id, 0)

    async def _first(self, infos: list[SessionInfo], timeout_s: float, progress: Progress) -> bool:
        """Wait until one of them has settled; return whether one has."""
        waiting = [asyncio.create_task(self._until_settled(info, progress)) for info in infos]
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return bool(done)

    async def _until_settled(self, info: SessionInfo, progress: Progress) -> None:
        attend = self._client.grant.everything
        async with await self._client.session(info.id, attend=attend) as session:
            if session.pending:
                return
            await progress(f"{info.name}: {session.status}")
            async for event in session.stream():
                if session.pending:
                    return
                if isinstance(event, (e.ToolStarted, e.TurnEnded)):
                    await progress(f"{info.name}: {r.activity([event]) or 'turn ended'}")

    async def sessions(self, args: t.SessionsArgs) -> r.Listing:
        """List sessions."""
        infos = await self._client.sessions(status=args.status or None, cwd=args.cwd or None)
        names = {info.id: info.name for info in infos}
        entries = [
            r.ListedSession(
                session=info.name,
                status=info.status,
                agent=info.agent,
                cwd=info.cwd,
                asks=len(info.pending),
                turns=info.turns,
                total_cost_usd=info.total_cost_usd,
                parent=names.get(info.parent or "", info.parent or ""),
                branch=branch_of(info.cwd),
            )
            for info in infos[: args.limit]
        ]
        return r.Listing(sessions=entries, left_out=max(0, len(infos) - args.limit))

    async def read(self, args: t.ReadArgs) -> r.Page:
        """Return a page of a turn."""
        info = await self._find(args.session)
        turn = args.turn or info.turns
        text, more = await self._part(info.id, turn, args.offset, args.max_chars)
        return r.Page(
            session=info.name,
            turn=turn,
            turns=info.turns,
            untrusted_text=r.LEAD + text,
            next_offset=args.offset + args.max_chars if more else 0,
        )

    async def _part(self, session: str, turn: int, offset: int, most: int) -> tuple[str, bool]:
        """Return a part of a turn's transcript, and whether more follows; only that is kept."""
        text, passed = "", 0
        async for page in self._client.pages(session):
            new = r.transcript(event for event in page if event.turn == turn)
            text += "\n" * bool(new and (text or passed)) + new
            cut = min(len(text), offset - passed)
            text, passed = text[cut:], passed + cut
            if len(text) > most:
                break
        return text[:most], len(text) > most

    async def diff(self, args: t.DiffArgs) -> r.Changes:
        """Return what has changed in the session's folder."""
        info = await self._find(args.session)
        try:
            diff = await self._client.diff(info.id, args.paths)
        except Conflict as error:
            error.hint = "read says what was done"
            raise
        return r.changes(info, diff, args.max_chars)

    # Reports ------------------------------------------------------------------------------

    async def _report(self, session: str, hint: str = "", most: int = MAX_NEW_CHARS) -> r.Report:
        """Return what is new in a session, and remember that it has been shown."""
        info = await self._client.info(session, exact=True)
        new, left_out, ended = "", 0, list[r.Ended]()
        async for page in self._client.pages(session, self._seen.get(session, 0)):
            self._seen[session] = page[-1].seq or 0
            ended += [_ended(event) for event in page if isinstance(event, e.TurnEnded)]
            activity = r.activity(page)
            new += "\n" * bool(new and activity) + activity
            left_out += max(0, len(new) - most)
            new = new[-most:]
        asks = [r.as_asked(one, self._handle(session, one.request)) for one in info.pending]
        self._shown.setdefault(session, {}).update({each.request: each for each in asks})
        return r.Report(
            session=info.name,
            status=info.status,
            turns=info.turns,
            total_cost_usd=_rounded(info.total_cost_usd),
            branch=branch_of(info.cwd),
            ended=ended,
            asks=asks,
            rules=[exact_line(rule) for rule in info.rules],
            untrusted_new=new and r.LEAD + new,
            left_out=left_out,
            next=self._next(info, asks) or (hint if info.status in BUSY else ""),
        )

    def _next(self, info: SessionInfo, asks: list[r.Asked]) -> str:
        if asks:
            may = any(map(self._client.grant.of(info.id, info.name).covers, info.pending))
            return "answer it, or ask the user" if may else "the user has to answer it"
        if info.waits_for:
            return f"it waits for {info.waits_for}"
        if info.status == "waiting":
            return "it waits for the reset of the account's usage limit"
        return ""

    def _handle(self, session: str, request: str) -> str:
        """Return the short name of a request; it never comes to mean another one."""
        known = self._handles.setdefault(session, {})
        return known.setdefault(request, f"r{len(known) + 1}")


def _is_settled(info: SessionInfo) -> bool:
    """Whether there is nothing to wait for: it is done, or waits for an answer."""
    return info.status not in BUSY or bool(info.pending)


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 6)


def _ended(event: e.TurnEnded) -> r.Ended:
    return r.Ended(
        turn=event.turn or 0,
        status=event.status,
        reason=event.reason,
        cost_usd=_rounded(event.cost_usd),
    )


def _what(request: Request) -> str:
    """Return what kind of request it is; what it would do are another agent's words."""
    if isinstance(request, e.PermissionRequested):
        return f"permission {one_name(request.name)}"
    return "question"


def _answer(request: Request, args: t.AnswerArgs) -> c.Answer:
    if args.decision == "deny" or isinstance(request, e.PermissionRequested):
        return c.Answer(request=request.request, decision=args.decision, reason=args.reason)
    if len(args.answers) != len(request.questions):
        raise InvalidInput(f"{len(request.questions)} answers are needed, one for each question")
    answers: dict[str, str | list[str]] = {
        question.question: [part.strip() for part in answer.split(",")]
        if question.multiple
        else answer
        for question, answer in zip(request.questions, args.answers, strict=True)
    }
    return c.Answer(request=request.request, answers=answers)
