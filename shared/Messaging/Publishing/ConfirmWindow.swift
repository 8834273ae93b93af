/// Which messages of a channel the broker has not confirmed yet; decides only, sends nothing.
///
/// The broker counts the messages of a channel from 1. A message that no queue wants comes back before its confirm, named by its message id.
struct ConfirmWindow<Ticket> {
    /// What became of a ticket.
    struct Settled {
        let ticket: Ticket
        let outcome: PublishOutcome
    }

    private struct Pending {
        let ticket: Ticket
        let messageID: String
        let sentAt: UInt64
        var returnedReason: String?
    }

    let limit: Int
    private var pending: [UInt64: Pending] = [:]
    private var tagsByID: [String: UInt64] = [:]
    private var lastTag: UInt64 = 0
    private var oldestTag: UInt64 = 1

    init(limit: Int) {
        self.limit = limit
    }

    var hasRoom: Bool { pending.count < limit }
    var isEmpty: Bool { pending.isEmpty }

    /// When the oldest unconfirmed message was sent.
    var oldestSentAt: UInt64? { pending[oldestTag]?.sentAt }

    /// Notes that the next message of the channel has been sent.
    mutating func sent(_ ticket: Ticket, messageID: String, now: UInt64) {
        lastTag += 1
        pending[lastTag] = Pending(ticket: ticket, messageID: messageID, sentAt: now)
        if !messageID.isEmpty { tagsByID[messageID] = lastTag }
    }

    /// Notes that a message came back.
    mutating func returned(messageID: String, reason: String) {
        guard let tag = tagsByID[messageID] else { return }
        pending[tag]?.returnedReason = reason
    }

    /// Settles one message, or all up to it.
    mutating func settle(_ tag: UInt64, multiple: Bool, isConfirmed: Bool) -> [Settled] {
        let first = multiple ? oldestTag : tag
        guard first <= tag, tag <= lastTag else { return [] }
        var settled: [Settled] = []
        for tag in first...tag {
            guard let entry = pending.removeValue(forKey: tag) else { continue }
            if tagsByID[entry.messageID] == tag { tagsByID[entry.messageID] = nil }
            let outcome: PublishOutcome
            if !isConfirmed {
                outcome = .failed(BrokerError(.refused(replyCode: 0), message: "negative confirm"))
            } else if let reason = entry.returnedReason {
                outcome = .unroutable(reason: reason)
            } else {
                outcome = .confirmed
            }
            settled.append(Settled(ticket: entry.ticket, outcome: outcome))
        }
        while oldestTag <= lastTag, pending[oldestTag] == nil { oldestTag += 1 }
        return settled
    }

    /// Empties the window of a channel that is gone: what was on its way is unknown.
    mutating func abandon(_ error: BrokerError) -> [Settled] {
        let settled = pending.sorted { $0.key < $1.key }.map { Settled(ticket: $0.value.ticket, outcome: .failed(error)) }
        self = ConfirmWindow(limit: limit)
        return settled
    }
}
