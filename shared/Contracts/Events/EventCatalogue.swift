/// Every event that a service may say: what is not in this list does not exist.
public enum EventCatalogue {
    /// One entry per event type, by producer.
    public static let all: [any EventBody.Type] = [
        AccountCreated.self, UserChanged.self, SessionRevoked.self, KeyChanged.self,
        InstrumentChanged.self, BarsClosed.self, BarsRevised.self,
        SignalPublished.self, SignalUnpublished.self, RunRecorded.self, RunRejected.self, PredictionRecorded.self, SubscriptionChanged.self,
        JobCompleted.self, OccurrenceSettled.self, ScheduleChanged.self, CadenceSettled.self,
    ]

    /// The body type of an event type's name; nil for a name that is not ours.
    public static func body(ofType eventType: String) -> (any EventBody.Type)? {
        all.first { $0.eventType == eventType }
    }
}
