import Contracts
import JobWorker
import Messaging

/// Hints from the broker that there are settlement jobs, in the form that the worker asks for.
struct BrokerHints: WakeupSource {
    let wakeups: Wakeups

    func next(of classes: [ResourceClass], within limit: Duration) async -> ResourceClass? {
        await wakeups.next(of: classes, within: limit)
    }
}
