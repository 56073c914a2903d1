"""Which journal is used, and that what opens it is told to nobody."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault

from midflight._util.database_url import DatabaseUrl
from midflight._util.own_variables import for_others
from midflight._util.redact import Redactor
from midflight.client.client import connect
from midflight.config.files import read_project, read_user
from midflight.config.reading import user_path
from midflight.errors import InvalidConfig, InvalidOption, StoreFailed
from midflight.host import Host
from midflight.journal import Journal
from midflight.journal.choice import JournalAddress, choose, take_option
from midflight.journal.database import Database

URL = "postgresql://ada@db.example:5433/team?sslmode=verify-full"

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes the user's file; there is none yet, and no variable."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", "")

    def write(content: str) -> Path:
        path = user_path()
        assert path is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
        return path

    return write


# Which ------------------------------------------------------------------------------------


def test_journal_is_what_is_said_first_of_the_four(
    tmp_path: Path, user: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose() == JournalAddress()
    assert str(choose()) == str(tmp_path / "state" / "midflight")
    folder = user("journal = '~/team'\nmax_turns = 'nonsense, which is of no matter here'").parent
    assert choose().folder == tmp_path / "team"
    user("journal = 'team'")
    assert choose().folder == folder / "team"
    user(f"journal = '{URL}'")
    assert choose().whole == URL
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", str(tmp_path / "variable"))
    assert choose().folder == tmp_path / "variable"
    assert choose(tmp_path / "given").folder == tmp_path / "given"
    take_option("typed")
    assert choose().folder == Path("typed").absolute()
    assert os.environ["MIDFLIGHT_JOURNAL"] == str(Path("typed").absolute())


def test_library_takes_the_journal_by_name_and_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("mysql://x/y", "host=db dbname=team password=x", Path("postgresql://me@x/y"), ""):
        with pytest.raises(InvalidOption, match=r"^journal: "):
            Host(journal=wrong)
        with pytest.raises(InvalidOption, match=r"^journal: "):
            connect(journal=wrong)
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", "mysql://x/y")
    for open_one in (Host, connect, Journal):
        with pytest.raises(InvalidOption, match=r"^MIDFLIGHT_JOURNAL: "):
            open_one()


def test_file_of_a_project_names_no_journal(tmp_path: Path, user: Write) -> None:
    (tmp_path / "midflight.toml").write_text("journal = '/tmp/theirs'")
    with pytest.raises(InvalidConfig, match="1: journal: a project can only narrow"):
        read_project(tmp_path, ())
    user("[agents.claude]\njournal = 'x'")
    with pytest.raises(InvalidConfig, match=r"2: agents\.claude\.journal: it cannot stand"):
        read_user(("claude",))


# What opens it ----------------------------------------------------------------------------

SECRET = "tr0ub4dor"


@fault("S4")
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ada:{SECRET}@db/team",
        f"postgres://ada:{SECRET}@db/team",
        f"postgresql+psycopg://:{SECRET}@db",
        f"POSTGRESQL://ada:{SECRET}@db/team",
        f"postgresql://ada@db/team?password={SECRET}",
        f"postgresql://ada@db/team?sslmode=require&pass%77ord={SECRET}",
        f"postgresql://ada@db/team?sslpassword={SECRET}&sslkey=/k",
        f"postgresql://ada@db/team?oauth_client_secret={SECRET}",
        f"postgresql://ada@db/team?scram_client_key={SECRET}",
    ],
)
def test_password_in_a_url_is_refused_where_others_can_read_it(
    url: str, user: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidOption, match="a password must not stand in") as typed:
        take_option(url)
    user(f"max_turns = 3\njournal = '{url}'")
    with pytest.raises(InvalidConfig, match="2: journal: a password does not belong") as filed:
        choose()
    with pytest.raises(InvalidConfig, match="2: journal: a password does not belong"):
        read_user(())
    for refused in (typed, filed):
        assert "PGPASSFILE" in refused.value.hint
        assert SECRET not in f"{refused.value}"
    assert not os.environ["MIDFLIGHT_JOURNAL"]
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", url)
    told = choose()
    assert told.whole.endswith(url.partition(":")[2])
    assert SECRET not in f"{told} {told!r} {told.public} {told.url!r}"


@fault("S4")
@pytest.mark.parametrize("query", ["host=a&port=x", "host=a,b&port=1,2,3", "port=1,2"])
def test_ports_that_are_none_are_refused_without_the_url(query: str) -> None:
    with pytest.raises(InvalidOption, match="hosts and ports cannot be read") as bad:
        Database.at(f"postgresql://ada@/team?{query}")
    assert "ada" not in str(bad.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql:/ada:{SECRET}@db/team",
        f"postgresql:ada:{SECRET}@db",
        f"postgresql://ada:x@{SECRET}@db/team",
        f"postgresql://ada:x/{SECRET}@db/team",
        f"postgresql://ada:{SECRET}#@db/team",
        f"postgresql://ada:{SECRET}?@db/team",
        f"postgresql://ada:{SECRET}",
        f"postgresql://ada:x y{SECRET}@db",
        f"postgresq://ada:{SECRET}@db",
        f"host=db password={SECRET} dbname=team",
        f"user = ada password = '{SECRET}'",
    ],
)
def test_url_that_cannot_be_read_is_no_folder_and_never_told(
    url: str, user: Write, tmp_path: Path
) -> None:
    user(f'journal = "{url}"')
    for look in (lambda: take_option(url), choose, lambda: connect(url)):
        with pytest.raises((InvalidOption, InvalidConfig), match="cannot be read as a URL") as bad:
            look()
        assert SECRET not in f"{bad.value}"
    assert not (tmp_path / "state").exists()


def test_url_without_a_password_is_public_as_it_is() -> None:
    for url in (
        URL,
        "postgresql:///team",
        "postgresql://ada@/db?host=/run/pg",
        "postgresql://[::1]",
    ):
        read = DatabaseUrl.parse(url)
        assert (read.whole, read.public, read.secrets) == (url, url, ())
    both = DatabaseUrl.parse("postgres://ada:p%40w@db/team?sslmode=require&password=other")
    assert both.public == "postgresql://ada@db/team?sslmode=require"
    assert both.shown == "postgresql://ada@db/team"
    assert both.secrets == ("p@w", "other")


@fault("S4")
async def test_server_that_cannot_be_reached_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    for place in ("127.0.0.1:1", "db:99999", "/team?host=/no/such/folder"):
        with pytest.raises(StoreFailed, match="cannot be reached: ") as failed:
            await Journal(f"postgresql://ada@{place}").open()
        assert "PGHOST" in failed.value.hint
        assert SECRET not in f"{failed.value}"


@fault("S4")
def test_password_in_any_address_of_the_environment_is_blanked_out() -> None:
    clean = Redactor({"MIDFLIGHT_JOURNAL": "postgresql://ada:p%40ssw0rd@db/team"})
    assert clean("no p@ssw0rd, no p%40ssw0rd") == "no [redacted], no [redacted]"


@fault("S4")
def test_what_leads_to_the_journal_is_for_midflight_alone() -> None:
    env = {"MIDFLIGHT_JOURNAL": URL, "MIDFLIGHT_TOKEN": "t", "PGPASSWORD": "p", "PGHOST": "h"}
    assert for_others({**env, "PATH": "/bin", "GPG_KEY": "k"}) == {"PATH": "/bin", "GPG_KEY": "k"}
