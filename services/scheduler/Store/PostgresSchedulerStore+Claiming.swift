import Contracts
import Postgres

extension PostgresSchedulerStore {
    /// One round trip for any number of claims: the turn, what the same claims got before, then a statement a class.
    ///
    /// A worker asks for every class that it has room for, and most of them have nothing most of the time. At those in which the last claim found nothing
    /// there is only a look, which costs a tenth of a statement that finds nothing and needs no turn; where it sees something a second round trip takes it.
    func claim(_ claims: [Claim]) async throws -> ClaimAnswers {
        if claims.isEmpty { return ClaimAnswers(jobs: [:], heldBack: []) }
        let asked = ResourceClass.allCases.filter { candidate in
            claims.contains { claim in claim.classes.contains { $0.class == candidate && $0.slots > 0 } }
        }
        let busy = asked.filter(turns.found)
        let quiet = asked.filter { !turns.found($0) }
        var statements: [SQL] = [busy.isEmpty ? .plannedOnce : ClaimStatements.turn, ClaimStatements.held(by: claims)]
        if !quiet.isEmpty { statements.append(ClaimStatements.waiting(in: quiet)) }
        let results = try await pool.pipeline(statements + busy.map { take($0, for: claims) })
        var won = ClaimHarvest()
        won.hold(try results[1].map(JobColumns.job))
        try add(results.suffix(busy.count), of: busy, to: &won)
        let waiting = quiet.isEmpty ? [] : try results[2].map { try $0.column(0, as: ResourceClass.self) }
        if !waiting.isEmpty {
            let results = try await pool.pipeline([ClaimStatements.turn, ClaimStatements.held(by: claims)] + waiting.map { take($0, for: claims) })
            // In the turn, and so with what another copy of a claim has won in between.
            won.hold(try results[1].map(JobColumns.job))
            try add(results.dropFirst(2), of: waiting, to: &won)
        }
        if !won.isEmpty { news.changed(won.accounts) }
        return won.answers
    }

    private func take(_ resourceClass: ResourceClass, for claims: [Claim]) -> SQL {
        ClaimStatements.take(resourceClass, for: claims, behind: turns.start(resourceClass), limits: limits, lease: lease)
    }

    private func add(_ results: ArraySlice<[PostgresRow]>, of classes: [ResourceClass], to won: inout ClaimHarvest) throws {
        for (resourceClass, rows) in zip(classes, results) {
            let haul = try ClaimHaul(rows)
            won.add(haul, of: resourceClass)
            turns.moved(resourceClass, to: haul.jobs.last?.accountID ?? haul.lastAccount, hasFound: !haul.jobs.isEmpty)
        }
    }
}

/// What claims have got so far.
private struct ClaimHarvest {
    private var jobs: [Job] = []
    private var heldBack: Set<ResourceClass> = []

    /// All that the claims hold at this moment.
    mutating func hold(_ held: [Job]) { jobs = held }

    mutating func add(_ haul: ClaimHaul, of resourceClass: ResourceClass) {
        jobs += haul.jobs
        if haul.isHeldBack { heldBack.insert(resourceClass) }
    }

    var isEmpty: Bool { jobs.isEmpty }
    var accounts: Set<AccountID> { Set(jobs.map(\.accountID)) }

    var answers: ClaimAnswers {
        var answers: [ClaimID: [Job]] = [:]
        for job in jobs { if let claimID = job.claimID { answers[claimID, default: []].append(job) } }
        return ClaimAnswers(jobs: answers, heldBack: heldBack)
    }
}
