import Contracts
import ServiceRuntime
import Synchronization

/// Puts a settlement job into the ledger of jobs for every signal with predictions to look at.
///
/// Every replica plans. The key names the prediction that has waited longest: a look at it settles it or puts it off, so one look makes one job, however
/// often and by whomever it is planned. A job that came to nothing is followed by others, ever more rarely.
///
/// An account of which a job was refused, as its queue is full, is left out for a minute: what is due there would take the places of others in every round.
///
/// A signal with something due in every second has a job in every round: what rounds that come sooner would save its readers in waiting costs a job each.
final class SettlementPlanner: Component {
    static let interval: Duration = .seconds(5)
    /// How many signals are looked through in one round; jobs that were made before cost nothing.
    static let maximumSignals = 10_000
    /// As many as one call makes.
    static let maximumNewJobs = BulkRequest.mostJobs

    /// How long an account is left out after a refusal.
    static let pauseNanoseconds: UInt64 = 60_000_000_000

    let name = "settlement-planner"
    private let store: any SignalsStore
    private let jobs: any JobLedger
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    /// The keys of jobs that this replica has made for what is still waiting.
    private let planned = Mutex<Set<String>>([])
    /// Accounts that were refused, and when that was last; they are forgotten once all is made that was asked for, or nothing is due there.
    private let refused = Mutex<[AccountID: UInt64]>([:])

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
            let left = leftOut(of: Set(due.map(\.settlement.accountID)))
            let new = due.filter { !known.contains($0.key) && !left.contains($0.settlement.accountID) }.prefix(Self.maximumNewJobs)
            guard !new.isEmpty else { return }
            let lines = try await jobs.create(new.map { Self.request(for: $0.settlement, key: $0.key) })
            let answers = zip(new, lines).map { (accountID: $0.settlement.accountID, key: $0.key, line: $1) }
            // What was refused is asked for again when the account's pause is over.
            planned.withLock { $0.formUnion(answers.lazy.filter { $0.line.jobID != nil }.map(\.key)) }
            note(answers.map { ($0.accountID, $0.line) })
        } catch {
            Logger("settlement").debug("could not plan; trying again", ["reason": .string("\(error)")])
        }
    }

    /// The accounts that were refused less than a minute ago.
    private func leftOut(of accounts: Set<AccountID>) -> Set<AccountID> {
        let now = time.monotonicNanoseconds()
        return refused.withLock { refused in
            refused = refused.filter { accounts.contains($0.key) }
            return Set(refused.filter { now - min(now, $0.value) < Self.pauseNanoseconds }.keys)
        }
    }

    /// The first refusal of a row of them is a warning.
    private func note(_ answers: [(accountID: AccountID, line: BulkReceipt.Line)]) {
        let now = time.monotonicNanoseconds()
        let full = Set(answers.lazy.filter { $0.line.jobID == nil }.map(\.accountID))
        refused.withLock { refused in
            for (accountID, _) in answers where !full.contains(accountID) { refused[accountID] = nil }
        }
        for (accountID, line) in answers where line.jobID == nil {
            let isFirst = refused.withLock { $0.updateValue(now, forKey: accountID) } == nil
            let fields: [String: LogValue] = [
                "account": .string(accountID.description), "reason": .string(line.detail ?? line.code ?? "unknown"),
            ]
            if isFirst { Logger("settlement").warning("a job was refused", fields) } else { Logger("settlement").debug("a job was refused", fields) }
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
