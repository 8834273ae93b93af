import BlobStore
import Contracts
import HTTPServing
import Postgres

/// Every route of the service: the public ones that the gateway leads to, and the internal ones for the other services.
struct SchedulerRoutes: Sendable {
    let store: any SchedulerStore
    let intake: JobIntake
    let desk: ClaimDesk
    let blobs: any BlobStore
    /// Only beside a real database.
    var acts: ActRoutes?
    /// Nothing where the store is in memory: logs of running jobs are then known at their end.
    var logDoors: LogDoors?
    /// What is only known of a store in Postgres: batches, costs, streams, places in the queue.
    var jobDoors: JobDoors?

    /// The public router; `people` finds out who asks.
    func publicRouter(_ people: any Middleware) -> Router {
        let router = Router(problemOf: Self.problem)
        let known = router.grouped(people)
        known.get("/api/jobs", listJobs)
        addJobDoors(to: known)
        known.get("/api/jobs/{id}", job)
        known.get("/api/jobs/{id}/logs", jobLog)
        known.delete("/api/jobs/{id}", cancelJob)
        addLogRoutes(to: known)
        known.get("/api/schedules", listSchedules)
        known.get("/api/schedules/{id}/occurrences", listOccurrences)
        acts?.addPublicRoutes(to: known)
        return router
    }

    /// The routes of the internal port, each with the services that may call it.
    func addInternalRoutes(to router: inout Router, authenticating callers: ([String]) -> any Middleware) {
        let workers = router.grouped(callers(["executor", "marketdata", "signals"]))
        let askers = router.grouped(callers(["signals", "marketdata"]))
        let signals = router.grouped(callers(["signals"]))
        askers.post("/internal/v1/jobs", createJob)
        askers.post("/internal/v1/jobs/bulk", maximumBodyBytes: 16 * 1024 * 1024, createJobs)
        askers.post("/internal/v1/jobs/batches", maximumBodyBytes: Self.maximumBatchBytes, createBatch)
        askers.get("/internal/v1/jobs/{id}", internalJob)
        workers.post("/internal/v1/jobs/claim", claim)
        // Pieces of logs ride on it, and a control character takes six bytes of JSON.
        workers.post("/internal/v1/jobs/renew", maximumBodyBytes: 4 * 1024 * 1024, renew)
        workers.post("/internal/v1/jobs/finish", maximumBodyBytes: 32 * 1024 * 1024, finish)
        workers.post("/internal/v1/jobs/release", release)
        signals.post("/internal/v1/jobs/{id}/cancel", internalCancel)
        router.grouped(callers(["executor", "marketdata", "signals"])).put(
            "/internal/v1/results",
            maximumBodyBytes: Self.maximumResultBytes,
            putResult
        )
        signals.get("/internal/v1/results/{sha256}", result)
        signals.get("/internal/v1/signals/{signal_id}/cadence", cadence)
        acts?.addInternalRoutes(to: router, authenticating: callers)
    }

    static let maximumResultBytes = 8 * 1024 * 1024

    /// What clients read of errors of the shared modules.
    static func problem(of error: any Error) -> Problem? {
        switch error {
        case let error as PostgresError where error.isPassing:
            .unavailable(code: "store_unavailable", detail: "The database does not answer at the moment; try again.")
        default: nil
        }
    }
}
