import Contracts
import ServiceRuntime
import Synchronization

/// Puts a settlement job into the ledger of jobs for every signal with predictions to look at.
///
/// Every replica plans. The key names the prediction that has waited longest: a look at it settles it or puts it off, so one look makes one job, however
/// often and by whomever it is planned. A job that came to nothing is followed by others, ever more rarely.
///
/// A signal with something due in every second has a job in every round: what rounds that come sooner would save its readers in waiting costs a job each.
final class SettlementPlanner: Component {
    static let interval: Duration = .seconds(5)
    /// How many signals are looked through in one round; jobs that were made before cost nothing.
    static let maximumSignals = 10_000
    /// As many as one call makes.
    static let maximumNewJobs = BulkRequest.mostJobs

    let name = "settlement-planner"
    private let store: any SignalsStore
    private let jobs: any JobLedger
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    /// The keys of jobs that this replica has made for what is still waiting.
    private let planned = Mutex<Set<String>>([])

    init(store: any SignalsStore, jobs: any JobLedger, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.jobs = jobs
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time) { [self] in await round() }
    }

    func stop() async {
        await work.stop()
    }

    /// Plans what is due now.
    func round() async {
        let now = time.now()
        do {
            let due = try await store.signalsToSettle(now: now, limit: Self.maximumSignals).map { (settlement: $0, key: Self.key($0, now: now)) }
            let known = planned.withLock { planned in
                planned.formIntersection(due.map(\.key))
                return planned
            }
            let new = due.filter { !known.contains($0.key) }.prefix(Self.maximumNewJobs)
            guard !new.isEmpty else { return }
            let lines = try await jobs.create(new.map { Self.request(for: $0.settlement, key: $0.key) })
            // What was refused is asked for again in the next round.
            let made = zip(new, lines).filter { $0.1.jobID != nil }.map(\.0.key)
            planned.withLock { $0.formUnion(made) }
            if let refused = lines.first(where: { $0.jobID == nil }) {
                Logger("settlement").warning("a job was refused", ["reason": .string(refused.detail ?? refused.code ?? "unknown")])
            }
        } catch {
            Logger("settlement").debug("could not plan; trying again", ["reason": .string("\(error)")])
        }
    }

    private static func request(for settlement: DueSettlement, key: String) -> JobRequest {
        JobRequest(
            kind: .settlement,
            resourceClass: .signals,
            accountID: settlement.accountID,
            priority: .low,
            spec: ["signal_id": .string(settlement.signalID.description)],
            idempotencyKey: key,
            maxAttempts: 3
        )
    }

    /// The key of a look at what has waited longest: a new one 1, 3, 7, 15, 31 and 63 minutes after it was due, then each hour.
    static func key(_ due: DueSettlement, now: Timestamp) -> String {
        let minutes = max(0, (now - due.checkAt).wholeMicroseconds / 60_000_000)
        let turn = minutes < 63 ? Int64((minutes + 1).bitWidth - (minutes + 1).leadingZeroBitCount - 1) : 6 + (minutes - 63) / 60
        return "signals:settlement:\(due.signalID):\(due.checkAt.microseconds):\(due.seq):\(turn)"
    }
}
