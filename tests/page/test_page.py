"""The page in a real browser: what a person does reaches the session, what it does is seen."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, Locator, Page, expect
from tests.faults.manifest import fault
from tests.host.test_shared_host import one_environment, started
from tests.page.conftest import PHONE, OpenPage
from tests.support.events import PATIENCE_S, read, until
from tests.support.host import journal_of
from tests.support.repo import Repo, own_home, repo

from midflight import events as e
from midflight.host import Host
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, ScriptedModel, Silence, Text, ToolCall, Words
from midflight.testing.opencode import OpenCodeServer

__all__ = ["one_environment", "own_home", "repo", "started"]

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

WRITE = ToolCall("Write", {"file_path": "new.txt", "content": "one\ntwo\n"})
COMMAND = "echo one && echo 'two  three'"


async def test_task_is_begun_steered_approved_redirected_and_followed_up(
    begin: Begin, open_page: OpenPage
) -> None:
    steps: list[Any] = [
        [Words("I look around first. "), ToolCall("Bash", {"command": COMMAND})],
        [Words("It is written. "), Silence()],
        Text("Done as you said."),
        Text("And the rest."),
    ]
    await begin(*steps, task="write it", name="flow")
    page = await open_page()
    await (
        page.get_by_role("article", name="Request of flow").get_by_role("link", name="flow").click()
    )
    card = page.get_by_role("article", name="Request of flow")
    await expect(card).to_contain_text("Run a command?")
    await expect(card.locator(".command")).to_have_text(COMMAND)
    log = page.get_by_role("log")
    await expect(log).to_contain_text("I look around first.")
    await expect(log).to_have_attribute("aria-busy", "false")  # it is followed as it happens
    await card.get_by_role("button", name="Allow y").click()
    await expect(log).to_contain_text("It is written.")
    await page.reload()  # whoever comes in the middle of a text has it from its beginning
    await expect(log.locator(".caret")).to_have_text("It is written. ")
    box = page.get_by_role("textbox", name="Message to flow")
    await page.get_by_role("button", name="Redirect", exact=True).click()
    await box.fill("do something else")
    await box.press("Enter")
    await expect(log).to_contain_text("Done as you said.")
    await expect(log).to_contain_text("redirected")
    await expect(log.get_by_text("Answered by turn 2")).to_be_visible()
    await box.fill("and the rest?")
    await box.press("Enter")
    await expect(log).to_contain_text("And the rest.")


ASK = ToolCall(
    "AskUserQuestion",
    {
        "questions": [
            {"question": "Which?", "header": "W", "options": [{"label": "A"}, {"label": "B"}]}
        ]
    },
)


async def pressed(page: Page, key: str, shows: Locator) -> None:
    """Press a key until it has shown something: one that comes too early does nothing."""
    async with asyncio.timeout(PATIENCE_S):
        while not await shows.is_visible():
            await page.keyboard.press(key)
            await page.wait_for_timeout(100)


async def test_request_answered_on_one_page_leaves_the_other_which_says_so(
    begin: Begin, open_page: OpenPage
) -> None:
    other = ToolCall("Write", {"file_path": "other.txt", "content": "by the same rule"})
    await begin(WRITE, other, ASK, Text("done"), task="go", name="two")
    desk, phone = await open_page(), await open_page(size=PHONE)
    await expect(desk).to_have_title("(1) midflight")
    await phone.get_by_role("link", name="two").first.click()
    await expect(phone.get_by_text("Edit a file?")).to_be_visible()
    await phone.get_by_role("button", name="Allow for this session").click()
    settled = desk.locator(".settled")
    await expect(settled).to_contain_text("Allowed two")
    card = desk.get_by_role("article", name="Request of two")
    await expect(card).to_contain_text("Which?")
    assert await settled.filter(has_text="by rule").count() == 0  # which nobody has seen ask
    await pressed(desk, "2", phone.get_by_role("log").get_by_text("Answered", exact=True))
    await expect(phone.get_by_role("log")).to_contain_text("B")
    await expect(desk).to_have_title("midflight")


async def test_denial_takes_a_reason_that_the_agent_is_told(
    begin: Begin, open_page: OpenPage
) -> None:
    model, _ = await begin(
        ToolCall("Bash", {"command": COMMAND}), Text("I see"), task="go", name="no"
    )
    page = await open_page("s/no")
    await expect(page.get_by_text("Run a command?")).to_be_visible()
    why = page.get_by_role("textbox", name="Why not?")
    while not await why.is_visible():  # a key means what has stood there for half a second
        await page.keyboard.press("n")
    await why.fill("use make instead")
    await page.get_by_role("button", name="Deny with this reason").click()
    await expect(page.get_by_role("log")).to_contain_text("use make instead")
    await expect(page.get_by_role("log")).to_contain_text("I see")
    assert "use make instead" in str(model.requests[-1].messages)


@fault("S9")
async def test_edited_input_is_allowed_when_what_it_does_was_read(
    begin: Begin, open_page: OpenPage, tmp_path: Path
) -> None:
    _, session = await begin(WRITE, Text("done"), task="go", name="edit")
    page = await open_page("s/edit", size=(1440, 420))
    await page.get_by_role("button", name="Edit its input").click()
    field = page.get_by_role("textbox", name="What the tool gets instead")
    await field.fill("[]")
    await page.get_by_role("button", name="Look at it").click()
    await expect(page.get_by_text("an object is needed")).to_be_visible()
    lines = "".join(f"line {each}\n" for each in range(12))
    await field.fill(json.dumps({"file_path": "other.txt", "content": lines}))
    await page.get_by_role("button", name="Look at it").click()
    card = page.locator(".request.open")
    await expect(card).to_contain_text("other.txt")
    await expect(card.locator(".diff")).to_contain_text("line 11")
    await expect(card.get_by_text("Read it to its end first")).to_be_visible()
    assert session.pending
    await card.locator(".end").scroll_into_view_if_needed()
    await card.get_by_role("button", name="Allow y").click()
    await expect(page.get_by_role("log")).to_contain_text("done")
    assert (tmp_path / "other.txt").read_text() == lines


async def test_id_in_a_link_leads_to_its_session_whatever_others_are_called(
    begin: Begin, open_page: OpenPage
) -> None:
    _, meant = await begin(Text("what is meant"), task="go", name="meant")
    _, other = await begin(Text("what is not"), task="go", name=meant.id)
    page = await open_page(f"s/{meant.id}")
    await expect(page.get_by_role("log")).to_contain_text("what is meant")
    await page.goto(f"{page.url.partition('#')[0]}#/sessions")
    await page.get_by_role("link", name=meant.id).first.click()
    await expect(page.get_by_role("log")).to_contain_text("what is not")
    assert page.url.endswith(f"#/s/{other.id}")


@fault("S15")
async def test_press_that_comes_with_the_request_answers_nothing(
    begin: Begin, open_page: OpenPage
) -> None:
    _, session = await begin(ToolCall("Bash", {"command": COMMAND}), task="go", name="early")
    page = await open_page("s/early")
    await page.clock.set_fixed_time(await page.evaluate("Date.now() / 1000"))
    await page.reload()
    allow = page.get_by_role("button", name="Allow y")
    await expect(allow).to_be_disabled()
    await allow.dispatch_event("click")
    await page.keyboard.press("y")
    await page.clock.set_fixed_time(await page.evaluate("Date.now() / 1000 + 0.6"))
    await expect(allow).to_be_enabled()
    assert session.pending


async def test_reason_of_a_denial_allows_nothing_whatever_its_letters(
    begin: Begin, open_page: OpenPage
) -> None:
    calls = [ToolCall("Bash", {"command": f"touch {each}"}) for each in ("one", "two")]
    _, session = await begin(*calls, task="go", name="words")
    page = await open_page("s/words")
    deny = page.get_by_role("button", name="Deny… n")
    for command in ("one", "two"):
        await expect(page.locator(".request .command")).to_contain_text(command)
        await deny.click()  # a key means what has stood there for a moment, as the page sees it
        await page.get_by_role("textbox", name="Why not?").wait_for()
        await page.keyboard.type("yes you must not")
        await expect(page.get_by_role("textbox", name="Why not?")).to_have_value("yes you must not")
        if command == "one":
            await page.keyboard.press("Enter")
    await page.get_by_role("log").click()  # out of the field, and still about to deny
    await page.keyboard.press("y")
    await page.keyboard.press("a")
    await page.get_by_role("button", name="Back", exact=True).click()
    await expect(page.get_by_role("button", name="Allow y")).to_be_enabled()
    assert session.pending


async def test_letters_for_a_field_that_has_gone_answer_nothing(
    begin: Begin, open_page: OpenPage
) -> None:
    call = ToolCall("Bash", {"command": "touch one"})
    _, first = await begin(call, Text("I see"), task="go", name="first")
    _, second = await begin(call, task="go", name="second")
    page = await open_page()
    await page.get_by_role("button", name="Deny… n").click()
    field = page.get_by_role("textbox", name="Why not?")
    await field.fill("because")
    one, other = (
        (first, second) if first.pending[0].time < second.pending[0].time else (second, first)
    )
    await page.keyboard.down("x")
    await one.answer(one.pending[0].request, "deny")
    await field.wait_for(state="detached")
    await page.keyboard.type("y would it do that")
    await page.keyboard.press("y")
    await expect(page.get_by_role("article", name=f"Request of {other.name}")).to_be_visible()
    assert other.pending


async def test_held_key_answers_one_request_at_most(begin: Begin, open_page: OpenPage) -> None:
    call = ToolCall("Bash", {"command": "touch one"})
    sessions = [
        (await begin(call, Text("done"), task="go", name=f"held{each}"))[1] for each in range(2)
    ]
    page = await open_page()
    allow = page.get_by_role("button", name="Allow y")
    await expect(allow).to_be_enabled()
    await page.keyboard.down("y")
    await expect(page.locator(".settled")).to_have_count(1)
    await expect(page.locator(".settled")).to_have_count(0)
    await expect(allow).to_be_enabled()
    await page.keyboard.down("y")  # the key repeats
    await page.keyboard.up("y")
    await page.reload()
    await expect(page.locator(".request.open")).to_have_count(1)
    (left,) = [each for each in sessions if each.pending]
    await left.answer(left.pending[0].request, "deny")
    for each in sessions:
        await until(each, e.TurnEnded)


@fault("S9", "S13")
async def test_diff_to_approve_shows_what_has_no_visible_form_in_any_language(
    begin: Begin, open_page: OpenPage
) -> None:
    text = "const {timeout,\u3164} = q;\nlet a = '\u2800';\nb = 1;" + " " * 150 + "evil()\n"
    await begin(ToolCall("Write", {"file_path": "a.js", "content": text}), task="go", name="js")
    page = await open_page("s/js")
    boxes = page.locator(".request .diff .boxed")
    await expect(boxes).to_have_text(["U+3164", "U+2800", "150 × U+0020"])


@fault("S9", "S13")
async def test_command_is_allowed_only_when_its_end_was_on_the_screen(
    begin: Begin, open_page: OpenPage
) -> None:
    command = "\n".join(f"echo {each}" for each in range(12))
    _, session = await begin(ToolCall("Bash", {"command": command}), task="go", name="long")
    page = await open_page("s/long", size=(1440, 420))
    await page.get_by_text("Read it to its end first").wait_for()
    await page.keyboard.press("y")
    assert session.pending
    await page.locator(".request .end").scroll_into_view_if_needed()
    await expect(page.get_by_role("button", name="Allow y")).to_be_enabled()


async def test_queued_messages_are_edited_moved_and_cancelled(
    begin: Begin, open_page: OpenPage
) -> None:
    _, session = await begin(ToolCall("Bash", {"command": COMMAND}), task="go", name="line")
    for text in ("first", "second", "third"):
        await session.send(text, delivery="queue")
    page = await open_page("s/line")
    rows = page.locator(".queue li")
    await expect(rows).to_have_count(3)
    await rows.nth(2).focus()
    await page.keyboard.press("Alt+ArrowUp")
    await expect(rows.nth(1)).to_contain_text("third")
    await rows.nth(0).get_by_role("button", name="Edit").click()
    await page.get_by_role("textbox", name="Text of message 1").fill("first, and better")
    await page.keyboard.press("Enter")
    await expect(rows.nth(0)).to_contain_text("first, and better")
    await rows.nth(2).get_by_role("button", name="Cancel").click()
    await expect(rows).to_have_count(2)
    await rows.nth(1).drag_to(rows.nth(0))
    await expect(rows.nth(0)).to_contain_text("third")
    texts = [text for _, text in await rows.evaluate_all("l => l.map(e => [0, e.innerText])")]
    assert ["third" in texts[0], "first, and better" in texts[1]] == [True, True]


async def test_comments_on_lines_of_the_diff_go_to_the_agent_as_one_message(
    host: Host, fake_model: Any, repo: Repo, open_page: OpenPage, tmp_path: Path
) -> None:
    repo.commit("shop.py", "one\ntwo\nthree\n")
    write = ToolCall("Write", {"file_path": "shop.py", "content": "one\n2\nthree\n"})
    model = await fake_model(write, Text("written"), Text("changed"))
    env = model.env(tmp_path)
    options = Options.build(
        agent="fake", cwd=repo.folder, env=env, name="shop", permission_mode="acceptEdits"
    )
    session = await host.begin("write it", options)
    await read(session)
    page = await open_page("s/shop/diff")
    line = page.locator(".diff-row.added", has_text="2")
    await line.click()
    await page.get_by_role("textbox", name="Comment").fill("say it in words")
    await page.get_by_role("button", name="Keep").click()
    await page.reload()
    await expect(page.locator(".comment")).to_contain_text("say it in words")
    await page.locator(".diff-row.removed", has_text="two").click()
    await page.get_by_role("textbox", name="Comment").fill("this was right")
    await page.keyboard.press("Control+Enter")
    before = session.last_seq
    await page.get_by_role("button", name="Send 2 comments as one message").click()
    await expect(page.get_by_role("log")).to_contain_text("say it in words")
    await until(session, e.TurnEnded, before)
    told = str(model.requests[-1].messages)
    for words in ("shop.py, line 2", "say it in words", "> two", "this was right"):
        assert words in told


async def read_on(log: Locator, text: str, way: int = 1) -> None:
    """Scroll down, or up, until something stands there."""
    async with asyncio.timeout(PATIENCE_S):
        while text not in await log.inner_text():
            await log.evaluate(READ_ON, way)
            await log.page.wait_for_timeout(20)


READ_ON = """(log, way) => {
  log.scrollTo(0, way > 0 ? log.scrollHeight : 0);
  log.querySelector('.newer button')?.click();
}"""


async def test_search_leads_into_a_past_that_is_not_loaded_and_back(
    host: Host, open_page: OpenPage, tmp_path: Path
) -> None:
    said = [f"line {number}." for number in range(700)]
    said[4], said[290], said[600] = "the first needle", "a needle between", "the last Needle"
    options = Options.build(agent="fake", cwd=tmp_path)
    row, record = await journal_of(host).create("long", options)
    record.begin(lambda _: None, lambda _: None)
    events = [*(e.Text(text=text) for text in said), e.SessionEnded(reason="closed")]
    for seq, event in enumerate(events, 1):
        record.append(e.stamp(event, seq=seq, session=row.id, turn=None, time=float(seq)))
    await record.close()
    page = await open_page("s/long")
    log, found = page.get_by_role("log"), page.locator(".find-bar").get_by_role("status")
    await expect(log).to_contain_text("line 699")
    await page.keyboard.press("Control+f")
    await page.get_by_role("searchbox", name="Search in this session").fill("needle")
    await expect(found).to_contain_text("3 of 3, in what the agent says: the last Needle")
    await expect(log.get_by_text("the last Needle")).to_be_in_viewport()
    await page.keyboard.press("Shift+Enter")
    await expect(found).to_contain_text("1 of 3")
    await expect(log.get_by_text("the first needle")).to_be_in_viewport()
    await expect(log).not_to_contain_text("line 699")
    await page.keyboard.press("Shift+Enter")
    await expect(log.get_by_text("a needle between")).to_be_in_viewport()
    for number in (350, 410):  # what is fetched then, and what was there
        await read_on(log, f"line {number}.")
        assert await log.locator(".block").count() < 200
    await page.get_by_role("searchbox").press("Enter")
    await expect(log.get_by_text("the first needle")).to_be_in_viewport()
    await page.get_by_role("button", name="To the end").click()
    await expect(log.get_by_text("line 699")).to_be_in_viewport()
    await expect(found).to_be_hidden()
    await read_on(log, "line 650.", -1)
    before, after, stands = await log.evaluate(COME_ABOVE)
    assert before != after
    assert stands
    await page.get_by_role("button", name="To the end").click()
    await expect(log.get_by_text("line 699")).to_be_in_viewport()


COME_ABOVE = """async (log) => {
  const lines = () => [...log.querySelectorAll('.prose')];
  const {top} = log.getBoundingClientRect();
  const before = lines()[0].textContent;
  const eye = lines().find((line) => line.getBoundingClientRect().top > top + 50);
  log.scrollTo(0, 0);  // so that what is above is wanted
  let seen = eye.getBoundingClientRect().top;
  while (lines()[0].textContent === before) {
    seen = eye.getBoundingClientRect().top;
    await new Promise(requestAnimationFrame);
  }
  return [before, lines()[0].textContent, Math.abs(eye.getBoundingClientRect().top - seen) < 2];
}"""
"""The first line before and after others have come above; and whether one stands where it did."""


GROWING = """# A

