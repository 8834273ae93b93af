"""A very small option reader: long options only, unknown ones refused in one line."""

from .console import usage


class Options:
    """Takes declared options out of an argument list; what is left must be asked for with `positional`."""

    def __init__(self, arguments: list[str], *, flags: tuple[str, ...] = (), values: tuple[str, ...] = ()):
        self.flags: set[str] = set()
        self.values: dict[str, str] = {}
        self.rest: list[str] = []
        waiting = list(arguments)
        while waiting:
            word = waiting.pop(0)
            name, equals, value = word.partition("=")
            if word in flags:
                self.flags.add(word)
            elif name in values:
                if not equals:
                    if not waiting:
                        raise usage(f"{name} needs a value")
                    value = waiting.pop(0)
                self.values[name] = value
            elif word.startswith("-") and word != "-":
                known = " ".join(flags + values) or "none"
                raise usage(f"unknown option '{word}' (known here: {known})")
            else:
                self.rest.append(word)

    def has(self, flag: str) -> bool:
        return flag in self.flags

    def value(self, name: str, default: str | None = None) -> str | None:
        return self.values.get(name, default)

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        text = self.values.get(name)
        if text is None:
            return default
        if not text.isdecimal() or not least <= int(text) <= most:
            raise usage(f"{name} must be a whole number from {least} to {most}, not '{text}'")
        return int(text)

    def none_left(self) -> None:
        if self.rest:
            raise usage(f"unexpected argument '{self.rest[0]}'")
