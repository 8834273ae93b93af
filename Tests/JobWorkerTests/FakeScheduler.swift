import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import JobWorker

/// The scheduler's routes for workers over real HTTP, with a memory of what was said and switches for what goes wrong.
final class FakeScheduler: Sendable {
    struct State {
        var waiting: [ClaimedJob] = []
        var claims: [ClaimID: [ClaimedJob]] = [:]
        var claimRequests: [ClaimID] = []
        /// What each claim asked for, and how many jobs waited behind it.
        var asked: [(classes: Set<ResourceClass>, left: Int)] = []
        var finished: [FinishedJob] = []
        var released: [AttemptID] = []
        var renewals: [LeaseRenewal] = []
        var standings: [AttemptID: LeaseStanding.State] = [:]
        var results: [SHA256Digest: Int] = [:]
        /// The next so many answers to claims are made and then lost.
        var loseClaimAnswers = 0
        /// Every call fails while this is set.
        var isAway = false
        var stale: Set<AttemptID> = []
        /// Calls that bring one of these results fail as a whole; nil refuses none.
        var refuses: (@Sendable (FinishedJob) -> Bool)?
        /// How many of them came.
        var refusals = 0
        /// What every put is refused with.
        var putStatus: Status?
        var puts = 0
    }

    private let state = Mutex(State())
    /// Releases pass it before they are noted; it stands open unless a test shuts it.
    let releases = Gate()
    private let server: HTTPServer
    private let loops: LoopGroup

    init() async throws {
        loops = try LoopGroup.start(count: 1)
        var router = Router()
        let holder = Holder()
        router.post("/internal/v1/jobs/claim") { request in try holder.get().claim(request) }
        router.post("/internal/v1/jobs/renew") { request in try holder.get().renew(request) }
        router.post("/internal/v1/jobs/finish") { request in try holder.get().finish(request) }
        router.post("/internal/v1/jobs/release") { request in try await holder.get().release(request) }
        router.put("/internal/v1/results") { request in try holder.get().put(request) }
        server = HTTPServer(
            name: "fake-scheduler",
            address: "127.0.0.1",
            port: 0,
            router: router,
            loops: loops.serving,
            limits: HTTPLimits(accessLog: false)
        )
        holder.set(self)
        releases.open()
        try await server.start()
    }

    func stop() async {
        await server.stop()
        await loops.stop()
    }

    var client: ServiceClient {
        ServiceClient(
            baseURLs: ["http://127.0.0.1:\(server.boundPort)"],
            audience: "scheduler",
            tokens: nil,
            http: HTTPClient(),
            rounds: 1
        )
    }

    func read<T: Sendable>(_ body: (State) -> T) -> T { state.withLock { body($0) } }
    func change(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }

    private final class Holder: Sendable {
        private let value = Mutex<FakeScheduler?>(nil)
        func set(_ scheduler: FakeScheduler) { value.withLock { $0 = scheduler } }
        func get() throws -> FakeScheduler { try #require(value.withLock { $0 }) }
    }

    private func checkAway() throws {
        if state.withLock({ $0.isAway }) { throw Problem(status: .internalError, code: "away", detail: "away") }
    }

    private func win(_ claimID: ClaimID, _ classes: [ClassSlots], _ state: inout State) -> [ClaimedJob] {
        state.claimRequests.append(claimID)
        if let known = state.claims[claimID] { return known }
        var won: [ClaimedJob] = []
        for room in classes {
            let fitting = state.waiting.filter { $0.resourceClass == room.class }.prefix(room.slots)
            won += fitting
            state.waiting.removeAll { job in fitting.contains { $0.attemptID == job.attemptID } }
        }
        state.claims[claimID] = won
        state.asked.append((Set(classes.map(\.class)), state.waiting.count))
        return won
    }

    private func claim(_ request: Request) throws -> Response {
        try checkAway()
        let body = try WireJSON.decode(ClaimRequest.self, from: request.body)
        let (jobs, isLost) = state.withLock { state -> ([ClaimedJob], Bool) in
            let jobs = win(body.claimID, body.classes, &state)
            guard state.loseClaimAnswers > 0 else { return (jobs, false) }
            state.loseClaimAnswers -= 1
            return (jobs, true)
        }
        if isLost { throw Problem(status: .internalError, code: "lost", detail: "the answer is lost") }
        return try .json(ClaimAnswer(jobs: jobs))
    }

    private func renew(_ request: Request) throws -> Response {
        try checkAway()
        let body = try WireJSON.decode(RenewRequest.self, from: request.body)
        return try state.withLock { state in
            state.renewals += body.leases
            return try .json(
                RenewAnswer(
                    leases: body.leases.map { LeaseStanding(jobID: $0.jobID, attemptID: $0.attemptID, state: state.standings[$0.attemptID] ?? .held) }
                )
            )
        }
    }

    private func finish(_ request: Request) throws -> Response {
        try checkAway()
        let body = try WireJSON.decode(FinishRequest.self, from: request.body)
        return try state.withLock { state in
            if let refuses = state.refuses, body.finished.contains(where: refuses) {
                state.refusals += 1
                throw Problem(status: .internalError, code: "internal", detail: "the event is too large")
            }
            var receipts: [FinishReceipt] = []
            for job in body.finished {
                let isStale = state.stale.contains(job.attemptID)
                if !isStale, !state.finished.contains(where: { $0.attemptID == job.attemptID }) { state.finished.append(job) }
                receipts.append(FinishReceipt(jobID: job.jobID, attemptID: job.attemptID, state: isStale ? .stale : .accepted))
            }
            let jobs = body.next.map { win($0.claimID, $0.classes, &state) } ?? []
            return try .json(FinishAnswer(finished: receipts, jobs: jobs))
        }
    }

    private func release(_ request: Request) async throws -> Response {
        try checkAway()
        try await releases.pass()
        let body = try WireJSON.decode(ReleaseRequest.self, from: request.body)
        state.withLock { $0.released += body.leases.map(\.attemptID) }
        return .noContent
    }

    private func put(_ request: Request) throws -> Response {
        try checkAway()
        struct Receipt: Encodable { var sha256: SHA256Digest }
        let refusal = state.withLock { state in
            state.puts += 1
            return state.putStatus
        }
        if let refusal { throw Problem(status: refusal, code: "refused", detail: "not taken") }
        let digest = SHA256.digest(request.body)
        state.withLock { $0.results[digest] = request.body.count }
        return try .json(Receipt(sha256: digest))
    }
}