first *one*

- one
- two

  in two

> said
> lazily

```py
x = 1

y = 2
```

| a | b |
|---|---|
| 1 | 2 |

the end
"""

GROW = """async (text) => {
  const {tokensOf} = await import(`${location.origin}/js/lexed.js`);
  const {lexer} = await import(`${location.origin}/vendor/marked/marked.js`);
  const block = {text: '', live: true};
  const read = new Map();  // by the place of each part: how many readings of it there were
  for (const letter of text) {
    block.text += letter;
    tokensOf(block).forEach((token, at) => read.set(at, (read.get(at) ?? new Set()).add(token)));
  }
  const tokens = tokensOf(block);
  return {
    raw: tokens.map((token) => token.raw), whole: lexer(text).map((token) => token.raw),
    most: Math.max(...tokens.map((token, at) => read.get(at).size - token.raw.length)),
  };
}"""


async def test_text_that_grows_is_read_as_a_whole_one_and_each_part_once(
    open_page: OpenPage,
) -> None:
    page = await open_page()
    told = await page.evaluate(GROW, GROWING)
    assert told["raw"] == told["whole"]
    assert told["most"] < 10  # as often as it has letters, and not for those behind it


FOLD = """async (events) => {
  const {folded} = await import(`${location.origin}/js/conversation.js`);
  const stamped = events.map((event, at) => ({seq: at + 1, time: at, parent: null, ...event}));
  const {blocks} = folded(stamped);
  return blocks.map(({kind, retry, asks}) => (kind === 'tool' ? asks : retry?.attempt ?? kind));
}"""
QUESTION = {"type": "question.requested", "request": "r", "questions": []}
CALLED = {"type": "tool.started", "call": "c", "name": "AskUserQuestion", "title": "", "input": {}}


async def test_retries_in_a_row_are_one_line_and_a_question_is_no_running_call(
    open_page: OpenPage,
) -> None:
    page = await open_page()
    tries = [{"type": "retry", "attempt": each, "delay_s": 1} for each in (1, 2, 3)]
    text = {"type": "text", "text": "in between"}
    assert await page.evaluate(FOLD, [*tries, text, tries[0]]) == [3, "text", 1]
    assert await page.evaluate(FOLD, [CALLED, QUESTION]) == [True]
    answered = {"type": "question.resolved", "request": "r", "answers": {}, "by": "user"}
    assert await page.evaluate(FOLD, [CALLED, QUESTION, answered]) == [False, "decision"]


async def test_worktree_is_merged_and_discarded_on_the_diff(
    host: Host, fake_model: Any, repo: Repo, open_page: OpenPage, tmp_path: Path
) -> None:
    tree = await repo.made()
    model = await fake_model(Text("I resolve it"))
    options = Options.build(agent="fake", cwd=tree.folder, env=model.env(tmp_path), name="fix")
    session = await host.begin(None, options)
    repo.write("new", "by the agent\n", at=tree.folder)
    page = await open_page("s/fix/diff", size=PHONE)
    worktree = page.get_by_role("region", name="Worktree")
    said = worktree.get_by_role("status")
    await expect(worktree).to_contain_text("midflight/fix from main · 1 file not committed")
    merge = worktree.get_by_role("button", name="Merge into main")
    await page.clock.set_fixed_time(await page.evaluate("Date.now() / 1000"))
    await page.reload()
    await expect(merge).to_be_disabled()  # a press was meant for what stood there
    await page.clock.set_fixed_time(await page.evaluate("Date.now() / 1000 + 0.6"))
    await merge.click()
    await expect(said).to_contain_text("Merged into main")
    assert (repo.folder / "new").read_text() == "by the agent\n"
    repo.commit("old", "two\n")
    repo.write("old", "three\n", at=tree.folder)
    await worktree.get_by_role("button", name="Merge into main").click()
    await expect(said).to_contain_text("It conflicts with main in old. Nothing was changed in")
    await until(session, e.TurnEnded)  # it was told
    assert "Merge main into your branch" in str(model.requests[-1].messages)
    await worktree.get_by_role("button", name="Discard…").click()
    assert tree.folder.exists()
    await worktree.get_by_role("button", name="Discard it").click()
    await expect(said).to_contain_text("What was only there is in refs/midflight/")
    assert not tree.folder.exists()


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


async def test_images_are_chosen_and_pasted_seen_and_sent(
    begin: Begin, open_page: OpenPage
) -> None:
    model, _ = await begin(Text("I see both"), name="look")
    page = await open_page("s/look", size=PHONE)
    files: list[FilePayload] = [
        {"name": "one.png", "mimeType": "image/png", "buffer": PNG},
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"text"},
        {"name": "huge.png", "mimeType": "image/png", "buffer": PNG + bytes(4_000_000)},
    ]
    await page.get_by_label("Add images").set_input_files(files)
    await expect(page.get_by_role("img", name="one.png")).to_be_visible()
    problem = page.get_by_role("alert")
    await expect(problem).to_contain_text("notes.txt is no PNG, JPEG, GIF or WebP.")
    await expect(problem).to_contain_text("huge.png has 4.0 MB; 3.9 MB are the most.")
    box = page.get_by_role("textbox", name="Message to look")
    await box.evaluate(
        """(box, image) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(image)], "two.png", {type: "image/png"}));
          box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        list(PNG),
    )
    await expect(page.get_by_role("list", name="2 images").get_by_role("img")).to_have_count(2)
    await page.get_by_role("button", name="Leave out one.png").click()
    await box.fill("what is this?")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.get_by_role("log")).to_contain_text("two.png, image/png")
    await expect(page.get_by_role("log")).to_contain_text("I see both")
    told = str(model.requests[-1].messages)
    assert told.count(base64.b64encode(PNG).decode()) == 1


