/// An API key was made or may do more or less than before; cached verdicts on it are void.
public struct KeyChanged: EventBody, Hashable {
    /// `auth.key.changed.v1`.
    public static let eventType = "auth.key.changed.v1"
    /// The key.
    public let keyID: APIKeyID
    /// Whose key it is.
    public let accountID: AccountID
    /// What a presented key hashes to.
    public let keySHA256: SHA256Digest
    /// Whether it works.
    public let state: State
    /// What it may do, such as `predictions:read` or `predictions:read:<signal_id>`.
    public let scopes: [String]
    /// When it ends by itself; never when nil.
    public let expiresAt: Timestamp?
    /// Rises with every change; a cached verdict of a lower one is void.
    public let generation: Int64

    /// The key.
    public var subject: String { keyID.description }

    /// Whether a key works.
    public enum State: String, Sendable, Hashable, Codable {
        /// It works.
        case active
        /// It does not, for now.
        case disabled
        /// It never will again.
        case revoked
        /// A successor exists; it works until `expires_at`.
        case rerolled
    }

    /// All fields.
    public init(
        keyID: APIKeyID,
        accountID: AccountID,
        keySHA256: SHA256Digest,
        state: State,
        scopes: [String],
        expiresAt: Timestamp? = nil,
        generation: Int64
    ) {
        self.keyID = keyID
        self.accountID = accountID
        self.keySHA256 = keySHA256
        self.state = state
        self.scopes = scopes
        self.expiresAt = expiresAt
        self.generation = generation
    }
}
