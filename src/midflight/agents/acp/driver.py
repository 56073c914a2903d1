"""The driver for any agent that speaks the Agent Client Protocol, version 1, over its input/output.

What one agent can do and another cannot is read from what it announces, never from its name.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from midflight import events as e
from midflight._util.lines import MALFORMED
from midflight._util.redact import Redactor, server_secrets
from midflight.agents.acp import program
from midflight.agents.acp.content import Prompt, as_text, blocks
from midflight.agents.acp.effects import effects_of_call
from midflight.agents.acp.jsonrpc import METHOD_NOT_FOUND, JsonRpc, RpcError, RpcResponse
from midflight.agents.acp.launch_settings import LaunchSettings
from midflight.agents.acp.permissions import AcpPermissions
from midflight.agents.acp.requests import AcpRequests
from midflight.agents.acp.results import AUTH_REQUIRED
from midflight.agents.acp.settings import Settings
from midflight.agents.acp.trust import launch_settings, obeyed_by
from midflight.agents.acp.updates import UpdateTranslator
from midflight.agents.base import (
    Died,
    Dropped,
    Finished,
    Memory,
    Reply,
    Signal,
    Support,
    Taken,
    Up,
)
from midflight.agents.process.process import AgentProcess
from midflight.agents.process.tool_processes import OpenCalls, last_signals
from midflight.agents.shared.obeyed import protected
from midflight.effects import Effect
from midflight.errors import AgentFailed, AgentUnavailable, ConversationLost, UnsupportedOption
from midflight.images import Image
from midflight.options import Options
from midflight.state.pricing import has_price
from midflight.trust.decision import Standing, decide, look_again
from midflight.values import PermissionMode

HANDSHAKE_TIMEOUT_S = 45.0
"""How long an agent may take for one step until its session stands; some look for updates first."""

LONGEST_HINT = 500
"""How much an error quotes of what an agent says about its login."""

CHANGE_TIMEOUT_S = 10.0
"""How long an agent may take to change its mode or model."""


class AcpAgent:
    """One conversation with an ACP agent."""

    capabilities: Mapping[str, Support]
    limits: Mapping[str, str]
    # What holds for every agent; each adds what it announces when it has started.
    capabilities, limits = program.can(
        program.Announced({}), Settings({}), program.AcpProgram("acp", ())
    )

    def __init__(self, options: Options) -> None:
        """Take the options; nothing is started. Raises `UnsupportedOption`."""
        self._options = options
        self._program = program.AcpProgram.of(options)
        program.refuse(options, self._program)
        self.name = self._program.name
        self._know(program.Announced({}), Settings({}))
        self._env = self._program.environment(options)
        self._obeyed = obeyed_by(options.agent)
        self._permissions = AcpPermissions(options)
        self._secrets = server_secrets(options.mcp_servers)
        redact = Redactor(self._env, self._secrets)
        paid = None if options.resume is None else options.spent_usd or 0.0
        self._translate = UpdateTranslator(
            self._permissions, redact, paid, tells_money=self._program.cost == "supported"
        )
        self._process = AgentProcess()
        self._rpc = JsonRpc(self._process, self._received, self._report_noise, redact)
        self._reader: asyncio.Task[None] | None = None
        self._signals: asyncio.Queue[Signal] = asyncio.Queue()
        self._session = ""
        self._requests = AcpRequests(self._rpc, self._permissions, self._translate, self._report)
        self._later: deque[tuple[str, Prompt]] = deque()
        self._calls = OpenCalls(self._process, told_late=True)

    # Starting and ending ------------------------------------------------------------------

    async def check(self) -> None:
        """Look for the program, and at what is at stake here."""
        self._program.found(self._env)
        await asyncio.to_thread(self._look)

    async def start(self, memory: Memory | None = None) -> None:
        """Start the program, greet it and open the session; an unusable agent is ended."""
        del memory  # ACP hands out none
        argv = self._program.found(self._env)
        standing, more = await asyncio.to_thread(self._look)
        if standing.notice:
            self._report([e.Notice(level="warning", text=standing.notice)])
        env = {**self._env, **more.env}
        await self._process.start(argv, env, self._options.cwd, secrets=self._secrets)
        self._reader = asyncio.get_running_loop().create_task(self._rpc.read())
        try:
            await self._greet(standing, more)
        except BaseException as error:
            await self.kill()
            if isinstance(error, AgentFailed):
                kind = ConversationLost if isinstance(error, ConversationLost) else AgentFailed
                text = f"{self.name} did not start: {error.message}: {self._process.last_words()}"
                raise kind(text, "midflight doctor") from error
            raise

    def _look(self) -> tuple[Standing, LaunchSettings]:
        """Return how to start here, and the settings for it.

        Raises `UnsupportedOption` where the agent has none that would do: it does not start.
        """
        standing = decide(self._options, self._obeyed)
        self._permissions.protected = protected(self._options, standing.stake)
        return standing, launch_settings(self._options, self._env, standing)

    async def _greet(self, standing: Standing, more: LaunchSettings) -> None:
        answer = await self._rpc.call("initialize", program.greeting(), HANDSHAKE_TIMEOUT_S)
        announced = program.Announced(answer)
        announced.check(self.name)
        method, params = program.session(self._options, announced, more.meta)
        try:
            response = await self._rpc.call(method, params, HANDSHAKE_TIMEOUT_S)
        except RpcError as error:
            if error.error.get("code") != AUTH_REQUIRED:
                if self._options.resume is None:
                    raise
                raise ConversationLost(error.message) from error
            said = "; ".join(filter(None, announced.logins)) or str(error.error.get("message"))
            hint = self._program.login or f"it says: {' '.join(said.split())[:LONGEST_HINT]}"
            raise AgentUnavailable(f"{self.name} wants a login", hint) from None
        self._session = str(response.get("sessionId") or self._options.resume or "")
        await asyncio.to_thread(look_again, self._options, self._obeyed, standing)
        settings = self._translate.settings = Settings(response)
        self._know(announced, settings)
        await self.set_permission_mode(self._options.permission_mode)
        if self._options.model is not None:
            await self.set_model(self._options.model)
        if self._options.effort is not None:
            await self._change(*settings.to_effort(self._options.effort))
        self._signals.put_nowait(Up())
        self._signals.put_nowait(
            e.SessionStarted(
                agent=self.name,
                agent_version=announced.version,
                agent_session=self._session,
                model=settings.model,
                cwd=str(self._options.cwd),
                problems=(*standing.stake.problems, *more.problems),
            )
        )

    def _know(self, announced: program.Announced, settings: Settings) -> None:
        self.capabilities, self.limits = program.can(announced, settings, self._program)

    async def close(self) -> None:
        """End the program in an orderly way, then everything it started."""
        await self._process.close()
        await self._read_out()

    async def kill(self) -> None:
        """End the program and everything it started, at once."""
        await self._process.kill()
        await self._read_out()

    async def _read_out(self) -> None:
        if self._reader is not None:
            await asyncio.wait([self._reader])

    # Verbs --------------------------------------------------------------------------------

    async def send(
        self,
        message: str,
        text: str,
        *,
        steer: bool,
        typed: bool,
        images: Sequence[Image] = (),
    ) -> None:
        """Send a message: into the running prompt if that can be steered, else as another."""
        prompt = blocks(text if typed else as_text(text), images)
        if not self._translate.running:
            await self._prompt(message, prompt)
        elif steer and self.capabilities["steer"] == "supported":
            await self._steer(message, prompt)
        else:
            self._later.append((message, prompt))

    async def _prompt(self, message: str, prompt: Prompt) -> None:
        self._report(self._translate.begin())
        self._report(self._translate.taken(message))
        params = self._of_session(prompt=prompt)
        await self._rpc.begin("session/prompt", params, self._answered)

    async def _steer(self, message: str, prompt: Prompt) -> None:
        def take(answer: RpcResponse) -> None:
            outcome = answer.result.get("outcome")
            if outcome == "injected":
                self._report([Taken(message)])
            elif self._translate.cancelled:
                self._report([Dropped(message)])
            else:
                if outcome == "startedNewTurn":
                    # That turn's end would not be reported; the end of a prompt is.
                    self._rpc.soon(self._rpc.tell("session/cancel", self._of_session()))
                self._later.append((message, prompt))
                self._prompt_next()

        params = self._of_session(
            prompt=prompt,
            _meta={"steering": {"idleBehavior": "promptRequired"}},
        )
        await self._rpc.begin("_session/steering", params, take)

    def _answered(self, answer: RpcResponse) -> None:
        """End the turn: the prompt has its response."""
        self._report(self._translate.end(answer))
        self._requests.forget()
        self._prompt_next()

    def _prompt_next(self) -> None:
        if self._later and not self._translate.running:
            self._rpc.soon(self._prompt(*self._later.popleft()))

    async def cancel(self, message: str) -> None:
        """Take back a message that the agent does not have yet."""
        for waiting in list(self._later):
            if waiting[0] == message:
                self._later.remove(waiting)
                self._report([Dropped(message)])

    async def interrupt(self) -> None:
        """Stop the prompt and drop the waiting messages; note processes that must not survive."""
        self._report([Dropped(message) for message, _ in self._later])
        self._later.clear()
        if not self._translate.running:
            return
        self._translate.cancel()
        await self._calls.condemn()
        await self._requests.withdraw()
        await self._rpc.tell("session/cancel", self._of_session())

    async def reply(self, reply: Reply) -> None:
        """Answer a permission request or a question; one that has ended is ignored."""
        await self._requests.reply(reply)

    def effects(self, request: e.PermissionRequested) -> tuple[Effect, ...]:
        """See `Agent.effects`."""
        effects = effects_of_call(self._translate.call(request.call), self._options.cwd)
        return self._permissions.protected.marked(effects)

    async def set_model(self, model: str) -> None:
        """Use this model for the calls that follow."""
        own, method, params = self._translate.settings.to_model(model)
        await self._change(method, params)
        self._translate.settings.model_taken(own)
        if model != own:
            self._report([e.Notice(level="info", text=f"the model {model} is {own} here")])

    def cost_with(self, model: str | None) -> Support:
        """See `Agent.cost_with`."""
        cost = self._program.cost
        if cost == "estimated" and not has_price(self._translate.settings.named(model)):
            return "not"
        return cost

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """Have the agent plan, or ask for all that it can, and answer what it asks.

        In a mode of its own that accepts edits no edit would pass midflight.
        """
        settings = self._translate.settings
        if mode == "plan" and not settings.has_mode(mode):
            raise UnsupportedOption("permission_mode", "the agent has no mode that only plans")
        before = settings.mode
        change = settings.to_mode("plan" if mode == "plan" else "default")
        if change is not None:
            try:
                await self._change(*change)
            except BaseException:
                settings.mode = before
                raise
        if mode != "plan":
            self._translate.answers = mode
        self._permissions.edits = mode == "acceptEdits"

    async def _change(self, method: str, params: Mapping[str, object]) -> None:
        response = await self._rpc.call(method, self._of_session(**params), CHANGE_TIMEOUT_S)
        self._translate.settings.update(response)

    async def stop_task(self, task: str) -> None:
        """Do nothing: ACP does not report background work."""

    def _of_session(self, **params: object) -> dict[str, object]:
        return {"sessionId": self._session, **params}

    # Reports ------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Signal]:
        """Yield what the agent reports, until its program has ended."""
        assert self._reader is not None  # noqa: S101 - it was started
        self._reader.add_done_callback(lambda _: self._signals.put_nowait(Died("")))
        while not isinstance(signal := await self._signals.get(), Died):
            if isinstance(signal, Finished):
                await self._calls.close()
            yield signal
        await self._process.exited()
        for signal in last_signals(self._process.survivors, Died(self._process.last_words())):
            yield signal

    def _report(self, signals: Iterable[Signal]) -> None:
        for signal in signals:
            self._calls.note(signal)
            self._signals.put_nowait(signal)

    def _report_noise(self, text: str) -> None:
        self._report([e.Notice(level="error", text=text)])

    def _received(self, message: dict[str, Any]) -> None:
        """Take a notification or a request of the agent."""
        try:
            match message:
                case {"method": "session/update", "params": {"update": update}}:
                    if self._session:
                        self._report(self._translate.update(update))
                        if self._translate.must_cancel_again():
                            self._rpc.soon(self._rpc.tell("session/cancel", self._of_session()))
                    else:
                        self._translate.settle(update)
                case {"method": "session/request_permission", "id": request, "params": params}:
                    self._requests.permission(request, params)
                case {"method": "elicitation/create", "id": request, "params": params}:
                    self._requests.form(request, params)
                case _:
                    self._unknown(message)
        except MALFORMED:
            self._unknown(message)

    def _unknown(self, message: dict[str, Any]) -> None:
        if "id" in message:
            text = f"{message['method']} is not supported, or not understood"
            self._rpc.soon(self._rpc.refuse(message["id"], METHOD_NOT_FOUND, text))
        self._report([e.Raw(data=message)])
