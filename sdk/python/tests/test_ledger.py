"""The independent verifier against the vectors that both verifiers have to agree on."""

import asyncio
import copy
import hashlib
import json
import os
import uuid
from pathlib import Path

import pytest

from platform_double import PlatformDouble

from auspex import AsyncClient, Client, _p256
from auspex.ledger import LedgerCheck, LedgerFault, LedgerFormatError, join_ledgers, leaf_hash, link_hash, merkle_root, root_hash, verify_ledger

SIGNAL = "62f746b4-84e6-4ceb-95bd-447e7184d454"


def golden():
    shared = Path(os.environ.get("AUSPEX_SHARED") or Path(__file__).resolve().parents[4] / "shared")
    path = shared / "golden" / "ledger.json"
    if not path.is_file():
        pytest.skip("no ../shared/golden/ledger.json and no AUSPEX_SHARED")
    return json.loads(path.read_text())


def test_golden_chains_are_good():
    vectors = golden()
    for signal_id, rows in ((vectors["signal_id"], vectors["rows"]), (vectors["other_signal_id"], vectors["other_rows"])):
        verdict = verify_ledger({"signal_id": signal_id, "rows": rows, "seals": vectors["seals"]})
        assert verdict, str(verdict)
        assert verdict.payloads == len(rows)


def test_golden_variants_fail_where_they_should():
    vectors = golden()
    assert len(vectors["variants"]) == 6
    for variant in vectors["variants"]:
        verdict = verify_ledger({"signal_id": vectors["signal_id"], "rows": variant["rows"], "seals": vectors["seals"]})
        assert verdict.fault is not None, variant["name"]
        found = {name: value for name, value in (("kind", verdict.fault.kind), ("seq", verdict.fault.seq), ("seal", verdict.fault.seal)) if value is not None}
        assert found == variant["first_bad"], variant["name"]


# A key and signatures that openssl made would be vectors of one machine; this signer is the inverse of the verifier's arithmetic.
def sign(message, private):
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    nonce = int.from_bytes(hashlib.sha256(b"nonce" + message).digest(), "big") % _p256.N
    x, _, z = _p256._times(nonce, (*_p256.G, 1))
    r = x * pow(z * z, -1, _p256.P) % _p256.P % _p256.N
    s = (digest + r * private) * pow(nonce, -1, _p256.N) % _p256.N
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def base64url(data):
    import base64

    return base64.urlsafe_b64encode(data).decode().rstrip("=")


PRIVATE = 0x1234567890ABCDEF


def jwks(private=PRIVATE, kid="k1"):
    x, y, z = _p256._times(private, (*_p256.G, 1))
    inverse = pow(z, -1, _p256.P)
    x, y = x * inverse**2 % _p256.P, y * inverse**3 % _p256.P
    return {"keys": [{"kty": "EC", "crv": "P-256", "kid": kid, "x": base64url(x.to_bytes(32, "big")), "y": base64url(y.to_bytes(32, "big"))}]}


def ledger(count=6, payloads=True, sealed_at=(3, 6), seal_numbers=None):
    rows, previous = [], bytes(32)
    signal = uuid.UUID(SIGNAL).bytes
    for seq in range(1, count + 1):
        payload, nonce, made_at = json.dumps({"value": str(seq)}), bytes([seq] * 16), 1_700_000_000_000_000 + seq
        leaf = leaf_hash(nonce, payload)
        previous = link_hash(previous, signal, seq, made_at, leaf)
        row = {"seq": seq, "made_at_us": made_at, "leaf": leaf.hex(), "link": previous.hex()}
        if payloads:
            row.update(payload=payload, nonce=nonce.hex())
        rows.append(row)
    seals, root = [], bytes(32)
    for n, seq in zip(seal_numbers or range(1, len(sealed_at) + 1), sealed_at):
        link = bytes.fromhex(rows[seq - 1]["link"])
        merkle = merkle_root([signal + seq.to_bytes(8, "big") + link])
        before, root = root, root_hash(root, merkle)
        at = 1_700_000_001_000_000 + n
        signature = base64url(sign(f"auspex-ledger-seal\n{n}\n{root.hex()}\n{at}".encode(), PRIVATE))
        seals.append({
            "n": n, "heads": [{"signal_id": SIGNAL, "seq": seq, "link": link.hex()}], "merkle": merkle.hex(), "root": root.hex(),
            "previous_root": before.hex(), "sealed_at_us": at, "signature": signature, "key_id": "k1"})
    return {"signal_id": SIGNAL, "rows": rows, "seals": seals}


def fault_of(document, keys=None):
    return verify_ledger(document, keys).fault


def test_a_sound_ledger_with_and_without_payloads():
    assert verify_ledger(ledger(), jwks()).signatures == 2
    verdict = verify_ledger(ledger(payloads=False))
    assert verdict and verdict.payloads == 0


def test_seals_that_are_no_neighbours_name_what_they_follow():
    document = ledger(seal_numbers=(4, 9))
    assert verify_ledger(document, jwks())
    del document["seals"][1]["previous_root"]
    assert fault_of(document) == LedgerFault("root", seal=9)


def test_a_part_of_a_chain():
    whole = ledger()
    part = {**whole, "rows": whole["rows"][3:], "previous_link": whole["rows"][2]["link"], "seals": whole["seals"][1:]}
    assert verify_ledger(part)
    part["previous_link"] = whole["rows"][1]["link"]
    assert fault_of(part) == LedgerFault("link", 4)
    parts = [{**whole, "rows": whole["rows"][:4]}, {**whole, "rows": whole["rows"][4:]}]
    assert verify_ledger(join_ledgers(parts))


