import Contracts
import Postgres

extension PostgresSchedulerStore {
    /// One round trip for any number of claims: the turn, what the same claims got before, then a statement a class.
    func claim(_ claims: [Claim]) async throws -> ClaimAnswers {
        if claims.isEmpty { return ClaimAnswers(jobs: [:], heldBack: []) }
        let classes = ResourceClass.allCases.filter { candidate in
            claims.contains { claim in claim.classes.contains { $0.class == candidate && $0.slots > 0 } }
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
            turns.moved(resourceClass, to: haul.jobs.last?.accountID ?? haul.lastAccount)
        }
        news.changed(Set(jobs.map(\.accountID)))
        var answers: [ClaimID: [Job]] = [:]
        for job in jobs { if let claimID = job.claimID { answers[claimID, default: []].append(job) } }
        return ClaimAnswers(jobs: answers, heldBack: heldBack)
    }
}
