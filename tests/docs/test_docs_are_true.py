"""The pages that are made from data are what the data says."""

import copy
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
write_docs = runpy.run_path(str(ROOT / "scripts" / "write_docs.py"))


def test_pages_made_from_data_are_up_to_date() -> None:
    for file, (name, part) in write_docs["parts"]().items():
        page = (ROOT / file).read_text(encoding="utf-8")
        assert page == write_docs["filled"](page, name, part), f"run scripts/write_docs.py: {file}"


def test_difference_that_a_run_sees_is_reported() -> None:
    record = write_docs["committed"]()
    assert write_docs["differences"](record, record) == []
    other = copy.deepcopy(record)
    other["claude"]["rows"]["steer"]["verdict"] = "not"
    other["opencode"]["version"] = "0"
    del other["fake"]["rows"]["queue"]
    lines = write_docs["differences"](record, other)
    assert [line.split(":")[0] for line in lines] == ["claude, steer", "opencode", "fake, queue"]


def test_first_page_leads_to_every_page() -> None:
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"index.md"}
    linked = re.findall(r"\]\(([\w/-]+\.md)\)", (docs / "index.md").read_text(encoding="utf-8"))
    assert pages <= set(linked)


def test_run_of_one_row_leaves_the_other_rows_as_they_were() -> None:
    record = write_docs["committed"]()
    one = {"verdict": "emulated", "how": "by hand"}
    now = {"claude": {**record["claude"], "rows": {"steer": one}}}
    merged = write_docs["merged"](record, now)
    assert merged["claude"]["rows"] == {**record["claude"]["rows"], "steer": one}
    assert {**merged, "claude": record["claude"]} == record


def test_run_of_one_row_says_nothing_about_another_version() -> None:
    record = write_docs["committed"]()
    newer = {"version": "99.0", "rows": {"steer": record["claude"]["rows"]["steer"]}}
    with pytest.raises(SystemExit, match=r"claude 99\.0: nobody has seen queue, "):
        write_docs["merged"](record, {"claude": newer})
    whole = {"claude": {**record["claude"], "version": "99.0"}}
    assert write_docs["merged"](record, whole) == {**record, **whole}
