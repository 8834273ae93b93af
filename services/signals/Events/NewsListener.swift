import Contracts
import HTTPServing
import Messaging
import ServiceRuntime

/// Hears, on every replica, what makes something in memory wrong: keys, sessions, subscriptions, predictions.
///
/// Nothing here is durable and nothing has to be: what is missed while the broker is away is bounded by the caches' own times.
enum NewsListener {
    static let eventTypes =
        CredentialNews.eventTypes + [
            SubscriptionChanged.eventType, PredictionRecorded.eventType, SignalPublished.eventType, SignalUnpublished.eventType,
        ]

    /// What the news is for.
    struct Audience: Sendable {
        var credentials: CredentialNews
        var entitlements: EntitlementCache
        var predictions: RevisionWatch
        var hub: ChangeHub
    }

    static func make(
        brokerURL: String,
        audience: Audience,
        loop: EventLoop,
        readiness: Readiness? = nil,
        time: any TimeSource = SystemTimeSource()
    ) throws -> EventBroadcast {
        try EventBroadcast(
            service: "signals",
            listener: "news",
            eventTypes: eventTypes,
            brokerURL: brokerURL,
            loop: loop,
            readiness: readiness,
            time: time,
            onSubscribed: {
                audience.credentials.subscriptionChanged(isSubscribed: true)
                audience.entitlements.hearing(true)
                audience.hub.announceAll()
            },
            onUnsubscribed: {
                audience.credentials.subscriptionChanged(isSubscribed: false)
                audience.entitlements.hearing(false)
            },
            onEvent: { try apply($0, to: audience) }
        )
    }

    /// One piece of news.
    static func apply(_ envelope: Envelope, to audience: Audience) throws {
        switch envelope.type {
        case SubscriptionChanged.eventType: audience.entitlements.forget(try envelope.body(as: SubscriptionChanged.self).accountID)
        case PredictionRecorded.eventType: audience.predictions.heard(try envelope.body(as: PredictionRecorded.self).signalID)
        case SignalPublished.eventType: audience.predictions.heard(try envelope.body(as: SignalPublished.self).signalID)
        case SignalUnpublished.eventType: audience.predictions.heard(try envelope.body(as: SignalUnpublished.self).signalID)
        default: try audience.credentials.hear(envelope)
        }
    }
}
