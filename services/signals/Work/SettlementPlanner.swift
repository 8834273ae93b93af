import Contracts
import ServiceRuntime
import Synchronization

/// Puts a settlement job into the ledger of jobs for every signal with predictions to look at.
///
/// Every replica plans; the same signal in the same two seconds makes the same idempotency key, and so one job.
final class SettlementPlanner: Component {
    static let interval: Duration = .seconds(2)

    let name = "settlement-planner"
    private let store: any SignalsStore
    private let jobs: any JobLedger
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = Mutex<Task<Void, Never>?>(nil)

    init(store: any SignalsStore, jobs: any JobLedger, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.jobs = jobs
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        let task = Task(on: loop) { [self] in
            while !Task.isCancelled {
                await round()
                guard (try? await time.sleep(for: Self.interval)) != nil else { return }
            }
        }
        work.withLock { $0 = task }
    }

    func stop() async {
        let task = work.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    /// Plans what is due now.
    func round() async {
        let now = time.now()
        do {
            for (signalID, accountID) in try await store.signalsToSettle(now: now, limit: 200) {
                let window = now.floored(to: Self.interval).seconds
                _ = try await jobs.create(
                    JobRequest(
                        kind: .settlement,
                        resourceClass: .signals,
                        accountID: accountID,
                        priority: .low,
                        spec: ["signal_id": .string(signalID.description)],
                        idempotencyKey: "signals:settlement:\(signalID):\(window)",
                        maxAttempts: 3
                    )
                )
            }
        } catch {
            Logger("settlement").debug("could not plan; trying again", ["reason": .string("\(error)")])
        }
    }
}
