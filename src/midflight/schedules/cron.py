"""When a schedule runs: a cron expression of five fields, in a time zone.

Where clocks are changed it is as with Debian's cron. A time of day (``30 2 * * *``) that is left
out comes at the first minute after it, and one that there is twice comes once, the first time. What
comes in every hour (``*`` or ``*/N`` in the field of the hours or of the minutes) goes by the time
that passes: it does not come in an hour that is left out, and comes twice in one that there is
twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from tzlocal import get_localzone_name

from midflight.errors import InvalidInput

FIELDS = 5

MAX_CHARS = 200
"""How long an expression may be."""

_EXAMPLE = 'five fields: minute, hour, day, month, weekday, such as "0 7 * * 1-5"'


def runs_after(cron: str, zone: str, moment: float) -> Iterator[float]:
    """Yield when a schedule runs after a moment, in seconds since the epoch.

    Raises `InvalidInput` for an expression or a zone that is none.
    """
    begin = datetime.fromtimestamp(moment, UTC).astimezone(_zone(zone))
    for found in _parsed(cron, begin):
        if found.timestamp() > moment:  # of two hours with one name it may begin in the second
            moment = found.timestamp()
            yield moment


def next_run(cron: str, zone: str, moment: float) -> float | None:
    """Return the first run after a moment; None where none comes within fifty years."""
    return next(runs_after(cron, zone, moment), None)


def local(moment: float, zone: str) -> datetime:
    """Return a moment as the clocks of a zone show it."""
    return datetime.fromtimestamp(moment, UTC).astimezone(_zone(zone))


def local_zone() -> str:
    """Return the name of this machine's time zone; UTC where it has none.

    Raises `InvalidInput` where its settings contradict each other.
    """
    try:
        return get_localzone_name() or "UTC"
    except ZoneInfoNotFoundError as error:
        raise InvalidInput("this machine's time zone is not clear", "name one: --zone") from error


def _parsed(cron: str, begin: datetime) -> CronSim:
    if len(cron) > MAX_CHARS or len(cron.split()) != FIELDS:  # the library takes seconds too
        raise InvalidInput(f"{cron[:MAX_CHARS]!r} says no times", _EXAMPLE)
    try:
        return CronSim(cron, begin)
    except CronSimError as error:
        why = str(error).lower().replace("bad", "its field is wrong:")
        raise InvalidInput(f"{cron!r} says no times: {why}", _EXAMPLE) from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{name[:MAX_CHARS]!r} is no time zone that is known here",
            "such as Europe/Berlin, or UTC; the system's tzdata, or `pip install tzdata`, has them",
        ) from error
