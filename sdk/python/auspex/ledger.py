"""An independent verifier of prediction ledgers. It shares no code with the platform and needs nothing but this file and the standard library.

A signal's rows form a hash chain, all integers big-endian::

    leaf = SHA-256(0x00 || nonce || payload)
    link = SHA-256(0x01 || previous link || signal_id || seq || made_at in microseconds || leaf)      first previous link: 32 zero bytes

and every second with new rows is sealed over the heads of all chains that grew::

    root = SHA-256(0x02 || previous root || M)      M: Merkle root (RFC 6962) over signal_id || seq || link, in order of signal_id

So a row that is changed, missing, swapped, back-dated or cut off is found, and named by its ``seq``.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence

from . import _p256
from .errors import AuspexError

ZERO = bytes(32)


class LedgerFormatError(AuspexError):
    """The document is not a ledger: a part is missing or of the wrong form."""


@dataclass(frozen=True)
class LedgerFault:
    """What is wrong first, and where.

    ``kind``: ``gap`` (a row is missing, or two are swapped), ``payload`` (a changed row), ``link`` (the row does not follow from the one
    before), ``truncated`` (rows that were sealed are missing at the end), ``seal`` (the chain is not the one that was sealed), ``merkle``,
    ``root`` and ``signature`` (a seal itself is wrong).
    """

    kind: str
    seq: Optional[int] = None
    seal: Optional[int] = None

    def __str__(self) -> str:
        words = f"first bad row {self.seq}" if self.seq is not None else "no row is bad, but a seal is"
        if self.seal is not None:
            words += f", against seal {self.seal}"
        return f"{words}: {self.kind}"


@dataclass(frozen=True)
class Verdict:
    """The result of a check. It is true when the ledger is sound."""

    signal_id: str
    rows: int
    seals: int
    #: Rows whose payload was checked; without payloads only the chain was.
    payloads: int
    #: Seals whose signature was checked.
    signatures: int
    fault: Optional[LedgerFault]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault is None

    def __bool__(self) -> bool:
        return self.is_good

    def __str__(self) -> str:
        if self.fault is not None:
            return f"BAD   {self.signal_id}: {self.fault}"
        return f"good  {self.signal_id}: {self.rows} rows ({self.payloads} with payload), {self.seals} seals ({self.signatures} signatures checked)"


def leaf_hash(nonce: bytes, payload: str) -> bytes:
    """The hash of one payload; the nonce keeps outsiders from guessing it."""
    return hashlib.sha256(b"\x00" + nonce + payload.encode()).digest()


def link_hash(previous: bytes, signal: bytes, seq: int, made_at_us: int, leaf: bytes) -> bytes:
    """The next link of a chain.

    >>> link_hash(bytes(32), bytes(16), 1, 0, bytes(32)).hex()[:16]
    'a86e19eaa243ccd3'
    """
    return hashlib.sha256(b"\x01" + previous + signal + _int64(seq) + _int64(made_at_us) + leaf).digest()


def merkle_root(entries: Sequence[bytes]) -> bytes:
    """The tree hash of RFC 6962.

    >>> merkle_root([]) == hashlib.sha256(b"").digest()
    True
    """
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + merkle_root(entries[:split]) + merkle_root(entries[split:])).digest()


def root_hash(previous: bytes, merkle: bytes) -> bytes:
    """The next root of the chain of seals."""
    return hashlib.sha256(b"\x02" + previous + merkle).digest()


def _int64(number: int) -> bytes:
    try:
        return number.to_bytes(8, "big", signed=True)
    except (OverflowError, AttributeError):
        raise LedgerFormatError(f"{number!r} is not a 64-bit number") from None


def _bytes(text: Any, length: int, what: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except (ValueError, TypeError):
        raise LedgerFormatError(f"{what} is not hex") from None
    if len(data) != length or len(text) != 2 * length:
        raise LedgerFormatError(f"{what} has not {length} bytes")
    return data


def _signal_bytes(text: Any) -> bytes:
    try:
        return uuid.UUID(text).bytes
    except (ValueError, TypeError, AttributeError):
        raise LedgerFormatError(f"{text!r} is not a signal's id") from None


def _whole(raw: Mapping[str, Any], name: str, what: str) -> int:
    number = raw.get(name)
    if isinstance(number, bool) or not isinstance(number, int):
        raise LedgerFormatError(f"{what} has no number {name}")
    return number


@dataclass(frozen=True)
class _Row:
    seq: int
    made_at_us: int
    payload: Optional[str]
    nonce: Optional[bytes]
    leaf: bytes
    link: bytes


@dataclass(frozen=True)
class _Head:
    signal: bytes
    seq: int
    link: bytes

    @property
    def entry(self) -> bytes:
        return self.signal + _int64(self.seq) + self.link


@dataclass(frozen=True)
class _Seal:
    n: int
    heads: Sequence[_Head]
    merkle: bytes
    root: bytes
    previous_root: Optional[bytes]
    sealed_at_us: Optional[int]
    signature: Optional[str]
    key_id: Optional[str]


def verify_ledger(document: Mapping[str, Any], keys: Optional[Mapping[str, Any]] = None) -> Verdict:
    """Checks one ledger document: a file, a part that ``Client.ledger`` gave, or several of them put together by :func:`join_ledgers`.

    A long ledger comes in parts; ``Client.verify_ledger`` asks for all of them and checks each as it comes.

    ``keys`` is the platform's JWK set (``Client.ledger_keys``); with it the signature of every seal is checked as well.

    >>> from auspex.ledger import leaf_hash, link_hash
    >>> signal = "62f746b4-84e6-4ceb-95bd-447e7184d454"
    >>> leaf = leaf_hash(bytes(16), "{}")
    >>> link = link_hash(bytes(32), uuid.UUID(signal).bytes, 1, 1475928010232554, leaf)
    >>> row = {"seq": 1, "made_at_us": 1475928010232554, "payload": "{}", "nonce": "00" * 16, "leaf": leaf.hex(), "link": link.hex()}
    >>> verify_ledger({"signal_id": signal, "rows": [row], "seals": []}).is_good
    True
    >>> print(verify_ledger({"signal_id": signal, "rows": [{**row, "payload": "{ }"}], "seals": []}))
    BAD   62f746b4-84e6-4ceb-95bd-447e7184d454: first bad row 1: payload
    """
    check = LedgerCheck(keys)
    check.take(document)
    return check.verdict()


class LedgerCheck:
    """Checks a ledger part by part, in the order in which the platform gives them: only 32 bytes of each row are kept.

    ``Client.verify_ledger`` uses it; ``take`` gives False when no further part need be asked for.
    """

    def __init__(self, keys: Optional[Mapping[str, Any]] = None):
        self._points = None if keys is None else _points(keys)
        self._checker: Optional[_Checker] = None
        self._signal_id: Any = None
        self._rows = self._seals = 0
        self._fault: Optional[LedgerFault] = None

    def take(self, document: Mapping[str, Any]) -> bool:
        """Checks the next part; whether everything is well so far and more is to come."""
        if not isinstance(document, Mapping):
            raise LedgerFormatError("a ledger is a JSON object")
        signal_id = document.get("signal_id")
        signal = _signal_bytes(signal_id)
        raw_rows, raw_seals = document.get("rows"), document.get("seals", [])
        if not isinstance(raw_rows, list) or not isinstance(raw_seals, list):
            raise LedgerFormatError("a ledger has rows and seals")
        if self._checker is None:
            previous_link = document.get("previous_link")
            self._signal_id = signal_id
            self._checker = _Checker(signal, None if previous_link is None else _bytes(previous_link, 32, "previous_link"), self._points)
        elif signal_id != self._signal_id:
            raise LedgerFormatError("this part belongs to another signal")
        self._rows += len(raw_rows)
        self._seals += len(raw_seals)
        self._fault = self._fault or self._checker.check(raw_rows, raw_seals)
        return self._fault is None and document.get("next_after_seq") is not None

    def verdict(self) -> Verdict:
        """What came out."""
        if self._checker is None:
            raise LedgerFormatError("there is no part to check")
        return Verdict(str(self._signal_id), self._rows, self._seals, self._checker.payloads, self._checker.signatures, self._fault)


def verify_export(document: Mapping[str, Any], keys: Optional[Mapping[str, Any]] = None) -> Optional[LedgerFault]:
    """The first fault of a ledger document, or None when it is sound."""
    return verify_ledger(document, keys).fault


def _points(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    listed = keys.get("keys")
    if not isinstance(listed, list):
        raise LedgerFormatError("the keys are not a JWK set")
    points = {}
    for jwk in listed:
        point = _p256.public_key(jwk) if isinstance(jwk, Mapping) else None
        if point is not None:
            points[jwk.get("kid")] = point
    return points


class _Checker:
    """Walks the rows, then holds the chain against the seals; stops at the first fault."""

    def __init__(self, signal: bytes, previous_link: Optional[bytes], points: Optional[Mapping[str, Any]]):
        self._signal = signal
        self._is_part = previous_link is not None
        self._before = previous_link or ZERO
        self._points = points
        self._links: List[bytes] = []
        self._first = 1
        self._seal_number, self._root = 0, ZERO
        self.payloads = 0
        self.signatures = 0

    def check(self, raw_rows: Sequence[Any], raw_seals: Sequence[Any]) -> Optional[LedgerFault]:
        for raw in raw_rows:
            # A nonce that is none can have hashed nothing.
            if isinstance(raw, Mapping) and raw.get("nonce") is not None and not _is_nonce(raw["nonce"]):
                return LedgerFault("payload", _whole(raw, "seq", "a row"))
        rows = [self._row(raw) for raw in raw_rows]
        if self._is_part and rows and not self._links:
            self._first = rows[0].seq
        return self._check_rows(rows) or self._check_seals([self._seal(raw) for raw in raw_seals])

    def _check_rows(self, rows: Sequence[_Row]) -> Optional[LedgerFault]:
        previous = self._links[-1] if self._links else self._before
        for row in rows:
            expected = self._first + len(self._links)
            if row.seq != expected:
                return LedgerFault("gap", expected)
            if row.payload is not None and row.nonce is not None:
                if leaf_hash(row.nonce, row.payload) != row.leaf:
                    return LedgerFault("payload", row.seq)
                self.payloads += 1
            if link_hash(previous, self._signal, row.seq, row.made_at_us, row.leaf) != row.link:
                return LedgerFault("link", row.seq)
            previous = row.link
            self._links.append(row.link)
        return None

    def _check_seals(self, seals: Sequence[_Seal]) -> Optional[LedgerFault]:
        for seal in seals:
            ids = [head.signal for head in seal.heads]
            in_order = bool(ids) and all(left < right for left, right in zip(ids, ids[1:]))
            if not in_order or merkle_root([head.entry for head in seal.heads]) != seal.merkle:
                return LedgerFault("merkle", seal=seal.n)
            # Seals over one signal need not be neighbours: then a seal names the root that it follows.
            before = self._root if seal.n == self._seal_number + 1 else seal.previous_root
            if before is None or root_hash(before, seal.merkle) != seal.root:
                return LedgerFault("root", seal=seal.n)
            if self._points is not None and not self._is_signed(seal):
                return LedgerFault("signature", seal=seal.n)
            self._seal_number, self._root = seal.n, seal.root
            fault = self._check_head(seal)
            if fault is not None:
                return fault
        return None

    def _check_head(self, seal: _Seal) -> Optional[LedgerFault]:
        for head in seal.heads:
            if head.signal != self._signal or head.seq < self._first:
                continue
            place = head.seq - self._first
            if place >= len(self._links):
                return LedgerFault("truncated", self._first + len(self._links))
            if self._links[place] != head.link:
                return LedgerFault("seal", head.seq, seal.n)
        return None

    def _is_signed(self, seal: _Seal) -> bool:
        key = (self._points or {}).get(seal.key_id)
        if key is None or seal.signature is None or seal.sealed_at_us is None:
            return False
        message = f"auspex-ledger-seal\n{seal.n}\n{seal.root.hex()}\n{seal.sealed_at_us}".encode()
        try:
            signature = _p256.decode_base64url(seal.signature)
        except ValueError:
            return False
        self.signatures += 1
        return _p256.is_signed(message, signature, key)

    @staticmethod
    def _row(raw: Any) -> _Row:
        if not isinstance(raw, Mapping):
            raise LedgerFormatError("a row is not an object")
        seq = _whole(raw, "seq", "a row")
        payload, nonce = raw.get("payload"), raw.get("nonce")
        if payload is not None and not isinstance(payload, str):
            raise LedgerFormatError(f"the payload of row {seq} is not text")
        return _Row(
            seq, _whole(raw, "made_at_us", f"row {seq}"), payload, None if nonce is None else bytes.fromhex(nonce),
            _bytes(raw.get("leaf"), 32, f"the leaf of row {seq}"), _bytes(raw.get("link"), 32, f"the link of row {seq}"),
        )

    @staticmethod
    def _seal(raw: Any) -> _Seal:
        if not isinstance(raw, Mapping):
            raise LedgerFormatError("a seal is not an object")
        n = _whole(raw, "n", "a seal")
        heads = raw.get("heads")
        if not isinstance(heads, list) or not all(isinstance(head, Mapping) for head in heads):
            raise LedgerFormatError(f"seal {n} has no heads")
        previous = raw.get("previous_root")
        return _Seal(
            n,
            [_Head(_signal_bytes(head.get("signal_id")), _whole(head, "seq", "a head"), _bytes(head.get("link"), 32, "the link of a head")) for head in heads],
            _bytes(raw.get("merkle"), 32, f"the merkle root of seal {n}"), _bytes(raw.get("root"), 32, f"the root of seal {n}"),
            None if previous is None else _bytes(previous, 32, f"the previous root of seal {n}"),
            None if raw.get("sealed_at_us") is None else _whole(raw, "sealed_at_us", f"seal {n}"), raw.get("signature"), raw.get("key_id"),
        )


def _is_nonce(text: Any) -> bool:
    try:
        return isinstance(text, str) and len(text) == 32 and len(bytes.fromhex(text)) == 16
    except ValueError:
        return False


def join_ledgers(documents: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Puts parts of one ledger, asked for one after the other, together to one document."""
    if not documents:
        raise LedgerFormatError("there is no part to join")
    joined = dict(documents[0])
    joined["rows"] = [row for document in documents for row in document["rows"]]
    seals = {seal["n"]: seal for document in documents for seal in document["seals"]}
    joined["seals"] = [seals[n] for n in sorted(seals)]
    return joined
