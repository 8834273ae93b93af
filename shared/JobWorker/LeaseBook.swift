import Contracts

/// What a worker holds and owes: its leases, its open claim, its results that nobody has taken yet. Plain values, no clock, no network.
///
/// A lease is counted from the moment at which the request was *sent* whose answer confirmed it: the scheduler cannot have begun to count
/// later than it answered, and not earlier than we asked. So `acknowledgedAt + killAfter` lies before the lease's end at the scheduler
/// whatever the network did.
///
///     claim ──▶ running ──ended──▶ finished ──accepted or stale──▶ gone
///                 │  └─cancel──▶ stopping ──ended──▶ finished
///                 └─lost or not confirmed for 25 s──▶ leaving (killed; what it still says is dropped) ──ended──▶ gone
///
/// What is killed has its room until it is dead: its processes hold their memory as long.
struct LeaseBook {
    /// A run is killed this long after the last confirmed request was sent, in nanoseconds; the lease lasts 30 s.
    static let killAfter: UInt64 = 25_000_000_000

    /// What the worker has to do next.
    enum Action: Equatable {
        /// Begin a job.
        case start(ClaimedJob)
        /// Make a running job stop.
        case stop(AttemptID, JobInterruption.Reason)
        /// Give a job back that was claimed but is not begun.
        case release(LeaseReference)
    }

    private enum Phase: Equatable {
        case running
        case stopping
        case finished(FinishedJob)
    }

    private struct Lease {
        var job: ClaimedJob
        var acknowledgedAt: UInt64
        var progress: Int?
        var phase = Phase.running
        /// What the job wants to be done when its result has been taken.
        var afterwards: (@Sendable () -> Void)?

        /// A finished job takes none, one that was told to stop does until it has ended.
        var takesRoom: Bool {
            if case .finished = phase { false } else { true }
        }
    }

    private struct OpenClaim {
        var claim: NextClaim
        var firstSentAt: UInt64
    }

    private let slots: any SlotSource
    private var leases: [AttemptID: Lease] = [:]
    /// How many of them take room, by class: it is asked at every end of every job, so it is not counted anew.
    private var takingRoom: [ResourceClass: Int] = [:]
    /// The classes of jobs that are no longer ours and have not ended yet.
    private var leaving: [AttemptID: ResourceClass] = [:]
    private var openClaim: OpenClaim?
    private(set) var isDraining = false

    /// A book for so many jobs of each class at once.
    init(slots: [ResourceClass: Int]) {
        self.slots = FixedSlots(slots)
    }

    /// A book for as many jobs as there is room for.
    init(slots: any SlotSource) {
        self.slots = slots
    }

    // MARK: Slots

    /// The jobs of each class that take room; a finished job takes none, one that was killed does until it has ended.
    private var held: [ResourceClass: Int] {
        var held = takingRoom
        for name in leaving.values { held[name, default: 0] += 1 }
        return held
    }

    private mutating func set(_ lease: Lease?, of attemptID: AttemptID) {
        if let before = leases[attemptID], before.takesRoom {
            let count = (takingRoom[before.job.resourceClass] ?? 0) - 1
            takingRoom[before.job.resourceClass] = count > 0 ? count : nil
        }
        if let lease, lease.takesRoom { takingRoom[lease.job.resourceClass, default: 0] += 1 }
        leases[attemptID] = lease
    }

    /// How many more jobs of each class there is room for, each class by itself.
    var freeSlots: [ClassSlots] { Self.list(slots.room(beside: held)) }

    /// Whether the last claim left out a class with room for the sake of another.
    var hasMoreToAsk: Bool { !isDraining && slots.hasMoreToAsk(beside: held) }

    /// Tells whoever counts the machine's resources what is held and what may come.
    func tellSlots() {
        var asked: [ResourceClass: Int] = [:]
        for wanted in openClaim?.claim.classes ?? [] { asked[wanted.class, default: 0] += wanted.slots }
        slots.changed(held: held, asked: asked)
    }

    private static func list(_ slots: [ResourceClass: Int]) -> [ClassSlots] {
        slots.filter { $0.value > 0 }.map { ClassSlots(class: $0.key, slots: $0.value) }.sorted { $0.class.rawValue < $1.class.rawValue }
    }

    /// The slots of each class, and how many of them jobs have now.
    var occupancy: [WorkerClass] {
        let busy = held
        return slots.slots.map { WorkerClass(class: $0.key, slots: $0.value, busy: busy[$0.key] ?? 0) }.sorted {
            $0.class.rawValue < $1.class.rawValue
        }
    }

    /// How many jobs run now.
    var runningCount: Int { takingRoom.values.reduce(0, +) }

    // MARK: Claiming

    /// The claim to send now: the open one again if its answer never came, so that jobs it won are not lost; nil when there is no room.
    ///
    /// - Parameter exhausted: classes that a new claim leaves out.
    mutating func claim(now: UInt64, without exhausted: Set<ResourceClass> = []) -> NextClaim? {
        if let openClaim { return openClaim.claim }
        guard !isDraining else { return nil }
        let free = Self.list(slots.claim(beside: held, without: exhausted))
        if free.isEmpty { return nil }
        let claim = NextClaim(claimID: ClaimID.make(), classes: free)
        openClaim = OpenClaim(claim: claim, firstSentAt: now)
        tellSlots()
        return claim
    }

