"""The script of `midflight demo`'s model, and the files that result from it."""

from __future__ import annotations

import sys
from pathlib import Path

from midflight.testing import Step, Text, ToolCall, Usage, Wait, Words

TASK = "Add input validation to create_user in users.py"
STEER = "An empty name must be refused too."
REDIRECT = "No rewrite. The pattern refuses ada+test@example.org: fix that, and add a test."

PACE_S = 0.04
USAGE = Usage(input_tokens=1200, output_tokens=160, cache_read_tokens=9000, cache_write_tokens=0)

BEFORE = """\
USERS = []


def create_user(name, email):
    user = {"name": name, "email": email}
    USERS.append(user)
    return user
"""

TOO_STRICT = r"[a-z]+@[a-z]+\.[a-z]+"
RIGHT = r"[^@\s]+@[^@\s]+\.[^@\s]+"

_CHECKED = """\
import re

USERS = []
EMAIL = re.compile(r"{pattern}")


def create_user(name, email):
    if not name.strip():
        raise ValueError("the name is empty")
    if not EMAIL.fullmatch(email):
        raise ValueError(f"{{email!r}} is not an e-mail address")
    user = {{"name": name, "email": email}}
    USERS.append(user)
    return user
"""

AFTER = _CHECKED.format(pattern=RIGHT)

TEST = """\
import unittest

from users import create_user


class CreateUser(unittest.TestCase):
    def test_a_plus_in_the_address_is_fine(self):
        create_user("Ada", "ada+test@example.org")

    def test_an_empty_name_is_refused(self):
        with self.assertRaises(ValueError):
            create_user(" ", "ada@example.org")

    def test_what_is_no_address_is_refused(self):
        with self.assertRaises(ValueError):
            create_user("Ada", "ada at example.org")


unittest.main(verbosity=2)
"""

TEST_COMMAND = f"'{sys.executable}' -B test_users.py"  # -B: no other files than those asked for


def steps(project: Path) -> list[Step]:
    """Return one step for each request of the agent; ``project`` is where the files are."""
    users, test = str(project / "users.py"), str(project / "test_users.py")
    return [
        [
            Words("I will look at the code first. ", PACE_S),
            Wait("steer"),
            ToolCall("Read", {"file_path": users}),
            USAGE,
        ],
        [
            Words(
                "create_user takes anything. I check the address, and the name as you say.", PACE_S
            ),
            ToolCall("Write", {"file_path": users, "content": _CHECKED.format(pattern=TOO_STRICT)}),
            USAGE,
        ],
        [
            Words(
                "That is in. While I am here I will turn the whole module into classes with a "
                "repository, a factory and an abstract base ",
                PACE_S,
            ),
            USAGE,
            Wait("redirect"),
        ],
        [
            Words("Understood: no rewrite. The pattern was too strict. ", PACE_S),
            ToolCall("Edit", {"file_path": users, "old_string": TOO_STRICT, "new_string": RIGHT}),
            USAGE,
        ],
        [
            Words("Now a test. ", PACE_S),
            ToolCall("Write", {"file_path": test, "content": TEST}),
            USAGE,
        ],
        [
            Words("And I run it. ", PACE_S),
            ToolCall("Bash", {"command": TEST_COMMAND, "description": "Run the test"}),
            USAGE,
        ],
        [
            Text("The address pattern takes a + now, an empty name is refused, "),
            Text("and three tests say so."),
            USAGE,
        ],
    ]
