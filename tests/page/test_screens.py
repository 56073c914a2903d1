"""Every screen, wide and narrow, light and dark: axe-core finds nothing, and nothing is cut off.

With ``MIDFLIGHT_PICTURES`` set to a folder the screens are also kept there, for the documentation.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.page.conftest import DESK, PHONE, OpenPage
from tests.support.events import until
from tests.support.repo import Repo, own_home

__all__ = ["own_home"]

from midflight import events as e
from midflight.host import Host
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, HttpError, Silence, Step, Text, ToolCall, Words

NARROW = (320, 640)
PICTURES = os.environ.get("MIDFLIGHT_PICTURES", "")

PLAN = ToolCall(
    "TodoWrite",
    {
        "todos": [
            {"content": "Find every endpoint without a model", "status": "completed"},
            {"content": "Return 422 with the field names", "status": "in_progress"},
            {"content": "Update the examples", "status": "pending"},
        ]
    },
)
CODE = """```python
class UserIn(BaseModel):
    email: EmailStr  # not a pattern
    name: Annotated[str, Field(max_length=120)]
```"""
CLOCK = {
    "question": "Which clock should the scheduler use?",
    "header": "Clock",
    "options": [
        {"label": "Monotonic", "description": "Never jumps. Breaks two tests that freeze time."},
        {"label": "Injected", "description": "A Clock argument. 11 call sites change."},
    ],
}


FAILING = HttpError(401, message="wrong key", headers={"retry-after": "100"})  # it tries no second

USERS: list[Step] = [
    [
        Words("I look at how the other endpoints validate first. "),
        ToolCall("Read", {"file_path": "src/users.py"}),
        ToolCall("Read", {"file_path": "src/users.py"}),
        PLAN,
    ],
    [
        Words(f"The pattern is **too narrow**. I use the library:\n\n{CODE}\n"),
        ToolCall("Write", {"file_path": "src/users.py", "content": "import email_validator\n"}),
    ],
    ToolCall("Bash", {"command": "uv run pytest tests/api/test_users.py -x -q --no-header"}),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a path that can be read in a picture."""
    with tempfile.TemporaryDirectory(prefix="ada-") as above:
        folder = Path(above) / "shop-api"
        folder.mkdir()
        yield folder


@pytest.fixture
async def sessions(
    host: Host,
    fake_model: Callable[..., Awaitable[FakeModel]],
    own_home: Path,
    tmp_path: Path,
    folder: Path,
) -> None:
    """Begin sessions in the states that the lists know."""
    repo = Repo(folder)
    repo.git("init", "-q", "-b", "main")
    repo.git("config", "user.name", "Ada")
    repo.git("config", "user.email", "ada@example.org")
    repo.commit("src/users.py", "import re\n\nPATTERN = re.compile('[a-z0-9.]+@')\n")

    async def start(name: str, task: str, *steps: Step, **options: Any) -> Session:
        model = await fake_model(*steps)
        env = model.env(tmp_path)
        built = Options.build(agent="fake", cwd=folder, env=env, name=name, **options)
        return await host.begin(task, built)

    limits = {"max_budget_usd": 1.0, "max_turns": 15}
    task = "Add input validation to the /users endpoint"
    one = await start("users-validation", task, *USERS, **limits)
    edit = await until(one, e.PermissionRequested)
    await one.answer(edit.request, "allow", remember="session")
    await until(one, e.PermissionRequested, edit.seq or 0)
    await one.send("Then write a line for the changelog.", delivery="queue")
    asked = await start(
        "flaky-clock", "Mend it", ToolCall("AskUserQuestion", {"questions": [CLOCK]})
    )
    await until(asked, e.QuestionRequested)
    links = await start("docs-links", "Look", [Words("I follow each of the links. "), Silence()])
    await until(links, e.TurnStarted)
    done = await start("csv-export", "Write it", Text("9 files changed, the tests pass."))
    await until(done, e.TurnEnded)
    failed = await start("dead-code", "Find it", FAILING)
    await until(failed, e.TurnEnded)


async def _ready(page: Page, path: str) -> None:
    """Wait until a screen shows what it is about."""
    shown = {
        "": page.get_by_text("Which clock should the scheduler use?"),
        "sessions": page.get_by_role("heading", name="Sessions", exact=True),
        "new": page.get_by_role("combobox", name="Agent").filter(has_text="not installed"),
        "s/users-validation": page.get_by_text("uv run pytest").last,
        "s/users-validation/diff": page.get_by_text("email_validator").first,
        "s/dead-code": page.get_by_text("refuses the key").first,
    }[path]
    await expect(shown).to_be_visible()


LOOKS = [(DESK, "light"), (PHONE, "dark")]
MORE_LOOKS = [(DESK, "dark"), (PHONE, "light")]  # each half of which the others have shown


@pytest.mark.parametrize(("size", "scheme"), LOOKS + (MORE_LOOKS if PICTURES else []))
async def test_every_screen_can_be_used_by_everybody(
    sessions: None, open_page: OpenPage, size: tuple[int, int], scheme: str
) -> None:
    page = await open_page(size=size, scheme=scheme, reduced_motion="reduce")  # no half colours
    for path in (
        *("", "sessions", "new", "s/users-validation", "s/users-validation/diff", "s/dead-code"),
    ):
        await page.evaluate("path => { location.hash = '/' + path }", path)
        await _ready(page, path)
        if path == "":  # its turn began before the page was opened
            figures = page.get_by_role("link", name="docs-links").locator(".figures")
            await expect(figures).to_contain_text(re.compile("^0:"))
        await page.evaluate(AXE)
        found = await page.evaluate("rules => axe.run({runOnly: rules})", RULES)
        wrong = [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]]
        assert not wrong, (path, wrong)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if PICTURES:
            name = f"{path.replace('/', '-') or 'overview'}-{'phone' if size == PHONE else scheme}"
            await page.screenshot(path=Path(PICTURES) / f"page-{name}.png")


AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def test_smallest_phone_shows_a_request_whole(sessions: None, open_page: OpenPage) -> None:
    page = await open_page("s/users-validation", size=NARROW, scheme="dark")
    await _ready(page, "s/users-validation")
    allow = page.get_by_role("button", name="Allow", exact=True)
    await allow.scroll_into_view_if_needed()
    box = await allow.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["x"] + box["width"] <= NARROW[0]
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
