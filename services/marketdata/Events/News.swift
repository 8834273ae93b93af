import Contracts
import HTTPServing
import Messaging
import ServiceRuntime

/// Hears, on every replica, what makes remembered credentials wrong.
///
/// It counts our own corrections as well. An event that no queue wants stays in the outbox for ever, and nobody else has to hear of corrections.
enum News {
    private static let revisions = Metrics.shared.counter("marketdata_days_revised_total", help: "Corrected days, as heard by this replica.")

    static func listener(
        brokerURL: String,
        credentials: CredentialNews,
        loop: EventLoop,
        readiness: Readiness,
        time: any TimeSource = SystemTimeSource()
    ) throws -> EventBroadcast {
        try EventBroadcast(
            service: "marketdata",
            listener: "news",
            eventTypes: CredentialNews.eventTypes + [BarsRevised.eventType],
            brokerURL: brokerURL,
            loop: loop,
            readiness: readiness,
            time: time,
            onSubscribed: { credentials.subscriptionChanged(isSubscribed: true) },
            onUnsubscribed: { credentials.subscriptionChanged(isSubscribed: false) },
            onEvent: { envelope in
                if envelope.type == BarsRevised.eventType { revisions.increment() } else { try credentials.hear(envelope) }
            }
        )
    }
}
