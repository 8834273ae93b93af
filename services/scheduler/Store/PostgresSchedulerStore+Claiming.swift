import Contracts
import Postgres

extension PostgresSchedulerStore {
    /// One round trip for any number of claims: the turn, what the same claims got before, then a statement a class.
    ///
    /// A worker asks for every class that it has room for, and most of them have nothing most of the time. Where the last claim found nothing, a look comes
    /// first: it costs a tenth of a statement that finds nothing, and no turn.
    func claim(_ claims: [Claim]) async throws -> ClaimAnswers {
        if claims.isEmpty { return ClaimAnswers(jobs: [:], heldBack: []) }
        var classes = ResourceClass.allCases.filter { candidate in
            claims.contains { claim in claim.classes.contains { $0.class == candidate && $0.slots > 0 } }
        }
        if turns.hasEmpty(among: classes) {
            let look = try await pool.pipeline([.plannedOnce, ClaimStatements.waiting(in: classes), ClaimStatements.held(by: claims)])
            let waiting = Set(try look[1].map { try $0.column(0, as: ResourceClass.self) })
            classes.removeAll { !waiting.contains($0) }
            if classes.isEmpty { return ClaimAnswers(jobs: Self.byClaim(try look[2].map(JobColumns.job)), heldBack: []) }
        }
        var statements: [SQL] = [ClaimStatements.turn, ClaimStatements.held(by: claims)]
        statements += classes.map { ClaimStatements.take($0, for: claims, behind: turns.start($0), limits: limits, lease: lease) }
        let results = try await pool.pipeline(statements)
        var jobs = try results[1].map(JobColumns.job)
        var heldBack: Set<ResourceClass> = []
        for (resourceClass, rows) in zip(classes, results.dropFirst(2)) {
            let haul = try ClaimHaul(rows)
            jobs += haul.jobs
            if haul.isHeldBack { heldBack.insert(resourceClass) }
            turns.moved(resourceClass, to: haul.jobs.last?.accountID ?? haul.lastAccount, isEmpty: haul.jobs.isEmpty)
        }
        news.changed(Set(jobs.map(\.accountID)))
        return ClaimAnswers(jobs: Self.byClaim(jobs), heldBack: heldBack)
    }

    private static func byClaim(_ jobs: [Job]) -> [ClaimID: [Job]] {
        var answers: [ClaimID: [Job]] = [:]
        for job in jobs { if let claimID = job.claimID { answers[claimID, default: []].append(job) } }
        return answers
    }
}
