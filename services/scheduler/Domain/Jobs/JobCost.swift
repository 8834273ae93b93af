import Contracts

/// What attempts have used, in whole numbers: their sums are exact in any order.
struct JobCost: Sendable, Hashable {
    var jobs: Int64 = 0
    var attempts: Int64 = 0
    var cpuMicroseconds: Int64 = 0
    /// MiB held, times milliseconds.
    var memoryMiBMilliseconds: Int64 = 0
    var bytesIn: Int64 = 0
    var bytesOut: Int64 = 0

    var cpuSeconds: Double { Double(cpuMicroseconds) / 1e6 }
    var memoryGiBSeconds: Double { Double(memoryMiBMilliseconds) / 1_024_000 }

    static func + (left: JobCost, right: JobCost) -> JobCost {
        JobCost(
            jobs: left.jobs + right.jobs,
            attempts: left.attempts + right.attempts,
            cpuMicroseconds: left.cpuMicroseconds + right.cpuMicroseconds,
            memoryMiBMilliseconds: left.memoryMiBMilliseconds + right.memoryMiBMilliseconds,
            bytesIn: left.bytesIn + right.bytesIn,
            bytesOut: left.bytesOut + right.bytesOut
        )
    }
}

/// Whose costs and what for.
struct CostKey: Sendable, Hashable, Comparable {
    let account: AccountID
    let kind: JobKind

    static func < (left: CostKey, right: CostKey) -> Bool { (left.account, left.kind.rawValue) < (right.account, right.kind.rawValue) }
}

extension JobEnding {
    /// What the attempt has used, as far as anybody said; nothing for a job that nobody had begun.
    var cost: JobCost {
        guard job.state == .running else { return JobCost(jobs: state.isTerminal ? 1 : 0) }
        return JobCost(
            jobs: state.isTerminal ? 1 : 0,
            attempts: 1,
            cpuMicroseconds: Self.whole(cpuSeconds, times: 1e6),
            memoryMiBMilliseconds: Self.whole(memoryGiBSeconds, times: 1_024_000),
            bytesIn: max(0, bytesIn ?? 0),
            bytesOut: max(0, bytesOut ?? 0)
        )
    }

    /// Rounded, and within bounds that no sum of a day breaks.
    private static func whole(_ value: Double?, times factor: Double) -> Int64 {
        guard let value, value.isFinite, value > 0 else { return 0 }
        return Int64(min(value * factor, 1e15).rounded())
    }

    /// The costs of all endings, by account and kind.
    static func costs(_ endings: [JobEnding]) -> [CostKey: JobCost] {
        var sums: [CostKey: JobCost] = [:]
        for ending in endings {
            let key = CostKey(account: ending.job.accountID, kind: ending.job.kind)
            sums[key] = (sums[key] ?? JobCost()) + ending.cost
        }
        return sums
    }
}

extension FinishedJob {
    /// Memory times time: as measured, or what it cannot have exceeded: the peak, held all the time.
    func memoryGiBSeconds(since start: Timestamp?, now: Timestamp) -> Double {
        if let memoryGibSeconds { return max(0, memoryGibSeconds) }
        let seconds = wallSeconds ?? start.map { Double((now - $0).wholeMicroseconds) / 1e6 } ?? 0
        return max(0, seconds) * Double(max(0, memoryPeakBytes)) / 1_073_741_824
    }

    /// What it brought out: as measured, or what is here of it.
    var outgoingBytes: Int64 {
        bytesOut.map { max(0, $0) } ?? Int64(log?.utf8.count ?? 0) + Int64(result.map { WireJSON.encode($0).count } ?? 0)
    }
}
