"""From what the author's function returned to rows that keep the manifest's promise. The executor and the ledger check every row again, by the same rules
(``OutputRules.swift``; ``sdk/golden/rows.json`` holds all to one verdict)."""

from .author import KINDS, LONGEST_VALUE, InvalidPrediction, Prediction

EARLIEST = -62135596800 * 1000000
LATEST = 253402300799 * 1000000
MOST_LEVELS = 99


def decimal_text(value, what="value"):
    """A number as decimal text without an exponent; refuses what is not finite or not a number."""
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()  # a numpy scalar, or an array of one element
    if isinstance(value, bool):
        raise InvalidPrediction(f"{what} is {value}, which is no number; use 1, 0 or -1")
    if isinstance(value, int):
        text = str(value)
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidPrediction(f"{what} is {value}, but must be finite")
        text = repr(value)
        if "e" in text:
            text = _plain(text)
    elif isinstance(value, str):
        text = value
        digits = text[1:] if text.startswith("-") else text
        whole, point, fraction = digits.partition(".")
        if not (whole.isascii() and whole.isdigit()) or (point and not (fraction.isascii() and fraction.isdigit())):
            raise InvalidPrediction(f"{what} is {text[:40]!r}, which is not decimal text such as '-12.50'")
    elif type(value).__name__ == "Decimal":
        if not value.is_finite():
            raise InvalidPrediction(f"{what} is {value}, but must be finite")
        text = format(value, "f")
    else:
        raise InvalidPrediction(f"{what} is of type {type(value).__name__}, but must be a number")
    text = _canonical(text)
    if len(text) > LONGEST_VALUE:
        raise InvalidPrediction(f"{what} has {len(text)} characters, but may have {LONGEST_VALUE}")
    return text


def _plain(text):
    """Writes out the exponent of a float's text."""
    mantissa, _, exponent = text.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, point = whole + fraction, len(whole) + int(exponent)
    if point <= 0:
        return sign + "0." + "0" * -point + digits
    return sign + digits[:point].ljust(point, "0") + "." + (digits[point:] or "0")


def _canonical(text):
    """One spelling for one number: no leading zeros, no trailing zeros after the point, no minus before zero."""
    sign = text.startswith("-")
    whole, _, fraction = text.lstrip("-").partition(".")
    whole = whole.lstrip("0") or "0"
    fraction = fraction.rstrip("0")
    text = whole + ("." + fraction if fraction else "")
    return "-" + text if sign and text != "0" else text


def microseconds(value, what):
    """A time as microseconds since 1970 UTC."""
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if isinstance(value, bool):
        raise InvalidPrediction(f"{what} is {value}, which is no time")
    if isinstance(value, int):
        number = value
    else:
        from datetime import datetime, timedelta, timezone

        if isinstance(value, str):
            try:
                # Pythons before 3.11 do not read the Z.
                value = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
            except ValueError:
                raise InvalidPrediction(f"{what} is {value[:40]!r}, which is not a time such as '2016-10-08T12:01:00Z'") from None
        if not isinstance(value, datetime):
            raise InvalidPrediction(f"{what} is of type {type(value).__name__}, but must be a datetime, ISO text or microseconds")
        if value.tzinfo is None:
            raise InvalidPrediction(f"{what} has no time zone")
        number = (value - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    if not EARLIEST <= number <= LATEST:
        raise InvalidPrediction(f"{what} is {number} microseconds since 1970, which lies outside the years 1 to 9999")
    return number


def iso(number):
    """Microseconds since 1970 UTC as ISO text with all six digits. By arithmetic: importing datetime costs a plain run a millisecond."""
    seconds, fraction = divmod(number, 1000000)
    days, clock = divmod(seconds, 86400)
    # Days to a civil date with years that begin in March, so that the leap day is the last of its year.
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day:02}T{clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}.{fraction:06}Z"


def _at_most(number, bound):
    """Whether a decimal text is at most a small whole number, without going through float."""
    whole, _, fraction = number.partition(".")
    return int(whole) < bound or (int(whole) == bound and not fraction)


