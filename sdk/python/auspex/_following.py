"""Keeps the place in a signal's rows, so that a follower neither skips a row nor sees one twice."""

from __future__ import annotations

from typing import List, Optional

from .errors import LedgerRestarted, MissingRows
from .models import PredictionPage, RecordedPrediction


class Place:
    """Where a follower stands.

    A page that was asked for with ``after_seq`` begins with the next row; anything else is an error, not a silent gap.
    """

    def __init__(self, after_seq: Optional[int]):
        self.seq = after_seq
        self._epoch: Optional[int] = None

    def take(self, page: PredictionPage) -> List[RecordedPrediction]:
        """The new rows of a page, in order."""
        if page.ledger_epoch is not None:
            if self._epoch is not None and page.ledger_epoch != self._epoch:
                raise LedgerRestarted("the ledger began anew; start again from the first row")
            self._epoch = page.ledger_epoch
        if self.seq is None:
            # The first answer only says where "now" is.
            self.seq = page.seq
            return []
        fresh = [row for row in sorted(page.items, key=lambda row: row.seq) if row.seq > self.seq]
        for row in fresh:
            if row.seq != self.seq + 1:
                raise MissingRows(self.seq + 1, row.seq)
            self.seq = row.seq
        return fresh
