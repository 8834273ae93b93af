import Contracts
import Postgres
import ServiceRuntime

/// Tells every replica that there is something new in the log of a job, and wakes who waits for it here.
///
/// What is to be told in one moment goes in one notice, on a connection of its own and outside any job's transaction: a notice inside one would hold up all
/// others. Who waits looks again every two seconds anyway, so a notice that is lost costs no more than that.
actor LogNews: Component {
    nonisolated let name = "log news"
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let logs: LogStore
    /// What those who listen read.
    nonisolated let reads: LogReads
    private let time: any TimeSource
    private let sending = BackgroundTask()
    private let rounds = BackgroundTask()
    private let cleaning = BackgroundTask()
    private var listener: PostgresListener?
    private var news: Set<JobID> = []
    private var waiting: [JobID: [Int: AsyncStream<Void>.Continuation]] = [:]
    private var nextWaiter = 0
    private let pokes: AsyncStream<Void>
    private let poke: AsyncStream<Void>.Continuation
    private let logger = Logger("log-news")

    private static let pause = Duration.milliseconds(50)
    /// Whoever listens looks again this often without news, and is asked as often whether it still may.
    private static let round = Duration.seconds(2)
    /// The streams of logs that are open here.
    nonisolated let places = StreamPlaces(maximum: 500, maximumOfAccount: JobFeeds.mostListenersOfAccount)

    init(logs: LogStore, reads: LogReads, time: any TimeSource, loop: EventLoop) {
        self.logs = logs
        self.reads = reads
        self.time = time
        self.loop = loop
        (pokes, poke) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: Component

    func start() async throws {
        let listener = PostgresListener(
            configuration: logs.pool.configuration,
            loop: loop,
            channels: [LogStore.channel],
            name: "log-listener"
        ) { [weak self] event in self?.assumeIsolated { $0.hear(event) } }
        self.listener = listener
        try await listener.start()
        sending.start(on: loop) { [weak self, pokes] in
            for await _ in pokes {
                guard let self else { return }
                await self.send()
            }
        }
        rounds.start(on: loop, every: Self.round, time: time, pausesFirst: true) { [weak self] in await self?.wakeAll() }
        let failure = "pieces of logs were not cleaned up"
        cleaning.start(on: loop, every: .seconds(60), time: time, pausesFirst: true, logger: logger, failure: failure) { [logs] in
            while try await logs.cleanUp() >= 5_000 {}
        }
    }

    func stop() async {
        await sending.stop()
        await rounds.stop()
        await cleaning.stop()
        await listener?.stop()
        for waiters in waiting.values { for waiter in waiters.values { waiter.finish() } }
    }

    // MARK: Telling

    /// Keeps the pieces of logs that came with renewals. What goes wrong here is no worker's business: the log's end brings it all once more.
    func take(_ renewals: [LeaseRenewal]) async {
        guard renewals.contains(where: { $0.log != nil }) else { return }
        do { tell(try await logs.append(renewals)) } catch {
            logger.warning("what jobs print was not stored", ["reason": .string("\(error)")])
        }
    }

    /// Notes that there is something new of these jobs.
    func tell(_ jobs: [JobID]) {
        if jobs.isEmpty { return }
        news.formUnion(jobs)
        poke.yield()
    }

    private func send() async {
        let jobs = news.sorted()
        news = []
        if jobs.isEmpty { return }
        do { try await logs.notify(jobs) } catch { wake(jobs) }
        try? await time.sleep(for: Self.pause)
    }

    // MARK: Hearing

    private func hear(_ event: PostgresListener.Event) {
        switch event {
        case .connected: wake(Array(waiting.keys))
        case .notification(_, let payload): wake(payload.split(separator: ",").compactMap { JobID(String($0)) })
        }
    }

    private func wake(_ jobs: [JobID]) {
        // Whoever is woken reads what there is now.
        reads.forget(jobs)
        for job in jobs { for waiter in (waiting[job] ?? [:]).values { waiter.yield() } }
    }

    private func wakeAll() { wake(Array(waiting.keys)) }

    /// News of one job, as long as somebody takes them.
    func follow(_ job: JobID) -> (number: Int, news: AsyncStream<Void>) {
        let number = nextWaiter
        nextWaiter += 1
        let (news, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        waiting[job, default: [:]][number] = continuation
        return (number, news)
    }

    /// Ends a `follow`.
    func leave(_ job: JobID, _ number: Int) {
        waiting[job]?.removeValue(forKey: number)?.finish()
        if waiting[job]?.isEmpty == true {
            waiting[job] = nil
            reads.forget([job])
        }
    }
}
