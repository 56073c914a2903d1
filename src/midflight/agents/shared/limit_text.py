"""What agents say in words about the account's usage limit, where they have no field for it."""

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
"""Times of day are told to the minute, and spans too: the reset is within the one that is named."""


def is_usage_limit(words: str) -> bool:
    """Tell whether an agent's complaint is about the account's usage limit."""
    return _LIMIT.search(words) is not None


def resets_at(words: str, now: float) -> float | None:
    """Return when the limit is reset, in seconds since the epoch; None if that is not said."""
    if found := _EPOCH.search(words):
        return float(found[1])
    if found := _CLOCK.search(words):
        return _at(found, now)
    if found := _SPAN.search(words):
        parts = _PART.findall(found[1])
        return now + sum(int(n) * _SECONDS[unit.lower()] for n, unit in parts) + MINUTE_S
    return None


def _at(said: re.Match[str], now: float) -> float | None:
    """Return the next such time of day, or that time of the day that is named."""
    zone = _zone(said["zone"])
    here = datetime.fromtimestamp(now, zone)
    hour = int(said["hour"]) % 12 + (12 if said["half"] == "p" else 0)
    try:
        at = here.replace(hour=hour, minute=int(said["minute"] or 0), second=0, microsecond=0)
        if said["month"]:
            at = at.replace(month=_MONTHS.index(said["month"]) + 1, day=int(said["day"]))
            if at < here - timedelta(days=1):
                at = at.replace(year=at.year + 1)
    except ValueError:
        return None
    if not said["month"] and at < here - timedelta(seconds=MINUTE_S):
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
