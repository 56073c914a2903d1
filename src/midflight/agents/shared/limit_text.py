"""What an agent's text says about the account's usage limit, where it has no field for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LIMIT = re.compile(
    r"usage.?limit|hit your .{0,40}limit|exhausted your .{0,40}quota|quota exceeded .*per day",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"resets?_?at\W{1,4}(\d{10})\b", re.IGNORECASE)
_CLOCK = re.compile(
    r"resets(?: at)? (?:(?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}),? (?:at )?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>[ap])m(?: \((?P<zone>[\w/+-]+)\))?"
)
_SPAN = re.compile(
    r"(?:again|resets?) (?:in|after) ((?:\d+ ?[a-z]+(?:,? (?:and )?)?)+)", re.IGNORECASE
)
_PART = re.compile(r"(\d+) ?([dhms])", re.IGNORECASE)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

MINUTE_S = 60.0
"""Agents name a time, or a span, to the minute: the reset comes within that minute."""


def is_usage_limit(text: str) -> bool:
    """Tell whether an agent's complaint is about the account's usage limit."""
    return _LIMIT.search(text) is not None


def resets_at(text: str, now: float) -> float | None:
    """Return when the limit is reset, in seconds since the epoch; None if the text does not say."""
    if match := _EPOCH.search(text):
        return float(match[1])
    if match := _CLOCK.search(text):
        return _at(match, now)
    if match := _SPAN.search(text):
        parts = _PART.findall(match[1])
        return now + sum(int(n) * _SECONDS[unit.lower()] for n, unit in parts) + MINUTE_S
    return None


def _at(match: re.Match[str], now: float) -> float | None:
    """Return the next such time of day, or that time on the day in the text."""
    zone = _zone(match["zone"])
    local = datetime.fromtimestamp(now, zone)
    hour = int(match["hour"]) % 12 + (12 if match["half"] == "p" else 0)
    try:
        at = local.replace(hour=hour, minute=int(match["minute"] or 0), second=0, microsecond=0)
        if match["month"]:
            at = at.replace(month=_MONTHS.index(match["month"]) + 1, day=int(match["day"]))
            if at < local - timedelta(days=1):
                at = at.replace(year=at.year + 1)
    except ValueError:
        return None
    if not match["month"] and at < local - timedelta(seconds=MINUTE_S):
        at += timedelta(days=1)
    return at.timestamp() + MINUTE_S


def _zone(name: str | None) -> tzinfo | None:
    """Return a zone by its name; without one, or one that is unknown here, the machine's own."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None
