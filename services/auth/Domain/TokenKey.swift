import Contracts
import Cryptography

/// A key that signs access tokens, as the store keeps it: the private half sealed under the master key.
struct TokenKey: Sendable, Hashable {
    /// The `kid`.
    let keyID: String
    var state: SigningKeyState
    var since: Timestamp
    let publicKey: JWK
    /// PKCS #8 PEM in a master key box; nil once the key is gone.
    var sealedPrivateKey: [UInt8]?
    let createdAt: Timestamp

    /// What the private half is sealed for, so that a sealed key moved to another row does not open.
    var sealContext: String { Self.sealContext(keyID: keyID) }

    static func sealContext(keyID: String) -> String { "auth.token_keys/\(keyID)" }

    /// The key as the rotation rule sees it.
    var rotationEntry: KeyRotation.Entry { KeyRotation.Entry(keyID: keyID, state: state, since: since) }

    /// Takes the next state; a key that is gone loses its private half.
    mutating func move(to state: SigningKeyState, at now: Timestamp) {
        self.state = state
        since = now
        if state == .gone { sealedPrivateKey = nil }
    }

    /// A new key that begins in `state`.
    static func make(state: SigningKeyState, box: MasterKeyBox, now: Timestamp) throws -> TokenKey {
        let key = try SigningKey.generate()
        return TokenKey(
            keyID: key.keyID,
            state: state,
            since: now,
            publicKey: key.verifyingKey.jwk(),
            sealedPrivateKey: try box.seal(Array(key.pem().utf8), context: sealContext(keyID: key.keyID)),
            createdAt: now
        )
    }

    /// The private half, opened.
    func signingKey(_ box: MasterKeyBox) throws -> SigningKey? {
        guard let sealedPrivateKey else { return nil }
        return try SigningKey(pem: String(decoding: try box.open(sealedPrivateKey, context: sealContext), as: UTF8.self))
    }
}
