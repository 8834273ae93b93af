import Contracts
import HTTPServing
import Postgres
import ServiceRuntime

/// Tells listeners of jobs as they change: hears from the database that something did, looks once an account, and hands the same bytes to all.
///
/// The id of an account's stream is the number below which all transactions have been told, that of a job's stream its version: so any replica goes on
/// from either (docs/decisions/job-streams.md).
actor JobFeeds: Component {
    nonisolated let name = "job feeds"
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let store: PostgresSchedulerStore
    private let changes: JobChanges
    private let door: StreamDoor
    private let time: any TimeSource
    private var listener: PostgresListener?
    private let rounds = BackgroundTask()
    private let checks = BackgroundTask()
    private var feeds: [AccountID: JobFeed] = [:]
    private var listenerCount = 0
    private var nextListener = 0
    /// How often it has looked at an account's jobs; for tests.
    private(set) var looks = 0
    /// How many jobs it has read for that; for tests.
    private(set) var jobsRead = 0
    private let logger = Logger("job-feeds")
    private let listeners = Metrics.shared.gauge("auspex_scheduler_job_listeners", help: "Streams of jobs that are open.")

    static let mostListeners = 1_000
    static let mostListenersOfAccount = 50
    /// A client that missed more than that reads the list again.
    static let mostMissed = 2_000
    /// Between two looks at an account while the number below which all have ended stays the same.
    static let pause = Duration.milliseconds(200)
    /// What a notice that was lost costs.
    static let lookAgain = Duration.seconds(2)

    init(store: PostgresSchedulerStore, door: StreamDoor, loop: EventLoop, time: any TimeSource) {
        self.store = store
        changes = JobChanges(pool: store.pool)
        self.door = door
        self.loop = loop
        self.time = time
    }

    // MARK: Component

    /// Begins to listen to the database; does not fail when it is away.
    func start() async throws {
        let listener = PostgresListener(configuration: store.pool.configuration, loop: loop, channels: [JobNotice.channel], name: "jobs-listener") {
            [weak self] event in self?.assumeIsolated { $0.hear(event) }
        }
        self.listener = listener
        try await listener.start()
        rounds.start(on: loop, every: Self.lookAgain, time: time, pausesFirst: true) { [weak self] in await self?.round() }
        checks.start(on: loop, every: .seconds(1), time: time, pausesFirst: true) { [weak self] in await self?.checkCredentials() }
    }

    func stop() async {
        await rounds.stop()
        await checks.stop()
        await listener?.stop()
    }

    // MARK: Listening

    /// Refuses one more stream where there are too many.
    func admit(to account: AccountID) throws {
        let own = feeds[account].map { feed in feed.jobListeners.values.reduce(feed.listeners.count) { $0 + $1.count } } ?? 0
        guard listenerCount < Self.mostListeners, own < Self.mostListenersOfAccount else {
            throw Problem.tooManyRequests(code: "too_many_streams", detail: "As many streams are open as there may be.", retryAfterSeconds: 5)
        }
    }

    /// Serves a stream of all jobs of an account that it may see; `after` is the last id that its client has.
    func serve(_ stream: EventStream, account: AccountID, after: Int64?, _ visitor: StreamDoor.Visitor) async throws {
        let feed = try await feed(account)
        let number = enter(feed)
        feed.listeners[number] = JobListener(stream: stream, visitor: visitor)
        feed.group.join(stream)
        // What comes from here on is kept back until the beginning is sent.
        let known = feed.settledBelow
        do {
            feed.group.begin(stream, with: try await beginning(account, after: after, known: known))
            await stream.untilItEnds()
        } catch {
            leave(feed, number)
            throw error
        }
        leave(feed, number)
    }

    private func beginning(_ account: AccountID, after: Int64?, known: Int64) async throws -> [UInt8] {
        guard let after else { return JobEvent.mark(known) }
        let look = try await changes.look(at: account, from: min(after, known), limit: Self.mostMissed)
        if look.isCut { return JobEvent.reset(look.settledBelow) }
        let jobs = look.changes.map(\.job).filter { JobKindRules.of($0.kind).isOfOwners }
        return jobs.isEmpty ? JobEvent.mark(look.settledBelow) : try JobEvent.jobs(jobs, id: look.settledBelow)
    }

    /// Serves a stream of one job, which ends with it; `after` is the version that its client has.
    func serve(_ stream: EventStream, job: Job, after: Int64?, _ visitor: StreamDoor.Visitor) async throws {
        let feed = try await feed(job.accountID)
        let number = enter(feed)
        let one = JobListener(stream: stream, visitor: visitor, version: after ?? 0)
        feed.jobListeners[job.id, default: [:]][number] = one
        do {
            // Read when it is listened to already: what changes later is heard.
            if let now = try await store.job(job.id) { try await tell(now, to: one, isFirst: after == nil) }
            await stream.untilItEnds()
        } catch {
            leave(feed, number, job: job.id)
            throw error
        }
        leave(feed, number, job: job.id)
    }

    private func tell(_ job: Job, to one: JobListener, isFirst: Bool = false) async throws {
        guard job.version > one.version || isFirst else {
            if job.state.isTerminal { one.stream.end("the job has ended") }
            return
        }
        one.version = job.version
        _ = await one.stream.send(id: String(job.version), event: "job", data: try JobEvent.data(job))
        if job.state.isTerminal { one.stream.end("the job has ended") }
    }

    private func enter(_ feed: JobFeed) -> Int {
        defer { nextListener += 1 }
        listenerCount += 1
        listeners.set(Double(listenerCount))
        return nextListener
    }

    private func leave(_ feed: JobFeed, _ number: Int, job: JobID? = nil) {
        if let job {
            feed.jobListeners[job]?[number] = nil
            if feed.jobListeners[job]?.isEmpty == true { feed.jobListeners[job] = nil }
        } else if let one = feed.listeners.removeValue(forKey: number) {
            feed.group.leave(one.stream)
        }
        listenerCount -= 1
        listeners.set(Double(listenerCount))
        if feed.isAlone, feeds[feed.account] === feed { feeds[feed.account] = nil }
    }

    /// The feed of an account, made if nobody listens to it yet. It is for whoever enters it without a pause: one that all have left is forgotten.
    private func feed(_ account: AccountID) async throws -> JobFeed {
        if let known = feeds[account] { return known }
        let settled = try await changes.settled()
        // Others may have come in while this was looked up.
        if let known = feeds[account] { return known }
        let made = JobFeed(account: account, settledBelow: settled)
        feeds[account] = made
        return made
    }

    // MARK: News

    /// Takes what the database says; on the loop.
    private func hear(_ event: PostgresListener.Event) {
        switch event {
        case .connected:
            // What was said in the meantime is lost.
            for feed in feeds.values { look(at: feed) }
        case .notification(_, let payload):
            guard let notice = JobNotice(payload) else { return }
            if let accounts = notice.accounts {
                for account in accounts { if let feed = feeds[account] { look(at: feed) } }
            } else {
                for feed in feeds.values { look(at: feed) }
            }
        }
    }

    private func look(at feed: JobFeed) {
        feed.mustRead = true
        if feed.isReading { return }
        feed.isReading = true
        Task(on: loop) { await self.read(feed) }
    }

    private func read(_ feed: JobFeed) async {
        while feed.mustRead {
            feed.mustRead = false
            looks += 1
            let known = feed.settledBelow
            do {
                let look = try await changes.marks(of: feed.account, from: known, limit: Self.mostMissed + 1)
                if look.marks.count > Self.mostMissed {
                    try await reset(feed, look)
                } else {
                    feed.resetAt = nil
                    let jobs = try await changes.jobs(feed.untold(look.marks))
                    jobsRead += jobs.count
                    feed.note(look)
                    try await tell(jobs, in: feed)
                }
            } catch {
                // The next round looks again.
                logger.warning("changes of jobs cannot be read", ["reason": .string(String(reflecting: error))])
            }
            // Somebody's transaction is open, and until it ends each look goes through all that has changed since.
            if feed.settledBelow == known { try? await time.sleep(for: feed.resetAt == nil ? Self.pause : Self.lookAgain) }
        }
        feed.isReading = false
    }

    /// More has changed than is told: who listens to all of it reads the list again, who listens to one job is told of that.
    private func reset(_ feed: JobFeed, _ look: JobChanges.Marks) async throws {
        let isKnown = feed.resetAt == look.state
        feed.resetAt = look.state
        if !isKnown {
            let followed = try await changes.jobs(Array(feed.jobListeners.keys))
            feed.group.send(JobEvent.reset(look.settledBelow))
            try await tellListeners(of: followed, in: feed)
        }
        feed.settledBelow = max(feed.settledBelow, look.settledBelow)
    }

    private func tell(_ jobs: [Job], in feed: JobFeed) async throws {
        let visible = jobs.filter { JobKindRules.of($0.kind).isOfOwners }
        if !visible.isEmpty, !feed.listeners.isEmpty { feed.group.send(try JobEvent.jobs(visible, id: feed.settledBelow)) }
        try await tellListeners(of: jobs, in: feed)
    }

    private func tellListeners(of jobs: [Job], in feed: JobFeed) async throws {
        if feed.jobListeners.isEmpty { return }
        for job in jobs {
            for one in Array((feed.jobListeners[job.id] ?? [:]).values) { try await tell(job, to: one) }
        }
    }

    // MARK: Rounds

    /// Looks where notices were lost: one statement for all accounts.
    private func round() async {
        let followed = feeds.values.map { (account: $0.account, from: $0.settledBelow) }
        guard !followed.isEmpty, let changed = try? await changes.changed(among: followed) else { return }
        for account in changed { if let feed = feeds[account] { look(at: feed) } }
    }

    /// Once a second: ends the streams whose credentials have ended.
    private func checkCredentials() async {
        for feed in Array(feeds.values) {
            for one in Array(feed.listeners.values) + feed.jobListeners.values.flatMap({ Array($0.values) }) {
                if let reason = await door.refusal(of: one.visitor) { one.stream.end(reason) }
            }
        }
    }
}
