"""The parameters of a manifest: plain values, and declarations with a type, a default and bounds, whose values may differ from run to run.

The platform reads them in the same way (``DeclaredParameters.swift``); ``sdk/golden/parameters.json`` holds both to one verdict.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Dict, List, Mapping, Optional, Tuple

TYPES = ("integer", "number", "text", "boolean")
KEYS = ("choices", "default", "description", "maximum", "minimum", "type")


class ParameterFault(ValueError):
    """What is wrong with a parameter; ``field`` is its name, with the key of its declaration that is at fault."""

    def __init__(self, field: str, reason: str):
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def is_declaration(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("type") in TYPES and "default" in value


def faults(parameters: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """Everything that is wrong with declarations.

    >>> faults({"window": {"type": "integer", "default": 0, "minimum": 2}, "plain": 1})
    [('window.default', 'must be at least 2')]
    """
    found: List[Tuple[str, str]] = []
    for name, declared in sorted(parameters.items()):
        if not is_declaration(declared):
            continue
        for key in sorted(set(declared) - set(KEYS)):
            found.append((f"{name}.{key}", f"is not a key of declarations; known are {', '.join(KEYS)}"))
        for key in ("minimum", "maximum"):
            if key in declared and declared["type"] not in ("integer", "number"):
                found.append((f"{name}.{key}", "is for numbers only"))
            elif key in declared and not _is_number(declared[key]):
                found.append((f"{name}.{key}", "must be a number"))
        if "choices" in declared:
            choices = declared["choices"]
            if not isinstance(choices, list) or not choices:
                found.append((f"{name}.choices", "must be a list of values"))
            else:
                wrong = next((reason for reason in (_type_fault(choice, declared) for choice in choices) if reason), None)
                if wrong:
                    found.append((f"{name}.choices", wrong))
        reason = _fault(declared["default"], declared)
        if reason:
            found.append((f"{name}.default", reason))
    return found


def values(parameters: Mapping[str, Any], given: Mapping[str, Any]) -> Dict[str, Any]:
    """The values of a run: defaults where nothing else is given. Only declared parameters may be given."""
    found = {name: value["default"] if is_declaration(value) else value for name, value in parameters.items()}
    for name, value in sorted(given.items()):
        if not is_declaration(parameters.get(name)):
            raise ParameterFault(name, "is not a parameter that the manifest declares")
        reason = _fault(value, parameters[name])
        if reason:
            raise ParameterFault(name, reason)
        found[name] = value
    return found


def read(text: str, declared: Any) -> Any:
    """A value as it is given on a command line: by the declared type."""
    if is_declaration(declared) and declared["type"] != "text":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fault(value: Any, declared: Mapping[str, Any]) -> Optional[str]:
    reason = _type_fault(value, declared)
    if reason:
        return reason
    if _is_number(value):
        for key, words, is_beyond in (("minimum", "at least", lambda a, b: a < b), ("maximum", "at most", lambda a, b: a > b)):
            bound = declared.get(key)
            if _is_number(bound) and is_beyond(Decimal(repr(value)), Decimal(repr(bound))):
                return f"must be {words} {_plain(bound)}"
    choices = declared.get("choices")
    if isinstance(choices, list) and value not in choices:
        return f"must be one of {', '.join(json.dumps(choice, ensure_ascii=False) for choice in choices)}"
    return None


def _plain(number: Any) -> str:
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _type_fault(value: Any, declared: Mapping[str, Any]) -> Optional[str]:
    kind = declared["type"]
    if kind == "integer":
        return None if isinstance(value, int) and not isinstance(value, bool) else "must be a whole number"
    if kind == "number":
        return None if _is_number(value) else "must be a number"
    if kind == "text":
        return None if isinstance(value, str) else "must be text"
    return None if isinstance(value, bool) else "must be true or false"