    /// Takes the jobs that a claim won.
    mutating func claimAnswered(_ claimID: ClaimID, jobs: [ClaimedJob], now: UInt64) -> [Action] {
        guard let open = openClaim, open.claim.claimID == claimID else { return [] }
        openClaim = nil
        var actions: [Action] = []
        for job in jobs where leases[job.attemptID] == nil {
            // The leases run since the claim first arrived, which may have been its first sending.
            if isDraining || now >= open.firstSentAt + Self.killAfter {
                actions.append(.release(LeaseReference(jobID: job.jobID, attemptID: job.attemptID)))
                continue
            }
            set(Lease(job: job, acknowledgedAt: open.firstSentAt), of: job.attemptID)
            actions.append(.start(job))
        }
        return actions
    }

    // MARK: Renewing

    /// All leases, for one call; those of finished jobs too, since their results are not delivered yet.
    var renewals: [LeaseRenewal] {
        leases.values.map { LeaseRenewal(jobID: $0.job.jobID, attemptID: $0.job.attemptID, progress: $0.progress) }
            .sorted { $0.attemptID < $1.attemptID }
    }

    /// Takes what the scheduler said of the leases in a call sent at `sentAt`.
    mutating func renewalAnswered(_ standings: [LeaseStanding], sentAt: UInt64) -> [Action] {
        var actions: [Action] = []
        for standing in standings {
            guard var lease = leases[standing.attemptID] else { continue }
            switch standing.state {
            case .held: lease.acknowledgedAt = max(lease.acknowledgedAt, sentAt)
            case .cancelRequested:
                lease.acknowledgedAt = max(lease.acknowledgedAt, sentAt)
                if lease.phase == .running {
                    lease.phase = .stopping
                    actions.append(.stop(standing.attemptID, .cancelRequested))
                }
            case .lost:
                set(nil, of: standing.attemptID)
                if case .finished = lease.phase { continue }
                leaving[standing.attemptID] = lease.job.resourceClass
                actions.append(.stop(standing.attemptID, .leaseLost))
                continue
            }
            set(lease, of: standing.attemptID)
        }
        return actions
    }

    /// Drops the jobs whose leases were not confirmed for too long. Finished ones are kept: only the scheduler knows whether they count.
    mutating func expire(now: UInt64) -> [Action] {
        var actions: [Action] = []
        for (attemptID, lease) in leases where now >= lease.acknowledgedAt + Self.killAfter {
            if case .finished = lease.phase { continue }
            set(nil, of: attemptID)
            leaving[attemptID] = lease.job.resourceClass
            actions.append(.stop(attemptID, .leaseLost))
        }
        return actions
    }

    /// Notes how far a job is, in percent.
    mutating func progress(_ attemptID: AttemptID, _ percent: Int) {
        leases[attemptID]?.progress = min(100, max(0, percent))
    }

    // MARK: Finishing

    /// Notes that nothing is left of a job: the room of one that is no longer ours is free now.
    mutating func ended(_ attemptID: AttemptID) { leaving[attemptID] = nil }

    /// Whether a job is no longer ours but has not ended.
    func isLeaving(_ attemptID: AttemptID) -> Bool { leaving[attemptID] != nil }

    /// Keeps the result of a job that ended, and what is to be done when it has been taken; false when the job is no longer ours and both are to be dropped.
    mutating func finished(_ result: FinishedJob, afterwards: (@Sendable () -> Void)? = nil) -> Bool {
        guard var lease = leases[result.attemptID] else { return false }
        lease.phase = .finished(result)
        if let afterwards { lease.afterwards = afterwards }
        set(lease, of: result.attemptID)
        return true
    }

    /// Results to deliver, at most `limit`, the same again until they are taken; without those of the attempts `except`.
    func undelivered(limit: Int, except: Set<AttemptID> = []) -> [FinishedJob] {
        // Where all run, which is most of the time, there is nothing to look for.
        if leases.count == runningCount { return [] }
        let results = leases.values.compactMap { lease -> FinishedJob? in
            if case .finished(let result) = lease.phase, !except.contains(result.attemptID) { result } else { nil }
        }
        return Array(results.sorted { $0.attemptID < $1.attemptID }.prefix(limit))
    }

    /// Forgets results that were taken, or that came too late; gives what is to be done now that they were taken, which is nothing while the worker stops.
    @discardableResult
    mutating func finishAnswered(_ receipts: [FinishReceipt]) -> [@Sendable () -> Void] {
        var afterwards: [@Sendable () -> Void] = []
        for receipt in receipts {
            guard let lease = leases[receipt.attemptID], case .finished = lease.phase else { continue }
            set(nil, of: receipt.attemptID)
            if let work = lease.afterwards, receipt.state != .stale, !isDraining { afterwards.append(work) }
        }
        return afterwards
    }

    /// Forgets a result that the scheduler will never take.
    mutating func drop(_ attemptID: AttemptID) {
        set(nil, of: attemptID)
    }

    // MARK: Draining

    /// No new jobs from now on.
    mutating func drain() {
        isDraining = true
    }

    /// The claim whose answer never came: what it won has to be given back, which takes asking what that is.
    var unansweredClaim: NextClaim? { openClaim?.claim }

    /// Gives up all jobs that still run; finished ones stay until they are delivered.
    mutating func releaseRunning() -> [LeaseReference] {
        var released: [LeaseReference] = []
        for (attemptID, lease) in leases {
            if case .finished = lease.phase { continue }
            released.append(LeaseReference(jobID: lease.job.jobID, attemptID: attemptID))
            set(nil, of: attemptID)
            leaving[attemptID] = lease.job.resourceClass
        }
        return released.sorted { $0.attemptID < $1.attemptID }
    }
}
