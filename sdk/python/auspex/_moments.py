"""Points in time as the platform wants them."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Union

Moment = Union[str, date, datetime]


def moment_text(moment: Moment) -> str:
    """A time as RFC 3339 writes it. A day is its first moment, and what names no zone is UTC.

    >>> moment_text("2016-10-08"), moment_text(datetime(2016, 10, 8, 12))
    ('2016-10-08T00:00:00.000000Z', '2016-10-08T12:00:00.000000Z')
    >>> moment_text("2016-10-08T14:00:00+02:00")
    '2016-10-08T12:00:00.000000Z'
    """
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment[:-1] + "+00:00" if moment.endswith("Z") else moment)
        except ValueError:
            raise ValueError(f"{moment!r} is not a day or a time such as 2016-10-08T12:01:00Z") from None
    elif not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
