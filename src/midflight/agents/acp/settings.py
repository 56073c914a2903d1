"""What an agent lets be chosen in a session: modes, models, effort, in either of ACP's forms.

The older form has ``modes`` and ``models`` with a method each, the newer one a list of options
with categories. An agent may use both, and then they mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from midflight.errors import UnsupportedOption

_MODES: Mapping[str, tuple[str, ...]] = {
    "default": ("default", "ask", "approve", "readonly"),
    "plan": ("plan",),
}
"""What agents call midflight's modes, without case and hyphens.

`AcpPermissions` makes up the others.
"""

_SHOWN = 8
_Change = tuple[str, dict[str, object]]
"""A method and its parameters, without the session."""


class Settings:
    """The choices of one session, as the agent reported them last."""

    def __init__(self, response: Mapping[str, Any]) -> None:
        """Read the answer to ``session/new`` or its like."""
        self._modes = _listed(response.get("modes"), "availableModes", "id")
        self._models = _listed(response.get("models"), "availableModels", "modelId")
        models = response.get("models")
        self._model = str(models.get("currentModelId", "")) if isinstance(models, dict) else ""
        self._options: dict[str, dict[str, Any]] = {}
        self.update(response)
        modes = response.get("modes")
        current = modes.get("currentModeId") if isinstance(modes, dict) else None
        self._first = str(current or self._chosen_option or "")
        self.mode = self._first

    @property
    def _chosen_option(self) -> object:
        return self._options.get("mode", {}).get("currentValue")

    def changed_to(self, update: Mapping[str, Any]) -> str | None:
        """Take in the agent's report of its mode; return the mode if it is not the one set here."""
        self.update(update)
        own, before = update.get("currentModeId") or self._chosen_option, self.mode
        if not isinstance(own, str) or own == before:
            return None
        self.mode = own
        meaning = self.meaning(own)  # the two forms may name one mode differently
        return None if meaning is not None and meaning == self.meaning(before) else own

    def meaning(self, own: str) -> str | None:
        """Return midflight's word for one of the agent's modes: plan, default, or none."""
        named = (mode for mode, words in _MODES.items() if _plain(own) in words)
        return next(named, None) or ("default" if own == self._mode("default") else None)

    def update(self, response: Mapping[str, Any]) -> None:
        """Take in the newer form, which always comes whole."""
        options = response.get("configOptions")
        if isinstance(options, list):
            self._options = {
                str(option.get("category") or option.get("id")): option
                for option in reversed(options)
                if isinstance(option, dict) and "id" in option
            }

    @property
    def model(self) -> str:
        """The model in use, as the agent names it; empty if it is not known."""
        option = self._options.get("model")
        return str(option.get("currentValue") or "") if option else self._model

    @property
    def has_models(self) -> bool:
        """The model can be chosen."""
        return bool(self._models or self._values("model"))

    @property
    def has_effort(self) -> bool:
        """The effort of reasoning can be chosen."""
        return bool(self._values("thought_level"))

    @property
    def has_modes(self) -> bool:
        """The agent has permission modes that midflight has a word for."""
        return any(self._mode(mode) is not None for mode in _MODES)

    def has_mode(self, mode: str) -> bool:
        """Tell whether the agent has this one of midflight's permission modes itself."""
        return self._mode(mode) is not None

    def _values(self, category: str) -> list[str]:
        """Return what an option can be set to; values may stand in groups."""
        listed = self._options.get(category, {}).get("options")
        items = (
            [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        )
        groups = [item.get("options") for item in items]
        items += [each for group in groups if isinstance(group, list) for each in group]
        return [str(item["value"]) for item in items if "value" in item]

    def _mode(self, mode: str) -> str | None:
        offered = [*self._modes, *self._values("mode")]
        plain = {_plain(each): each for each in offered}
        named = next((plain[word] for word in _MODES.get(mode, ()) if word in plain), None)
        if named is None and mode == "default" and self._first in offered:
            return self._first  # the one that it starts in
        return named

    # Changing -----------------------------------------------------------------------------

    def to_mode(self, mode: str) -> _Change | None:
        """Return how the agent is put into a mode; None if it has no such mode."""
        own = self._mode(mode)
        if own is None:
            return None
        self.mode = own
        if own in self._modes:
            return "session/set_mode", {"modeId": own}
        return self._set("mode", own)

    def named(self, model: str | None) -> str:
        """Return the agent's own name of a model, or of the one in use; as it is if none is known.

        Raises `UnsupportedOption` if it is not offered.
        """
        if model is None:
            return self.model
        return self._named(model) if self.has_models else model

    def to_model(self, model: str) -> tuple[str, str, dict[str, object]]:
        """Return the agent's own name of a model, and how that is chosen.

        Raises `UnsupportedOption` if it is not offered.
        """
        own = self._named(model)
        if self._values("model"):
            return own, *self._set("model", own)
        return own, "session/set_model", {"modelId": own}

    def model_taken(self, own: str) -> None:
        """Note which model the agent has taken; in the older form nothing else tells it."""
        self._model = own

    def _named(self, model: str) -> str:
        values = self._values("model") or self._models
        own = _best(model, values, self.model)
        if own is None:
            shown = ", ".join(values[:_SHOWN]) + (", …" if len(values) > _SHOWN else "")
            known = f"offered: {shown}" if values else "the agent lets none be chosen"
            raise UnsupportedOption("model", f"{model!r} is not offered", known)
        return own

    def to_effort(self, effort: str) -> _Change:
        """Return how the effort is chosen. Raises `UnsupportedOption` if it is not offered."""
        values = self._values("thought_level")
        if effort not in values:
            known = f"offered: {', '.join(values)}" if values else "the agent lets none be chosen"
            raise UnsupportedOption("effort", f"{effort!r} is not offered", known)
        return self._set("thought_level", effort)

    def _set(self, category: str, value: str) -> _Change:
        return "session/set_config_option", {
            "configId": self._options[category]["id"],
            "value": value,
        }


def _plain(mode: str) -> str:
    """Return an agent's name of a mode without case, hyphens and what stands before a #."""
    return re.sub(r"[^a-z]", "", mode.rpartition("#")[2].casefold())


def _listed(response: object, field: str, key: str) -> list[str]:
    listed = response.get(field) if isinstance(response, dict) else None
    return [
        str(item[key])
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict) and key in item
    ]


def _best(wanted: str, values: list[str], current: str) -> str | None:
    """Return the model that is meant: itself, else the newest one with this word in its name.

    Models of the provider in use come first, and plain names before those with a variant.
    """
    if wanted in values:
        return wanted
    word = re.compile(rf"(?<![a-z0-9]){re.escape(wanted.casefold())}(?![a-z0-9])")
    matching = [value for value in values if word.search(value.casefold())]
    provider = current.partition("/")[0]

    def rank(value: str) -> tuple[bool, list[int], int]:
        version = [int(part) for part in re.findall(r"(?<![0-9])[0-9]{1,2}(?![0-9])", value)]
        return value.partition("/")[0] == provider, version, -len(value)

    return max(matching, key=rank, default=None)