def parts_of(whole):
    """The ledger as a platform gives it in two parts, each with the seals over its rows."""
    return [
        {**whole, "rows": whole["rows"][:3], "seals": whole["seals"][:1], "next_after_seq": 3},
        {**whole, "rows": whole["rows"][3:], "seals": whole["seals"][1:], "previous_link": whole["rows"][2]["link"]},
    ]


def test_parts_are_checked_one_after_the_other():
    check = LedgerCheck(jwks())
    first, second = parts_of(ledger())
    assert check.take(first) and not check.take(second)
    verdict = check.verdict()
    assert verdict and (verdict.rows, verdict.seals, verdict.payloads, verdict.signatures) == (6, 2, 6, 2)
    # A row that is missing between two parts, a root that does not follow, a tail that is cut.
    for change, fault in (
        (lambda part: part["rows"].pop(0), LedgerFault("gap", 4)),
        (lambda part: part["seals"][0].update(root="00" * 32), LedgerFault("root", seal=2)),
        (lambda part: part["rows"].clear(), LedgerFault("truncated", 4)),
    ):
        check = LedgerCheck()
        first, second = copy.deepcopy(parts_of(ledger()))
        change(second)
        check.take(first)
        assert not check.take(second) and check.verdict().fault == fault
    check = LedgerCheck()
    check.take(first)
    with pytest.raises(LedgerFormatError):
        check.take({**second, "signal_id": str(uuid.UUID(int=1))})


def test_clients_ask_for_every_part():
    parts = parts_of(ledger())

    def answer(request):
        if request["path"].endswith("/keys"):
            return 200, jwks()
        return 200, parts[1 if "after_seq=3" in request["path"] else 0]

    async def asynchronous(url):
        async with AsyncClient(url) as client:
            return await client.verify_ledger(SIGNAL)

    with PlatformDouble(answer) as platform:
        verdicts = [Client(platform.url).verify_ledger(SIGNAL), asyncio.run(asynchronous(platform.url))]
    assert [(bool(verdict), verdict.rows, verdict.signatures) for verdict in verdicts] == [(True, 6, 2)] * 2


@pytest.mark.parametrize("index", range(6))
def test_every_byte_of_a_row_counts(index):
    for name in ("payload", "nonce", "leaf", "link", "made_at_us"):
        document = copy.deepcopy(ledger())
        row = document["rows"][index]
        if name == "made_at_us":
            row[name] += 1
        elif name == "payload":
            row[name] = row[name].replace("value", "valuE")
        else:
            row[name] = ("0" if row[name][0] != "0" else "1") + row[name][1:]
        fault = fault_of(document)
        assert fault is not None and fault.seq == index + 1, (name, fault)


def test_rewriting_everything_is_seen_by_the_seals():
    document, other = ledger(), ledger()
    signal = uuid.UUID(SIGNAL).bytes
    previous = bytes(32)
    for row in document["rows"]:
        row["made_at_us"] += 1
        previous = link_hash(previous, signal, row["seq"], row["made_at_us"], bytes.fromhex(row["leaf"]))
        row["link"] = previous.hex()
    assert fault_of(document) == LedgerFault("seal", 3, 1)
    # A seal over the rewritten chain has another root, which nobody signed.
    forged = ledger()
    forged["rows"] = document["rows"]
    for seal, original in zip(forged["seals"], other["seals"]):
        head = seal["heads"][0]
        head["link"] = document["rows"][head["seq"] - 1]["link"]
    assert fault_of(forged) == LedgerFault("merkle", seal=1)


def test_signatures():
    assert fault_of(ledger(), jwks(private=77)) == LedgerFault("signature", seal=1)
    assert fault_of(ledger(), jwks(kid="other")) == LedgerFault("signature", seal=1)
    document = ledger()
    document["seals"][1]["sealed_at_us"] += 1
    assert fault_of(document, jwks()) == LedgerFault("signature", seal=2)
    for bad in (None, "", "!!", "AAAA", base64url(bytes(64)), base64url(b"\xff" * 64)):
        document["seals"][1]["signature"] = bad
        assert fault_of(document, jwks()) == LedgerFault("signature", seal=2)
    assert fault_of(ledger(), {"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "x": "AQ", "y": "AQ"}]}) == LedgerFault("signature", seal=1)


def test_the_cut_tail_and_order_of_heads():
    document = ledger()
    document["rows"] = document["rows"][:4]
    assert fault_of(document) == LedgerFault("truncated", 5)
    document = ledger()
    document["rows"] = []
    assert fault_of(document) == LedgerFault("truncated", 1)
    document = ledger()
    document["seals"][0]["heads"] = []
    assert fault_of(document) == LedgerFault("merkle", seal=1)


@pytest.mark.parametrize("document", [
    None, [], {}, {"signal_id": "x", "rows": []}, {"signal_id": SIGNAL}, {"signal_id": SIGNAL, "rows": [3]}, {"signal_id": SIGNAL, "rows": [{}]},
    {"signal_id": SIGNAL, "rows": [{"seq": 1, "made_at_us": 1, "leaf": "00", "link": "00"}]},
    {"signal_id": SIGNAL, "rows": [{"seq": True, "made_at_us": 1, "leaf": "00" * 32, "link": "00" * 32}]},
    {"signal_id": SIGNAL, "rows": [{"seq": 1, "made_at_us": 2**70, "leaf": "00" * 32, "link": "00" * 32}]},
    {"signal_id": SIGNAL, "rows": [], "seals": [{"n": 1, "heads": [None], "merkle": "", "root": ""}]},
    {"signal_id": SIGNAL, "rows": [], "previous_link": "zz"},
])
def test_what_is_no_ledger(document):
    with pytest.raises(LedgerFormatError):
        verify_ledger(document)