def checked_value(kind, value):
    """The value as it is stored, refused when it is not of the kind."""
    if kind == "quantiles":
        return _quantiles(value)
    text = decimal_text(value)
    if kind == "direction" and text not in ("-1", "0", "1"):
        raise InvalidPrediction(f"value is {text}, but a direction is -1, 0 or 1")
    if kind == "probability" and (text.startswith("-") or not _at_most(text, 1)):
        raise InvalidPrediction(f"value is {text}, but a probability lies between 0 and 1")
    if kind == "return" and text.startswith("-") and not _at_most(text[1:], 1):
        raise InvalidPrediction(f"value is {text}, but a return is -1 or more")
    return text


def _quantiles(value):
    if not hasattr(value, "items"):
        raise InvalidPrediction(f"value is of type {type(value).__name__}, but quantiles are a mapping such as {{0.1: 99.5, 0.9: 101}}")
    levels = {}
    for level, number in value.items():
        name = decimal_text(level, "a level")
        if name.startswith("-") or name == "0" or not name.startswith("0."):
            raise InvalidPrediction(f"level {name} does not lie between 0 and 1")
        if name in levels:
            raise InvalidPrediction(f"level {name} is there twice")
        levels[name] = decimal_text(number, f"the value at level {name}")
    if not levels:
        raise InvalidPrediction("quantiles have no level")
    if len(levels) > MOST_LEVELS:
        raise InvalidPrediction(f"there are {len(levels)} levels, more than {MOST_LEVELS}")
    from decimal import Decimal

    ordered = sorted(levels, key=Decimal)
    for lower, upper in zip(ordered, ordered[1:]):
        if Decimal(levels[lower]) > Decimal(levels[upper]):
            raise InvalidPrediction(f"the value at level {lower} is above the value at level {upper}")
    return {name: levels[name] for name in ordered}


def rows_of(returned, output, as_of):
    """The rows of what the function returned: a prediction, several, or none. ``output`` is the manifest's; ``as_of`` in microseconds."""
    if returned is None:
        return []
    if isinstance(returned, Prediction):
        returned = [returned]
    try:
        # What a dict or a text would give one by one is no prediction, and names the fault badly.
        predictions = iter(None if isinstance(returned, (dict, str, bytes)) else returned)
    except TypeError:
        raise InvalidPrediction(
            f"the function returned {type(returned).__name__}, but must return a Prediction, several, or None"
        ) from None
    rows = []
    for number, prediction in enumerate(predictions):
        if number >= output["maximum_rows"]:
            raise InvalidPrediction(f"there are more rows than the manifest's maximum_rows, {output['maximum_rows']}", number)
        try:
            rows.append(_row(number, prediction, output, as_of))
        except InvalidPrediction as error:
            if error.row is not None:
                raise
            raise InvalidPrediction(error.reason, number) from None
    return rows


def _row(number, prediction, output, as_of):
    if not isinstance(prediction, Prediction):
        raise InvalidPrediction(f"it is of type {type(prediction).__name__}, but must be a Prediction")
    kind = prediction.kind or output["kind"]
    if kind != output["kind"]:
        said = f"{kind!r}" if kind in KINDS else f"{kind!r}, which is no kind at all"
        raise InvalidPrediction(f"kind is {said}, but the manifest promises {output['kind']!r}")
    instrument = prediction.instrument or output["instrument"]
    if instrument != output["instrument"]:
        raise InvalidPrediction(f"instrument is {instrument!r}, but the manifest promises {output['instrument']!r}")
    start = as_of if prediction.target_from is None else microseconds(prediction.target_from, "target_from")
    if start < as_of:
        raise InvalidPrediction("target_from lies before as_of: that is known already")
    horizon = int(output["horizon_seconds"])
    end = start + horizon * 1000000
    if prediction.target_to is not None:
        said = microseconds(prediction.target_to, "target_to")
        if said <= start:
            raise InvalidPrediction("target_to does not lie after target_from")
        if said != end:
            raise InvalidPrediction(f"target_to must be horizon_seconds ({horizon}) after target_from")
    return {
        "row": number,
        "instrument": instrument,
        "kind": kind,
        "value": checked_value(kind, prediction.value),
        "target_from": iso(start),
        "target_to": iso(end),
    }
