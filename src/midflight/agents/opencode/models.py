"""OpenCode's models: which one a name means, what it costs, and its variants."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, NamedTuple

from midflight.errors import UnsupportedOption
from midflight.values import TokenUsage

PER_MILLION = 1_000_000
_FREE_PROVIDER = "opencode"
"""OpenCode's own provider offers other providers' models too; theirs come first."""


class Model(NamedTuple):
    """A model: its provider and its id there. As text it is ``provider/id``."""

    provider: str
    id: str

    def __str__(self) -> str:
        """Return the name that the option `model` takes."""
        return f"{self.provider}/{self.id}"


class Models:
    """The models that the server offers."""

    def __init__(self, response: dict[str, Any], default: str | None) -> None:
        """``response`` is that of ``/config/providers``; ``default`` is the configured model."""
        self._models: dict[Model, dict[str, Any]] = {
            Model(provider["id"], name): model
            for provider in response.get("providers") or ()
            for name, model in (provider.get("models") or {}).items()
        }
        self.default = default
        self._home = (default or "").split("/")[0]

    def find(self, name: str) -> Model:
        """Return the model that a name means: ``provider/id``, an id, or a part of one.

        Raises `UnsupportedOption` that names the nearest ones.
        """
        exact = Model(*name.split("/", 1)) if "/" in name else None
        if exact in self._models:
            return exact
        if exact is not None and exact.provider in {model.provider for model in self._models}:
            matching = []  # The provider is known, and does not have it.
        else:
            matching = [model for model in self._models if model.id == name] or [
                model for model in self._models if name.lower() in model.id.lower()
            ]
        if not matching:
            near = self._near(name)
            hint = f"did you mean {', '.join(near)}?" if near else "see `opencode models`"
            raise UnsupportedOption("model", f"OpenCode has no {name!r}", hint)
        return max(matching, key=self._rank)

    def _near(self, name: str) -> list[str]:
        """Return names near to it: parts of ids such as ``sonnet``, else whole names."""
        parts = {part for model in self._models for part in model.id.lower().split("-")}
        whole = [str(model) for model in self._models]
        return difflib.get_close_matches(name.lower(), sorted(parts), 3, 0.7) or (
            difflib.get_close_matches(name, whole, 3, 0.4)
        )

    def _rank(self, model: Model) -> tuple[bool, bool, bool, str, int]:
        """Prefer the configured provider, then what is current, new, and plainly named."""
        info = self._models[model]
        return (
            model.provider == self._home,
            model.provider != _FREE_PROVIDER,
            info.get("status", "active") == "active",
            str(info.get("release_date") or ""),
            -len(model.id),
        )

    def variant(self, model: Model, effort: str) -> str:
        """Return the model's variant for an effort. Raises `UnsupportedOption`."""
        variants = (self._models.get(model) or {}).get("variants") or {}
        if effort not in variants:
            known = ", ".join(variants) or "none"
            raise UnsupportedOption("effort", f"{model} knows {known}, not {effort!r}")
        return effort

    def check_images(self, name: str) -> None:
        """Raise `UnsupportedOption` if a model takes no images; OpenCode would leave them out."""
        model = Model(*name.split("/", 1)) if "/" in name else None
        known = (self._models.get(model) or {}).get("capabilities") or {} if model else {}
        if (known.get("input") or {}).get("image") is False:
            raise UnsupportedOption("images", f"{name} takes none", "choose another model")

    def price(self, name: str, used: TokenUsage) -> float | None:
        """Return US dollars for tokens of a model, by the server's own list; None if unknown.

        A model without a price has prices of 0 there. Only OpenCode's own provider gives models
        away, so of any other it is not known what such a model costs.
        """
        model = Model(*name.split("/", 1)) if "/" in name else None
        cost = (self._models.get(model) or {}).get("cost") or {} if model else {}
        cache = cost.get("cache") or {}
        prices = [cost.get("input"), cost.get("output"), cache.get("read"), cache.get("write")]
        if model is None or not (any(prices) or model.provider == _FREE_PROVIDER):
            return None
        counts: Iterator[int] = (getattr(used, name) for name in used.__struct_fields__)
        return sum(n * float(usd or 0) for n, usd in zip(counts, prices, strict=True)) / PER_MILLION


class ModelChoice:
    """Which model a session uses, and with which effort."""

    def __init__(self, models: Models) -> None:
        """Begin with the configured one."""
        self._models = models
        self._model: Model | None = None
        self._variant: str | None = None

    @property
    def name(self) -> str:
        """The model, as far as it is known."""
        return str(self._model or self._models.default or "")

    def priced(self, name: str | None) -> bool:
        """Tell whether it is known what a model costs, or the one in use, if that is known.

        Raises `UnsupportedOption` for one that there is not.
        """
        own = str(self._models.find(name)) if name else self.name
        return not own or self._models.price(own, TokenUsage()) is not None

    def use(self, name: str) -> str:
        """Use a model, and return its own name. Raises `UnsupportedOption`."""
        model = self._models.find(name)
        if self._variant is not None:
            self._models.variant(model, self._variant)
        self._model = model
        return str(model)

    def think(self, effort: str) -> None:
        """Use the model with this effort. Raises `UnsupportedOption`."""
        if self._model is None:
            raise UnsupportedOption("effort", "it depends on the model", "set model= as well")
        self._variant = self._models.variant(self._model, effort)

    def check_images(self) -> None:
        """Raise `UnsupportedOption` if the model takes no images, as far as that is known."""
        self._models.check_images(self.name)

    def prompt_fields(self) -> dict[str, Any]:
        """Return the fields of a prompt that choose the model."""
        fields: dict[str, Any] = {}
        if self._model is not None:
            fields["model"] = {"providerID": self._model.provider, "modelID": self._model.id}
        if self._variant is not None:
            fields["variant"] = self._variant
        return fields

    def ref(self) -> dict[str, str] | None:
        """Return the chosen model in OpenCode 2's form; None if none was chosen."""
        if self._model is None:
            return None
        ref = {"providerID": self._model.provider, "id": self._model.id}
        return ref if self._variant is None else {**ref, "variant": self._variant}
