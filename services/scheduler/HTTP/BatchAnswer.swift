import Contracts

/// How far several jobs are, as the API shows it.
struct TallyAnswer: Encodable, Sendable {
    let total: Int
    let state: JobState
    let progress: Int
    let counts: [String: Int]

    init(_ tally: JobTally) {
        total = tally.total
        state = tally.state
        progress = tally.progress
        var counts = ["blocked": tally.blocked]
        for state in JobState.allCases { counts[state.rawValue] = tally.count(state) }
        self.counts = counts
    }
}

/// A batch as the API shows it.
struct BatchAnswer: Encodable, Sendable {
    /// A job of it that did not end well.
    struct Failure: Encodable, Sendable {
        let jobID: JobID
        /// The place of the job in the request.
        let place: Int?
        let state: JobState
        let failureKind: FailureKind?
        let errorMessage: String?
    }

    let batchID: BatchID
    let accountID: AccountID
    let state: JobState
    let total: Int
    let progress: Int
    let counts: [String: Int]
    let createdAt: Timestamp
    let startedAt: Timestamp?
    /// When the last of it ended.
    let completedAt: Timestamp?
    let cancelled: Int?
    let firstErrors: [Failure]

    init(_ batch: BatchStore.Batch, _ tally: JobTally, failures: [Job], cancelled: Int? = nil) {
        let sums = TallyAnswer(tally)
        batchID = batch.id
        accountID = batch.accountID
        state = sums.state
        total = sums.total
        progress = sums.progress
        counts = sums.counts
        createdAt = batch.createdAt
        startedAt = tally.startedAt
        completedAt = tally.open == 0 ? tally.completedAt : nil
        self.cancelled = cancelled
        firstErrors = failures.map { job in
            Failure(
                jobID: job.id,
                place: batch.jobs.firstIndex(of: job.id),
                state: job.state,
                failureKind: job.failureKind,
                errorMessage: job.errorMessage
            )
        }
    }
}

/// What jobs have cost, as the API shows it.
struct CostsAnswer: Encodable, Sendable {
    /// A sum.
    struct Item: Encodable, Sendable {
        var kind: String?
        var day: String?
        var accountID: String?
        let jobs: Int64
        let attempts: Int64
        let cpuSeconds: Double
        let memoryGibSeconds: Double
        let bytesIn: Int64
        let bytesOut: Int64

        init(_ cost: JobCost) {
            jobs = cost.jobs
            attempts = cost.attempts
            cpuSeconds = cost.cpuSeconds
            memoryGibSeconds = cost.memoryGiBSeconds
            bytesIn = cost.bytesIn
            bytesOut = cost.bytesOut
        }
    }

    let from: CivilDate
    let to: CivilDate
    let items: [Item]
    let total: Item

    init(from: CivilDate, to: CivilDate, grouping: CostStore.Grouping, sums: [CostStore.Sum]) {
        self.from = from
        self.to = to
        items = sums.map { sum in
            var item = Item(sum.cost)
            switch grouping {
            case .kind: item.kind = sum.group
            case .day: item.day = sum.group
            case .account: item.accountID = sum.group
            }
            return item
        }
        total = Item(sums.reduce(JobCost()) { $0 + $1.cost })
    }
}
