"""What happens inside of a live session by itself: the rules, an agent and the events, wired."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping

from midflight import events as e
from midflight._util.aio import Alarm
from midflight.agents import create
from midflight.agents.base import Agent, Support
from midflight.errors import Conflict
from midflight.journal.base import Past, Record, Summary
from midflight.lineage import marked
from midflight.options import Options, slug
from midflight.rules.actions import Action, Back, Hand
from midflight.rules.context import Limits
from midflight.rules.session import SessionRules
from midflight.session.agent_runner import AgentRunner
from midflight.session.base import Surface
from midflight.session.event_log import EventLog
from midflight.session.recorder import Recorder, summary
from midflight.session.request_handler import RequestHandlerRunner
from midflight.state.session import SessionStatus, State

__all__ = ["Workings"]

NOT_ENTERED = ("the session has not been entered", "use: async with midflight.dispatch(…)")

Factory = Callable[[Options], Agent]


class Workings(Surface):
    """The inside of a session; what can be done to it from outside is added by `Session`."""

    def __init__(
        self,
        options: Options,
        task: str | None = None,
        agent: Factory = create,
        *,
        record: Record | None = None,
        past: Past | None = None,
        ready: Agent | None = None,
    ) -> None:
        """Prepare a session; nothing is started. ``task`` is the first message.

        With a ``record`` nothing is shown before it is on disk; with a ``past`` the session goes
        on from there, and its agent is started by the next message. ``ready`` is an agent that
        has been started with these options.
        """
        name = options.name or slug(task or options.cwd.name)
        log = EventLog(held=record is not None)
        super().__init__(record.session if record else uuid.uuid4().hex, name, log)
        self._options = options
        self._task = task
        self._attended = options.attended
        self._recorder = Recorder(record, log, self._informed, self.sever)
        self._kept = record is not None
        self._past = past
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handling = RequestHandlerRunner(self, options.on_request, self._waits)
        self._alarm = Alarm(self._look)
        self._closer: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._idle_since: float | None = None
        self._rules = SessionRules(
            Limits(**{name: getattr(options, name) for name in Limits.__struct_fields__}),
            tell=self._tell,
            act=self._act,
            attended=self._somebody,
            can=lambda capability: self.capabilities[capability],
            mode=options.permission_mode,
            spent_usd=options.spent_usd,
        )
        self._conductor = AgentRunner(
            self._rules,
            marked(options, self.id, kept=self._kept),
            agent,
            after=self._after,
            before=self._before,
            ready=ready,
        )

    # What can be seen ---------------------------------------------------------------------

    @property
    def _state(self) -> State:
        return self._rules.state

    @property
    def _quiet(self) -> bool:
        return self._rules.quiet

    @property
    def status(self) -> SessionStatus:
        """``starting``, ``running``, ``waiting`` (for an answer), ``idle`` or ``closed``."""
        if self._log.error is not None:
            return "closed"
        starting = self._state.ended is None and not self._conductor.up
        return "starting" if starting else self._rules.status

    @property
    def options(self) -> Options:
        """The options as they were given; see `midflight.Options`."""
        return self._options

    @property
    def capabilities(self) -> Mapping[str, Support]:
        """For each thing an agent can do: supported, emulated by midflight, or not."""
        return self._conductor.agent.capabilities

    @property
    def agent_session(self) -> str | None:
        """The agent's own id of the conversation, for `Options.resume`; None before it is known."""
        return super().agent_session or self._options.resume

    @property
    def permission_mode(self) -> str:
        """The permission mode in force."""
        return self._rules.mode

    def _check_entered(self) -> None:
        if self._loop is None:
            raise Conflict(*NOT_ENTERED)

    # Telling -------------------------------------------------------------------------------

    def _tell(self, event: e.Event) -> e.Event:
        """Give an event its place, and let everybody see it who waits for it."""
        seq = self._log.last_seq + 1 if event.durable else None
        event = e.stamp(event, seq=seq, session=self.id, turn=event.turn, time=time.time())
        self._log.append(event)
        if seq is not None:
            self._recorder.append(event)
        return event

    def _informed(self, event: e.Event) -> None:
        """Tell those who wait for a durable event that may be seen now."""
        self._inform(event)
        if isinstance(event, (e.PermissionRequested, e.QuestionRequested)):
            self._handling.call(event)

    async def _before(self, action: Action) -> None:
        """Do nothing to the agent before it is on disk why."""
        await self._recorder.written()

    def sever(self, error: Exception) -> None:
        """The journal takes no more: end the agent, and show nothing that is not on disk.

        What became of the messages cannot be said here; whoever goes on from the journal will.
        """
        if self._log.ended:
            return
        for message in list(self._messages.values()):
            message.lose(str(error))
        self._log.end(error)
        self._recorder.fail(error)
        self._handling.close()
        self._closer = asyncio.get_running_loop().create_task(self._abandon())

    def _waits(self, request: str) -> bool:
        return request in self._rules.state.requests.pending

    def _somebody(self) -> bool | None:
        if self._attended is not None:
            return self._attended
        somebody = self._options.on_request or self._kept or self._log.read_by_somebody
        return None if somebody else False

    async def _abandon(self) -> None:
        await self._conductor.abandon()
        await self._recorder.close()
        self._over.set()

    # Time ---------------------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _act(self, action: Action) -> None:
        if isinstance(action, (Hand, Back)):  # noted with what has led to it: one commit for both
            self._recorder.handed(action.message, back=isinstance(action, Back))
        if not isinstance(action, Back):
            self._conductor.put(action)

    def _after(self) -> None:
        """After every input: let readers look again, and set the clock for the next deadline."""
        self._log.wake()
        if not self._rules.quiet:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = self._now()
        self._recorder.note(self._summary)
        self._alarm.set(None if self._log.ended else self._rules.due())

    def _look(self) -> None:
        self._rules.look(self._now())
        self._after()

    def _summary(self) -> Summary:
        return summary(
            self._state,
            status=self.status,
            model=self._conductor.model or "",
            permission_mode=self._rules.mode,
        )
