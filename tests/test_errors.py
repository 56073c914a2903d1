from __future__ import annotations

import re

from midflight import errors
from midflight.errors import AlreadyAnswered, EventsExpired, InvalidOption, MidflightError


def tree(cls: type[MidflightError]) -> dict[str, str]:
    """Return each class below ``cls`` in the module, and the name of its parent."""
    found: dict[str, str] = {}
    for child in (each for each in cls.__subclasses__() if each.__module__ == errors.__name__):
        found |= {child.__name__: cls.__name__} | tree(child)
    return found


def drawn() -> dict[str, str]:
    """Read the tree out of the docstring; four columns are one level."""
    lines = re.findall(r"^([│├└─ ]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    parents: list[str] = []
    found: dict[str, str] = {}
    for indent, name in lines[lines.index(("", "MidflightError")) :]:
        del parents[len(indent) // 4 :]
        if parents:
            found[name] = parents[-1]
        parents.append(name)
    return found


def test_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    assert drawn() == tree(MidflightError)
    assert set(errors.__all__) == {*drawn(), "MidflightError"}


def test_every_error_has_a_code_of_its_own() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    assert len({cls.code for cls in classes}) == len(classes)


def test_error_shows_its_hint_in_brackets() -> None:
    assert str(MidflightError("it broke")) == "it broke"
    assert str(MidflightError("it broke", "mend it")) == "it broke (mend it)"
    assert MidflightError("it broke", "mend it").message == "it broke"


def test_errors_name_what_they_are_about() -> None:
    assert InvalidOption("model", "is odd").option == "model"
    answered = AlreadyAnswered("r1", "allow", "user")
    assert (answered.request, answered.decision, answered.by) == ("r1", "allow", "user")
    expired = EventsExpired(3, 8)
    assert (expired.after, expired.oldest) == (3, 8)
    assert "after=7" in expired.hint