@pytest.fixture
async def flow_model(
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Have the agents of this process ask a model that plays the seed's flow."""
    write = ToolCall("Write", {"file_path": "a.py", "content": "x = 1\n"})
    run = ToolCall("Bash", {"command": "echo begun; sleep 300"})
    last = [Text("As you said."), Text("The age too."), Text("And the tests.")]
    model = await scripted_model([[Words("I write it. "), write], run, *last])
    for name, value in agent_env(model).items():
        monkeypatch.setenv(name, value)


async def test_seeds_whole_flow_is_played_from_the_page_on_claude_code(
    started: list[Host], flow_model: None, open_page: OpenPage, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    (folder / ".claude").mkdir(parents=True)
    hook = f"touch {tmp_path / 'hook-ran'}"
    hooks = {"SessionStart": [{"hooks": [{"type": "command", "command": hook}]}]}
    (folder / ".claude" / "settings.json").write_text(json.dumps({"hooks": hooks}))
    page = await open_page("new")
    await page.get_by_role("textbox", name="Task").fill("Add validation")
    await page.get_by_role("combobox", name="Folder").fill(str(folder))
    await page.get_by_role("textbox", name="Allowed besides").fill("Bash")
    await page.get_by_role("button", name="Start").click()
    question = page.get_by_role("region", name="What this folder would run")
    await expect(question).to_contain_text(hook)
    await question.get_by_role("button", name="Go on without them").click()
    log = page.get_by_role("log")
    request = page.locator(".request.open")
    await expect(request).to_contain_text("a.py")
    await expect(request).to_contain_text("x = 1")
    await request.get_by_role("button", name="Allow y").click()
    await expect(log).to_contain_text("sleep 300")
    await expect(log.get_by_text("running").last).to_be_visible()
    box = page.get_by_role("textbox", name="Message to")
    await box.fill("also the age")
    await box.press("Enter")
    await expect(page.locator(".queue")).to_contain_text("steers at the next step")
    await page.get_by_role("button", name="Redirect", exact=True).click()
    await box.fill("the pattern first")
    await box.press("Enter")
    await expect(log).to_contain_text("As you said.")
    await expect(log).to_contain_text("interrupted: it was redirected")
    await expect(log).to_contain_text("The age too.")  # the steer that nobody had read
    await box.fill("now the tests")
    await box.press("Enter")
    await expect(log).to_contain_text("And the tests.")
    assert not (tmp_path / "hook-ran").exists()
    assert (folder / "a.py").read_text() == "x = 1\n"


async def test_session_of_opencode_is_seen_answered_and_queued(
    host: Host, opencode_server: OpenCodeServer, open_page: OpenPage
) -> None:
    write = ToolCall("Write", {"file_path": "page.py", "content": "x = 1\ny = 2\n"})
    last = [Text("It is written."), Text("And the changelog.")]
    async with ScriptedModel(
        [[Words("I write it. "), write], *last], port=opencode_server.model_port
    ) as model:
        env = model.env(opencode_server.home) | opencode_server.env
        server = {"cwd": opencode_server.cwd, "server_url": opencode_server.url}
        options = Options.build(agent="opencode", name="open", env=env, **server)
        session = await host.begin("Write it", options)
        page = await open_page("s/open")
        log, request = page.get_by_role("log"), page.locator(".request.open")
        await expect(log).to_contain_text("I write it.")
        await expect(request.get_by_role("heading")).to_have_text("Edit a file?")
        await expect(request.locator(".diff .added code")).to_have_text(["x = 1", "y = 2"])
        await page.get_by_role("button", name="Queue", exact=True).click()
        box = page.get_by_role("textbox", name="Message to open")
        await box.fill("then the changelog")
        await box.press("Enter")
        await expect(page.locator(".queue li")).to_contain_text(["no. 2then the changelog"])
        await request.get_by_role("button", name="Allow y").click()
        await expect(log).to_contain_text("It is written.")
        await expect(log.locator(".tool", has_text="write")).to_contain_text("+2 −0")
        await expect(log).to_contain_text("And the changelog.")
        await expect(page.locator(".queue")).to_have_count(0)
        await read(session)
    (opencode_server.cwd / "page.py").unlink()
