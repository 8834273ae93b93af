import Messaging
import ServiceRuntime

/// `signals dead`: the messages that this service's consumers gave up on.
enum DeadLetters {
    static let subcommand = DeadCommand.subcommand(
        service: "signals",
        consumers: [
            AccountCreatedHandler.consumerName, InstrumentChangedHandler.consumerName, RunCompletedHandler.consumerName,
            OccurrenceSettledHandler.consumerName,
        ],
        brokerURL: { (settings: SignalsSettings) in settings.brokerURL }
    )
}
