"""Checks ES256 signatures (ECDSA on P-256 with SHA-256) with integers alone: slow, a few milliseconds each, and free of any dependency."""

from __future__ import annotations

import base64
import hashlib
from typing import Mapping, Optional, Tuple

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296, 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)

Point = Tuple[int, int, int]  # Jacobian coordinates; z = 0 is the point at infinity
INFINITY: Point = (1, 1, 0)


def _double(point: Point) -> Point:
    x, y, z = point
    if z == 0 or y == 0:
        return INFINITY
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * (x - z * z) * (x + z * z) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(left: Point, right: Point) -> Point:
    if left[2] == 0:
        return right
    if right[2] == 0:
        return left
    (x1, y1, z1), (x2, y2, z2) = left, right
    z1z1, z2z2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * z2z2 % P, x2 * z1z1 % P
    s1, s2 = y1 * z2 * z2z2 % P, y2 * z1 * z1z1 % P
    if u1 == u2:
        return _double(left) if s1 == s2 else INFINITY
    h, r = (u2 - u1) % P, (s2 - s1) % P
    hh = h * h % P
    hhh, v = h * hh % P, u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, h * z1 * z2 % P


def _times(scalar: int, point: Point) -> Point:
    result = INFINITY
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _double(point)
        scalar >>= 1
    return result


def decode_base64url(text: str) -> bytes:
    """Base64url without padding, strictly."""
    data = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    return data


def public_key(jwk: Mapping[str, str]) -> Optional[Tuple[int, int]]:
    """The point of a P-256 JWK; None for other keys and for points that are not on the curve."""
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        return None
    try:
        x, y = (int.from_bytes(decode_base64url(jwk[name]), "big") for name in ("x", "y"))
    except (KeyError, ValueError, TypeError):
        return None
    on_curve = x < P and y < P and (y * y - (x * x * x - 3 * x + B)) % P == 0
    return (x, y) if on_curve else None


def is_signed(message: bytes, signature: bytes, key: Tuple[int, int]) -> bool:
    """Whether ``signature`` (64 bytes, r and s) is the key's over the message.

    >>> is_signed(b"", b"", G)
    False
    """
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    inverse = pow(s, -1, N)
    x, _, z = _add(_times(digest * inverse % N, (*G, 1)), _times(r * inverse % N, (*key, 1)))
    if z == 0:
        return False
    return x * pow(z * z, -1, P) % P % N == r
