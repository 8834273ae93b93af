import Contracts

/// A session in its owner's list.
struct SessionAnswer: Encodable, Sendable {
    let id: SessionID
    let createdAt: Timestamp
    let lastUsedAt: Timestamp
    let endsAt: Timestamp
    let address: String
    let userAgent: String
    /// Whether the request came from this one.
    let current: Bool

    init(_ session: Session, current: SessionID) {
        id = session.id
        createdAt = session.createdAt
        lastUsedAt = session.lastUsedAt
        endsAt = session.endsAt
        address = session.address
        userAgent = session.userAgent
        self.current = session.id == current
    }
}
