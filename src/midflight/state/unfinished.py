"""What streams and is not whole yet, for a reader who comes in the middle of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from midflight import events as e

Piece = e.TextDelta | e.ThinkingDelta | e.ToolProgress

_Block = tuple[type[Piece], str | None]


def _block(piece: Piece) -> _Block:
    """Return which block a piece is of: that of an agent or sub-agent, or the output of a call."""
    return type(piece), piece.call if isinstance(piece, e.ToolProgress) else piece.parent


def unfinished(events: Iterable[e.Event]) -> list[Piece]:
    """Return what streams behind some events: each block's text so far, as one piece."""
    blocks: dict[_Block, list[Piece]] = {}
    for event in events:
        match event:
            case e.TextDelta() | e.ThinkingDelta() | e.ToolProgress():
                if event.so_far:
                    blocks[_block(event)] = [event]
                else:
                    blocks.setdefault(_block(event), []).append(event)
            case e.Text(parent=parent):
                blocks.pop((e.TextDelta, parent), None)
            case e.Thinking(parent=parent):
                blocks.pop((e.ThinkingDelta, parent), None)
            case e.Retry(parent=parent):
                blocks.pop((e.TextDelta, parent), None)
                blocks.pop((e.ThinkingDelta, parent), None)
            case e.ToolEnded(call=call):  # and with it a sub-agent that it was
                for kind in (e.TextDelta, e.ThinkingDelta, e.ToolProgress):
                    blocks.pop((kind, call), None)
            case e.TurnEnded() | e.SessionEnded():
                blocks.clear()
    return [_joined(pieces) for pieces in blocks.values()]


def _joined(pieces: list[Piece]) -> Piece:
    text = "".join(piece.text for piece in pieces)
    return msgspec.structs.replace(pieces[-1], text=text, so_far=True)


def beyond(told: Piece, known: Iterable[Piece]) -> Piece | None:
    """Return what a text so far has beyond what is ``known`` of its block; None for nothing.

    Where it does not go on from that, it is all of it, in place of what is known.
    """
    text = next((piece.text for piece in known if _block(piece) == _block(told)), "")
    if not text or not told.text.startswith(text):
        return told
    rest = told.text[len(text) :]
    return msgspec.structs.replace(told, text=rest, so_far=False) if rest else None
