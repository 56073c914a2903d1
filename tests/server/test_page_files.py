"""The page's files are open, under a policy; what names none of them is not."""

from __future__ import annotations

import pytest
from tests.faults.manifest import fault
from tests.server.conftest import Server
from tests.support.raw_http import dial

from midflight.server.page import POLICY, files


async def test_page_is_open_with_a_policy_that_lets_nothing_else_in(server: Server) -> None:
    async with dial(server.address, "/", accept="text/html") as answer:
        assert answer.status == 200
        assert answer.headers["content-security-policy"] == POLICY.lower()
    assert "'unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


async def test_answer_that_nothing_has_changed_keeps_the_policy(server: Server) -> None:
    tag = files()["/"].tag
    async with dial(server.address, "/", **{"if-none-match": tag}) as answer:
        assert answer.status == 304
        assert answer.headers["content-security-policy"] == POLICY.lower()


@fault("S10")
@pytest.mark.parametrize(
    "path",
    [
        *("/index.html", "/js", "/js/", "/js/../../server.py", "/vendor", "/js/%2e%2e/index.html"),
        *(
            "//etc/passwd",
            "/%2fetc/passwd",
            "/js/main.js%00",
            "/js/main.js/",
            "/%2e%2e/__init__.py",
        ),
    ],
)
async def test_path_that_names_no_file_needs_a_key(server: Server, path: str) -> None:
    status, _ = await server.call(path, authorization="")
    assert status == 401
