import Contracts
import Schedules

/// Where the scheduler keeps what it owns. Two versions pass one contract suite: `PostgresSchedulerStore` serves, `InMemorySchedulerStore` is for tests.
protocol SchedulerStore: JobLedger {
    /// Runs `body` in one transaction: all of it happens, or, when it throws, nothing. It may run again after a conflict with another.
    func transaction<Outcome: Sendable>(_ body: @Sendable (any SchedulerTransaction) async throws -> Outcome) async throws -> Outcome

    /// The earliest due time of any schedule besides these.
    func earliestDueTime(besides resting: [RestingSchedule]) async throws -> Timestamp?
    /// The bars whose closes schedules wait for.
    func watchedBars() async throws -> [WatchedBar]
    /// Begins the eras of schedules that wait for these bars and have none that lasts: from now on marketdata announces every close to them.
    func beginBarEras(of watches: [WatchedBar]) async throws
    /// An account's schedules in order of their ids, from after `after`.
    func schedules(of account: AccountID, after: ScheduleID?, limit: Int) async throws -> [Schedule]
    /// The schedule with that id.
    func schedule(_ id: ScheduleID) async throws -> Schedule?
    /// The schedule of a signal.
    func schedule(of signal: SignalID) async throws -> Schedule?
    /// The markets that active schedules follow or keep to, of which marketdata has not answered since `time`.
    func markets(unansweredSince time: Timestamp) async throws -> [String]
    /// Writes why marketdata could say nothing of a market.
    func note(fault: String, ofMarket market: String) async throws
    /// What is known of a market, and what kept marketdata from saying more; nil if it was never asked.
    func market(_ market: String) async throws -> (sessions: MarketSessions, fault: String?)?
    /// A schedule's occurrences, the latest first, from before `before`.
    func occurrences(of schedule: ScheduleID, before: Timestamp?, limit: Int) async throws -> [Occurrence]
}

extension SchedulerStore {
    /// The earliest due time of any schedule.
    func earliestDueTime() async throws -> Timestamp? { try await earliestDueTime(besides: []) }
}

/// A schedule that a replica leaves alone for a while, as it stood: one that is armed anew meanwhile is another matter.
struct RestingSchedule: Sendable, Hashable {
    let id: ScheduleID
    let dueAt: Timestamp
}

extension [RestingSchedule] {
    func hold(_ schedule: Schedule) -> Bool { contains { $0.id == schedule.id && $0.dueAt == schedule.nextDueAt } }
}

/// What is known of a market, and how old that is.
struct KnownMarket: Sendable, Hashable {
    var sessions = MarketSessions.unknown
    /// When marketdata answered last.
    var refreshedAt: Timestamp?
    /// Since when all that follow it are being armed anew; nil when that is done.
    var rearmingSince: Timestamp?
}

/// Bars that a schedule waits for.
struct WatchedBar: Sendable, Hashable, Codable {
    let instrument: String
    let intervalSeconds: Int
}

/// What can be done within a transaction of the store: plain reads and writes of rows, without rules.
protocol SchedulerTransaction: Sendable {
    /// The schedule of a signal, locked.
    func lockedSchedule(of signal: SignalID) async throws -> Schedule?
    /// The schedule with that id, locked.
    func lockedSchedule(_ id: ScheduleID) async throws -> Schedule?
    /// Writes how many runs of a schedule have failed in a row.
    func setFailures(_ count: Int, of schedule: ScheduleID) async throws
    /// The store's clock.
    func moment() async throws -> Timestamp
    /// Active schedules that are due besides these, the longest overdue first, locked; those that another replica has locked are left out.
    func lockedDueSchedules(at now: Timestamp, besides resting: [RestingSchedule], limit: Int) async throws -> [Schedule]
    /// Active schedules that wait for these bars, locked.
    func lockedSchedules(waitingFor bars: [WatchedBar]) async throws -> [Schedule]
    /// Writes a schedule, new or known.
    func save(_ schedule: Schedule) async throws
    /// Writes how far schedules have been worked off, and takes as many numbers of events about their signals as given: the first of each.
    func advance(_ schedules: [Schedule], taking counts: [SignalID: Int]) async throws -> [SignalID: Int64]
    /// Begins an era.
    func begin(_ era: ScheduleEra) async throws
    /// Ends the era of a schedule that lasts.
    func endEra(of schedule: ScheduleID, at time: Timestamp) async throws
    /// The runs of these schedules that have not ended, in the order of their ids; `locked` holds them as they are until the commit.
    func openRuns(among schedules: [ScheduleID], locked: Bool) async throws -> [OpenRun]
    /// Cancels those of these jobs that nobody runs yet, and asks the others to stop.
    func cancelRuns(_ jobs: [JobID]) async throws
    /// Cancels jobs here and now; a worker that runs one learns that it has lost it.
    func endRuns(_ jobs: [JobID]) async throws

