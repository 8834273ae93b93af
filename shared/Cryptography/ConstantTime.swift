import COpenSSL

/// Whether two byte strings are equal, in a time that depends on their lengths only.
///
/// The lengths themselves are not secret here: tokens and digests have fixed ones. The C function is `CRYPTO_memcmp`.
public func constantTimeEquals(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    return CRYPTO_memcmp(left, right, left.count) == 0
}

/// Whether two texts have the same UTF-8 bytes, in a time that depends on their lengths only.
public func constantTimeEquals(_ left: String, _ right: String) -> Bool {
    constantTimeEquals([UInt8](left.utf8), [UInt8](right.utf8))
}
