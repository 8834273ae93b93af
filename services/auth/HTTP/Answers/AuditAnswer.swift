import Contracts

/// A line of the audit log.
struct AuditAnswer: Encodable, Sendable {
    let id: AuditID
    let recordedAt: Timestamp
    let action: String
    let accountID: AccountID?
    let actorID: UserID?
    let subject: String
    let detail: [String: JSONValue]
    let address: String
    let userAgent: String
    let requestID: String

    init(_ entry: AuditEntry) {
        id = entry.id
        recordedAt = entry.recordedAt
        action = entry.action.rawValue
        accountID = entry.accountID
        actorID = entry.actorID
        subject = entry.subject
        detail = entry.detail
        address = entry.origin.address
        userAgent = entry.origin.userAgent
        requestID = entry.origin.requestID
    }
}
