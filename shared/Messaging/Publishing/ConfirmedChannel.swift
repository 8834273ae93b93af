internal import ServiceRuntime

/// A channel that publishes with confirms: at most 256 messages are unconfirmed, further ones wait their turn.
///
/// Used only on the thread of its session.
final class ConfirmedChannel {
    /// One call of ``publish(_:)``: its messages are settled one by one, its caller once.
    private final class Batch {
        var outcomes: [PublishOutcome]
        var missing: Int
        let continuation: UnsafeContinuation<[PublishOutcome], Never>

        init(count: Int, continuation: UnsafeContinuation<[PublishOutcome], Never>) {
            outcomes = Array(repeating: .failed(BrokerError(.unavailable)), count: count)
            missing = count
            self.continuation = continuation
        }

        func settle(_ index: Int, _ outcome: PublishOutcome) {
            outcomes[index] = outcome
            missing -= 1
            if missing == 0 { continuation.resume(returning: outcomes) }
        }
    }

    private typealias Ticket = (batch: Batch, index: Int)

    let channel: UInt16
    private unowned let session: BrokerSession
    private var window: ConfirmWindow<Ticket>
    private var waiting: [(ticket: Ticket, message: OutgoingMessage)] = []
    private var firstWaiting = 0
    private static let patienceNanoseconds: UInt64 = 10_000_000_000

    init(channel: UInt16, session: BrokerSession, window: Int = 256) {
        self.channel = channel
        self.session = session
        self.window = ConfirmWindow(limit: window)
    }

    func open(_ connection: WireConnection) throws(BrokerError) {
        try connection.openChannel(channel)
        try connection.selectConfirms(channel)
    }

    /// Sends now or when there is room; `continuation` gets one outcome per message, in order.
    func publish(_ messages: [OutgoingMessage], _ continuation: UnsafeContinuation<[PublishOutcome], Never>) {
        guard session.connection != nil else {
            return continuation.resume(returning: messages.map { _ in .failed(BrokerError(.unavailable)) })
        }
        guard !messages.isEmpty else { return continuation.resume(returning: []) }
        let batch = Batch(count: messages.count, continuation: continuation)
        for (index, message) in messages.enumerated() { waiting.append(((batch, index), message)) }
        sendWaiting()
        session.pump()
    }

    /// Takes the broker's word on this channel; false for what is none of its business.
    func take(_ event: WireEvent) -> Bool {
        switch event {
        case .acknowledged(channel, let tag, let multiple): settle(window.settle(tag, multiple: multiple, isConfirmed: true))
        case .refused(channel, let tag, let multiple): settle(window.settle(tag, multiple: multiple, isConfirmed: false))
        case .returned(let messageID, let reason): window.returned(messageID: messageID, reason: reason)
        default: return false
        }
        sendWaiting()
        return true
    }

    /// Fails all that is not settled.
    func lost(_ error: BrokerError) {
        let unsent = waiting[firstWaiting...].map(\.ticket)
        waiting = []
        firstWaiting = 0
        settle(window.abandon(BrokerError(.connectionLost, message: error.debugDescription)))
        for ticket in unsent { ticket.batch.settle(ticket.index, .failed(error)) }
    }

    /// Gives the connection up when a confirm is long overdue.
    func checkPatience() {
        guard let sentAt = window.oldestSentAt, monotonicNanoseconds() - sentAt > Self.patienceNanoseconds else { return }
        session.lose(BrokerError(.timeout, message: "a confirm is overdue"))
    }

    private func sendWaiting() {
        guard let connection = session.connection else { return }
        do throws(BrokerError) {
            while window.hasRoom, firstWaiting < waiting.count {
                let (ticket, message) = waiting[firstWaiting]
                firstWaiting += 1
                window.sent(ticket, messageID: message.message.messageID, now: monotonicNanoseconds())
                try connection.publish(
                    channel,
                    exchange: message.exchange,
                    routingKey: message.routingKey,
                    mandatory: message.isMandatory,
                    message.message
                )
            }
        } catch {
            return session.lose(error)
        }
        if firstWaiting == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            firstWaiting = 0
        }
    }

    private func settle(_ settled: [ConfirmWindow<Ticket>.Settled]) {
        for entry in settled { entry.ticket.batch.settle(entry.ticket.index, entry.outcome) }
    }
}
