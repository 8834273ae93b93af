import Messaging
import ServiceRuntime

/// `signals dead`: the messages that this service's consumers gave up on.
enum DeadLetters {
    static let subcommand = DeadCommand.subcommand(
        service: "signals",
        consumers: [
            AccountCreatedHandler.consumerName, InstrumentChangedHandler.consumerName, RunCompletedHandler.consumerName,
            OccurrenceSettledHandler.consumerName, IncidentHandler.consumerName, CadenceSettledHandler.consumerName,
        ],
        brokerURL: { (settings: SignalsSettings) in settings.brokerURL }
    )
}
