"""What a platform answers, as frozen dataclasses. Prices and values are :class:`decimal.Decimal`, times are datetimes in UTC.

Every object keeps the JSON that it was read from in ``raw``, so fields that are newer than this package can be read too.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from .errors import UnreadableAnswer

Value = Union[Decimal, Dict[str, Decimal]]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Says of ``what`` which part of it was not there, or was something else."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableAnswer(f"{what} without {error}") from None


def parse_time(text: Optional[str]) -> Optional[datetime]:
    """A time as the platform writes it.

    >>> parse_time("2016-10-08T12:01:00.000000Z").isoformat()
    '2016-10-08T12:01:00+00:00'
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except (ValueError, TypeError):
        raise UnreadableAnswer(f"{text!r} is not a time") from None
    return moment.astimezone(timezone.utc)


def _decimal(text: Optional[str]) -> Optional[Decimal]:
    if text is None:
        return None
    try:
        return Decimal(text)
    except (InvalidOperation, TypeError):
        raise UnreadableAnswer(f"{text!r} is not a decimal number") from None


def _value(raw: Any) -> Value:
    if isinstance(raw, Mapping):
        return {level: Decimal(number) for level, number in raw.items()}
    value = _decimal(raw)
    if value is None:
        raise UnreadableAnswer("a prediction without a value")
    return value


@dataclass(frozen=True)
class Seal:
    """The signed statement that a row was there at a time."""

    n: int
    root: str
    sealed_at: Optional[datetime]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Seal":
        return cls(raw["n"], raw["root"], parse_time(raw.get("sealed_at")))


@dataclass(frozen=True)
class Outcome:
    """What really happened in the window of a prediction, once it is known."""

    state: str
    opens_at: Optional[datetime]
    open_price: Optional[Decimal]
    closes_at: Optional[datetime]
    close_price: Optional[Decimal]
    realised_return: Optional[Decimal]
    correct: Optional[bool]
    counts: bool
    reason: Optional[str]
    settled_at: Optional[datetime]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Outcome":
        return cls(
            raw["state"], parse_time(raw.get("opens_at")), _decimal(raw.get("open_price")), parse_time(raw.get("closes_at")),
            _decimal(raw.get("close_price")), _decimal(raw.get("realised_return")), raw.get("correct"), bool(raw.get("counts")),
            raw.get("reason"), parse_time(raw.get("settled_at")),
        )


@dataclass(frozen=True)
class RecordedPrediction:
    """One row of a signal's ledger: a prediction, recorded before its outcome was known."""

    signal_id: str
    seq: int
    made_at: datetime
    instrument: str
    kind: str
    value: Value
    as_of: datetime
    target_from: datetime
    target_to: datetime
    reference_price: Optional[Decimal]
    feed: str
    late: bool
    link: str
    seal: Optional[Seal]
    outcome: Optional[Outcome]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "RecordedPrediction":
        with reading("a prediction"):
            return cls(
                raw["signal_id"], int(raw["seq"]), required_time(raw["made_at"]), raw["instrument"], raw["kind"], _value(raw["value"]),
                required_time(raw["as_of"]), required_time(raw["target_from"]), required_time(raw["target_to"]), _decimal(raw.get("reference_price")),
                raw["feed"], bool(raw["late"]), raw["link"], Seal.read(raw["seal"]) if raw.get("seal") else None,
                Outcome.read(raw["outcome"]) if raw.get("outcome") else None, raw,
            )


def required_time(text: Optional[str]) -> datetime:
    """The same of a time that has to be there."""
    moment = parse_time(text)
    if moment is None:
        raise UnreadableAnswer("a time is missing")
    return moment


@dataclass(frozen=True)
class PredictionPage:
    """Rows of one signal, and where the signal stands: no news, did not run and failed are three different things."""

    signal_id: str
    items: Tuple[RecordedPrediction, ...]
    seq: int
    link: str
    root: Optional[str]
    ledger_epoch: Optional[int]
    signal_state: str
    last_due_at: Optional[datetime]
    last_outcome: Optional[str]
    next_due_at: Optional[datetime]
    next_cursor: Optional[str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "PredictionPage":
        with reading("a page of predictions"):
            return cls(
                raw["signal_id"], tuple(RecordedPrediction.read(item) for item in raw["items"]), int(raw["seq"]), raw["link"],
                raw.get("root"), raw.get("ledger_epoch"), raw["signal_state"], parse_time(raw.get("last_due_at")),
                raw.get("last_outcome"), parse_time(raw.get("next_due_at")), raw.get("next_cursor"), raw,
            )


@dataclass(frozen=True)
class Signal:
    """A signal as lists show it; ``raw`` has the rest."""

    id: str
    name: str
    description: str
    state: str
    feed: Optional[str]
    instruments: Tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Signal":
        with reading("a signal"):
            return cls(
                raw["id"], raw["name"], raw.get("description", ""), raw["state"], raw.get("feed"), tuple(raw.get("instruments") or ()), raw
            )


@dataclass(frozen=True)
class Version:
    """An immutable version of a signal's code."""

    id: str
    signal_id: str
    number: int
    sha256: str
    note: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Version":
        with reading("a version"):
            return cls(raw["id"], raw["signal_id"], int(raw["number"]), raw["sha256"], raw.get("note", ""), raw)


@dataclass(frozen=True)
class DryRun:
    """One run in the sandbox that records nothing: how far it is, and at the end its rows or what went wrong."""

    id: str
    version: int
    state: str
    failure_kind: Optional[str]
    error_message: Optional[str]
    rows: Tuple[Mapping[str, Any], ...]
    refusal: Optional[Mapping[str, Any]]
    log: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    cpu_seconds: Optional[float] = None
    memory_peak_bytes: Optional[int] = None

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """How long its stages took, in milliseconds; empty when it failed."""
        return (self.raw.get("result") or {}).get("stages_ms") or {}

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "DryRun":
        with reading("a dry run"):
            result = raw.get("result") or {}
            return cls(
                raw["id"], int(raw["version"]), raw["state"], raw.get("failure_kind"), raw.get("error_message"),
                tuple(result.get("rows") or ()), raw.get("refusal"), raw.get("log") or "", raw, raw.get("cpu_seconds"), raw.get("memory_peak_bytes"),
            )

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("completed", "failed", "cancelled")

    @property
    def succeeded(self) -> bool:
        """Whether the rows would have been recorded."""
        return self.state == "completed" and not self.refusal


@dataclass(frozen=True)
class Subscription:
    """An account's right to read a signal's predictions."""

    id: str
    signal_id: str
    active: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Subscription":
        with reading("a subscription"):
            return cls(raw["id"], raw["signal_id"], bool(raw["active"]), raw)


@dataclass(frozen=True)
class Page:
    """A part of a list; ``next_cursor`` is None at its end."""

    items: Tuple[Any, ...]
    next_cursor: Optional[str]

    @classmethod
    def of(cls, kind: Any):
        def read(raw: Mapping[str, Any]) -> "Page":
            with reading("a list"):
                return cls(tuple(kind(item) for item in raw["items"]), raw.get("next_cursor"))

        return read


def read_list(raw: Mapping[str, Any]) -> List[Any]:
    """The items of a list answer as they came."""
    items = raw.get("items")
    if not isinstance(items, list):
        raise UnreadableAnswer("a list without items")
    return items
