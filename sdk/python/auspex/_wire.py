"""JSON without the cost of importing ``json``, which pulls in regular expressions: half of a plain run's start.

The C parts of ``json`` do the work where they are there (CPython), ``json`` itself otherwise.
"""

try:
    from _json import encode_basestring_ascii as _text
    from _json import make_scanner as _make_scanner
except ImportError:
    _make_scanner = None


class _Rules:
    """What the C scanner asks of a decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo = {}


def loads(text):
    """The value of a JSON text without blanks around it."""
    if _make_scanner is None:
        import json

        return json.loads(text)
    try:
        value, end = _make_scanner(_Rules)(text, 0)
    except StopIteration:
        raise ValueError("the text is not JSON") from None
    if end != len(text):
        raise ValueError(f"the JSON text goes on after character {end}")
    return value


def dumps(value):
    """A JSON text of dicts with text keys, lists, text, numbers, True, False and None; without blanks, ASCII only."""
    if _make_scanner is None:
        import json

        return json.dumps(value, separators=(",", ":"))
    parts = []
    _write(value, parts.append)
    return "".join(parts)


def _write(value, say):
    if value is None:
        say("null")
    elif value is True:
        say("true")
    elif value is False:
        say("false")
    elif isinstance(value, str):
        say(_text(value))
    elif isinstance(value, int):
        say(int.__repr__(value))
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value} has no JSON form")
        say(float.__repr__(value))
    elif isinstance(value, dict):
        say("{")
        for number, (name, member) in enumerate(value.items()):
            say(("," if number else "") + _text(name) + ":")
            _write(member, say)
        say("}")
    elif isinstance(value, (list, tuple)):
        say("[")
        for number, member in enumerate(value):
            if number:
                say(",")
            _write(member, say)
        say("]")
    else:
        raise TypeError(f"{type(value).__name__} has no JSON form")