    /// What is known of the sessions of markets; one of which nothing is known is left out.
    func sessions(of markets: Set<String>) async throws -> [String: MarketSessions]
    /// The same of markets that are known or new, and until the commit nobody changes what is known of them: what is armed by it here is seen by whoever
    /// arms anew what follows them.
    func heldSessions(of markets: Set<String>) async throws -> [String: MarketSessions]
    /// Holds a market, known or new, against others who want to change it or arm by it, and gives what is known of it. No schedule is locked after this:
    /// publications hold a schedule before they hold its market.
    func lockedMarket(_ market: String) async throws -> KnownMarket
    /// Writes what is known of a market and that marketdata has answered at `time`; `isRearming` says that all that follow it must be armed anew.
    func save(_ sessions: MarketSessions, of market: String, at time: Timestamp, isRearming: Bool) async throws
    /// Writes that all that follow a market have been armed anew by what was saved at `time`.
    func finishRearming(_ market: String, since time: Timestamp) async throws
    /// Active schedules that follow or keep to this market and are due by a grid, locked, in the order of their ids, from after `after`; with `isUnarmed`
    /// those alone of which it is not known when they are due.
    func lockedSchedules(ofMarket market: String, isUnarmed: Bool, after: ScheduleID?, limit: Int) async throws -> [Schedule]

    /// How many active schedules are due next at this time, those included that another replica has locked; counts no further than `limit`.
    func countSchedules(dueAt time: Timestamp, limit: Int) async throws -> Int
    /// Adds occurrences and gives those that were not there before.
    func add(_ occurrences: [Occurrence]) async throws -> Set<OccurrenceID>
    /// The occurrences with these ids, locked, in the order of their ids.
    func lockedOccurrences(_ ids: [OccurrenceID]) async throws -> [Occurrence]
    /// Writes outcomes, reasons and moments of recording.
    func update(_ occurrences: [Occurrence]) async throws

    /// Writes jobs; several in one statement.
    func insert(_ jobs: [NewJob]) async throws -> [Insertion]

    /// Takes as many numbers of events about each signal as given, and gives the first of them; their schedules' rows are locked by this.
    func takeEventVersions(_ counts: [SignalID: Int]) async throws -> [SignalID: Int64]
    /// When the schedules of signals are due next, those of which it is known.
    func nextDueTimes(of signals: [SignalID]) async throws -> [SignalID: Timestamp]
    /// Says events when the transaction commits, each with the version of its subject.
    func say<Body: EventBody>(_ events: [(event: Body, subjectVersion: Int64)]) async throws
}

extension SchedulerTransaction {
    /// The occurrence with that id, locked.
    func lockedOccurrence(_ id: OccurrenceID) async throws -> Occurrence? { try await lockedOccurrences([id]).first }
    /// Writes how far schedules have been worked off.
    func advance(_ schedules: [Schedule]) async throws { _ = try await advance(schedules, taking: [:]) }
    /// Writes one outcome.
    func update(_ occurrence: Occurrence) async throws { try await update([occurrence]) }
}

/// The ledger of jobs: each call is a transaction of its own and does its work for many jobs at once.
protocol JobLedger: Sendable {
    /// Writes jobs. Those of the accounts named, as far as the queue's limit applies to them, only while the account has no more open jobs than given.
    func insert(_ jobs: [NewJob], queueLimits: [AccountID: Int]) async throws -> [Insertion]
    /// How full the queues of these accounts are.
    func queueStandings(of accounts: [AccountID]) async throws -> [AccountID: QueueStanding]
    /// Gives each worker up to as many jobs of each class as it has slots, within what accounts may run at once; the same claim again gives the same jobs.
    func claim(_ claims: [Claim]) async throws -> ClaimAnswers
    /// Prolongs leases.
    func renew(_ leases: [LeaseRenewal]) async throws -> [LeaseStanding]
    /// Ends attempts; answers for each whether it still counted, and which jobs have ended for good by it.
    func finish(_ finished: [FinishedJob]) async throws -> [FinishReceipt]
    /// Puts jobs back without using up an attempt.
    func release(_ leases: [LeaseReference]) async throws
    /// Cancels a job, whosever it is.
    func cancel(_ id: JobID) async throws -> Cancellation
    /// Takes back jobs whose lease has ended; gives how many.
    func expireLeases(limit: Int) async throws -> Int
    /// Counts a wait that took too long as a failed attempt; gives how many.
    func expireWaits(limit: Int) async throws -> Int
    /// Lets jobs go that waited for jobs with so many dependants that the transaction in which they ended did not work off all; gives how many ends
    /// it looked at, `limit` at most.
    func unblockLeftOver(limit: Int) async throws -> Int
    /// Raises what has waited for ten minutes by one step, never to urgent, the oldest first; gives how many.
    func raiseWaiting(limit: Int) async throws -> Int
    /// The classes in which a job could be claimed now.
    func claimableClasses() async throws -> [ResourceClass]

    /// The job with that id.
    func job(_ id: JobID) async throws -> Job?
    /// Jobs of an account, newest first.
    func jobs(_ filter: JobFilter) async throws -> [Job]
    /// What a job printed.
    func log(of id: JobID) async throws -> JobLog?
    /// Which of these results a job names.
    func namedResults(among digests: [SHA256Digest]) async throws -> Set<SHA256Digest>
}

extension JobLedger {
    /// Writes jobs, however many open ones their accounts have.
    func insert(_ jobs: [NewJob]) async throws -> [Insertion] { try await insert(jobs, queueLimits: [:]) }

    /// One claim by itself.
    func claim(_ claim: Claim) async throws -> [Job] { try await self.claim([claim]).jobs[claim.id] ?? [] }
}

/// What claims won.
struct ClaimAnswers: Sendable {
    /// By claim, in the order in which they are to be begun.
    var jobs: [ClaimID: [Job]]
    /// The classes in which an account was passed that may run no more at once.
    var heldBack: Set<ResourceClass>
}

/// Who claims what.
struct Claim: Sendable, Hashable {
    let id: ClaimID
    let worker: String
    let classes: [ClassSlots]
}
