"""One figure of a benchmark beside its peer's."""

from dataclasses import dataclass


@dataclass
class Line:
    scenario: str
    what: str
    ours: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    note: str = ""

    def __str__(self) -> str:
        beside = f"   {self.peer}: {self.peer_value:,.2f}  ({self.ours / self.peer_value:.2f}x)" if self.peer_value else ""
        return f"{self.what:48} {self.ours:>12,.2f} {self.unit}{beside}{'   ' + self.note if self.note else ''}"
