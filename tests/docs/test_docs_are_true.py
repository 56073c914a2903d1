"""The pages that are made from data are what the data says."""

import runpy
from pathlib import Path

from midflight.agents.claude import ClaudeAgent

ROOT = Path(__file__).parent.parent.parent
write_docs = runpy.run_path(str(ROOT / "scripts" / "write_docs.py"))


def test_the_pages_made_from_data_are_up_to_date() -> None:
    for file, (name, part) in write_docs["parts"]().items():
        page = (ROOT / file).read_text(encoding="utf-8")
        assert page == write_docs["filled"](page, name, part), f"run scripts/write_docs.py: {file}"


def test_every_capability_is_shown_by_a_test_on_the_real_agent() -> None:
    assert set(write_docs["seen_in_tests"]()) == set(ClaudeAgent.capabilities)
