import Messaging
import ServiceRuntime

/// `scheduler dead`: the messages that this service's consumers gave up on.
enum DeadLetters {
    static let subcommand = DeadCommand.subcommand(
        service: "scheduler",
        consumers: [
            SignalHandler.consumerName, BarsClosedHandler.consumerName, RunHandler.consumerName,
        ],
        brokerURL: { (settings: SchedulerSettings) in settings.brokerURL }
    )
}
