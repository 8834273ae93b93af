import Bars
import Contracts
import HTTPServing
import Postgres
import ServiceRuntime

/// Tells listeners of bars as they become known: hears from the database that something did, reads it once a topic, and hands the same bytes to all.
///
/// A stream's coordinate is a moment: everything that became known by it has been sent. So any replica goes on from it (docs/decisions/bar-streams.md).
actor BarStreams: Component {
    nonisolated let name = "bar streams"
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let topics: TopicReader
    private let admission: StreamAdmission
    private let time: any TimeSource
    private let settings: StreamSettings
    private var listener: PostgresListener?
    private let rounds = BackgroundTask()
    private let checks = BackgroundTask()
    private var lanes: [StreamTopic: Lane] = [:]
    private var lanesOf: [InstrumentID: [Lane]] = [:]
    private var opening: [StreamTopic: Task<Void, any Error>] = [:]
    /// The latest news of each instrument that came while topics were being opened: their lanes were not there to hear it.
    private var heardMeanwhile: [InstrumentID: Timestamp] = [:]
    private var openers = 0
    private var audiences: [[StreamTopic]: Audience] = [:]
    private var listenerCount = 0
    private var nextListener = 0
    /// Topics whose turn to be read comes next, and how many are being read.
    private var queue: [Lane] = []
    private var readers = 0
    /// Who comes with a topic that is not followed yet, or with much to catch up on, waits for a place: a thousand may come back at once.
    private let places: ReadGate
    /// How many times this has begun to hear the database and looked at what it may have missed; for tests.
    private(set) var timesConnected = 0
    private let logger = Logger("bar-streams")

    /// Two reads in a row that took longer are followed by a pause of nine times as long, up to two seconds: one alone may have met a busy machine.
    private static let longRead: UInt64 = 20_000_000
    private static let keptIdle: UInt64 = 10_000_000_000
    private static let readsAtOnce = 12

    init(topics: TopicReader, admission: StreamAdmission, loop: EventLoop, time: any TimeSource, settings: StreamSettings = StreamSettings()) {
        self.topics = topics
        self.admission = admission
        self.loop = loop
        self.time = time
        self.settings = settings
        var limits = ReadLimits()
        limits.heavyReads = 8
        limits.heavyReadsWaiting = 2 * settings.listeners
        limits.heavyReadWait = .seconds(30)
        places = ReadGate(limits: limits, time: time)
    }

    // MARK: Component

    /// Begins to listen to the database; does not fail when it is away.
    func start() async throws {
        let listener = PostgresListener(
            configuration: topics.knowledge.pool.configuration,
            loop: loop,
            channels: [KnowledgeNotice.channel],
            name: "knowledge-listener"
        ) { [weak self] event in self?.assumeIsolated { $0.hear(event) } }
        self.listener = listener
        try await listener.start()
        rounds.start(on: loop, every: .seconds(1), time: time, pausesFirst: true) { [weak self] in await self?.round() }
        checks.start(on: loop, every: .seconds(1), time: time, pausesFirst: true) { [weak self] in await self?.checkCredentials() }
    }

    func stop() async {
        await rounds.stop()
        await checks.stop()
        await listener?.stop()
    }

    // MARK: Listening

    /// Looks the topics up; throws what a client should read when there is no such thing.
    func open(_ wanted: [StreamTopic]) async throws {
        guard listenerCount < settings.listeners else {
            throw Problem.tooManyRequests(code: "too_many_streams", detail: "This replica serves as many streams as it may.", retryAfterSeconds: 5)
        }
        guard wanted.contains(where: { lanes[$0] == nil }) else { return }
        openers += 1
        defer {
            openers -= 1
            forgetNews()
        }
        // All as of one moment, which is an id then.
        let now = try await topics.knowledge.now()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for topic in wanted { group.addTask { _ = try await self.lane(topic, at: now) } }
            try await group.waitForAll()
        }
    }

    /// Serves one stream until it ends. `after` is the moment by which its client had been told everything; nothing for one that begins.
    func serve(_ stream: EventStream, _ wanted: [StreamTopic], after: Timestamp?, _ credential: StreamAdmission.Credential) async throws {
        // No later than now, or what becomes known until then would never be told.
        let after = if let after { min(after, try await topics.knowledge.now()) } else { Timestamp?.none }
        for topic in wanted { try await reach(try await lane(topic), after ?? .distantPast) }
        while let missing = wanted.first(where: { lanes[$0] == nil }) { _ = try await lane(missing) }
        // Others may have come in while this one was looked up.
        guard listenerCount < settings.listeners else { return stream.end("too many streams on this replica; come back in some seconds") }
        // Without a pause from here to the admission: what the views say is sent now, what comes later by the group.
        let audience = audience(wanted)
        let number = nextListener
        nextListener += 1
        listenerCount += 1
        StreamMetrics.listeners.set(Double(listenerCount))
        let views = audience.admit(Audience.Listener(stream: stream, credential: credential), as: number)
        audience.askForProof()
        for lane in audience.lanes { pump(lane) }
        do {
            audience.group.begin(stream, with: try await beginning(views, after: after))
            await stream.untilItEnds()
        } catch {
            leave(audience, wanted, number)
            throw error
        }
        leave(audience, wanted, number)
    }

    private func leave(_ audience: Audience, _ wanted: [StreamTopic], _ number: Int) {
        guard let one = audience.listeners.removeValue(forKey: number) else { return }
        audience.group.leave(one.stream)
        listenerCount -= 1
        StreamMetrics.listeners.set(Double(listenerCount))
        guard audience.listeners.isEmpty, audiences[wanted] === audience else { return }
        audiences[wanted] = nil
        for lane in audience.lanes {
            lane.audiences.removeAll { $0 === audience }
            if lane.audiences.isEmpty { lane.idleSince = time.monotonicNanoseconds() }
        }
    }

    /// The audience of these topics, all of which are followed.
    private func audience(_ wanted: [StreamTopic]) -> Audience {
        if let known = audiences[wanted] { return known }
        let made = Audience(wanted.compactMap { lanes[$0] })
        for lane in made.lanes {
            lane.audiences.append(made)
            lane.idleSince = nil
        }
        audiences[wanted] = made
        return made
    }

    /// What a stream begins with: all that became known since its client was last told, or what there is to draw.
    private func beginning(_ views: [TopicView], after: Timestamp?) async throws -> [UInt8] {
        let complete = views.map(\.through).min() ?? .distantPast
        guard let after else { return StreamEvent.joined(marked(views.flatMap(\.beginning), complete), id: complete) }
        let topics = topics
        try await places.enter()
        defer { places.leave() }
        let missed = try await withThrowingTaskGroup(of: (Int, settled: [[UInt8]], open: [[UInt8]]).self) { group in
            for (index, view) in views.enumerated() where view.through > after {
                group.addTask {
                    // In two steps where one topic has come further than another: the id stands behind the first.
                    var (settled, open): ([[UInt8]], [[UInt8]]) = ([], [])
                    var reached = try await topics.view(of: view.topic, at: after)
                    if complete > after { (reached, settled) = try await topics.advance(reached, to: complete) }
                    if view.through > reached.through { (_, open) = try await topics.advance(reached, to: view.through) }
                    return (index, settled, open)
                }
            }
            var found: [Int: (settled: [[UInt8]], open: [[UInt8]])] = [:]
            for try await (index, settled, open) in group { found[index] = (settled, open) }
            return found
        }
        let settled = views.indices.flatMap { missed[$0]?.settled ?? [] }
        return StreamEvent.joined(marked(settled, complete), id: complete)
            + StreamEvent.joined(views.indices.flatMap { missed[$0]?.open ?? [] }, id: nil)
    }

    private func marked(_ events: [[UInt8]], _ moment: Timestamp) -> [[UInt8]] { events.isEmpty ? [StreamEvent.mark(moment)] : events }

    // MARK: Lanes

    /// The topic's lane, made if nobody has listened to it yet: as of a moment that has passed, or now.
    private func lane(_ topic: StreamTopic, at moment: Timestamp? = nil) async throws -> Lane {
        while true {
            if let lane = lanes[topic] {
                if lane.audiences.isEmpty { lane.idleSince = time.monotonicNanoseconds() }
                return lane
            }
            if let task = opening[topic] {
                try await task.value
                continue
            }
            guard lanes.count + opening.count < settings.topics else {
                throw Problem.tooManyRequests(code: "too_many_topics", detail: "This replica follows as many topics as it may.", retryAfterSeconds: 5)
            }
            let task = Task(on: loop) { try await self.follow(topic, at: moment) }
            opening[topic] = task
            defer {
                opening[topic] = nil
                forgetNews()
            }
            try await task.value
        }
    }

    private func forgetNews() {
        if openers == 0, opening.isEmpty { heardMeanwhile = [:] }
    }

    private func follow(_ topic: StreamTopic, at moment: Timestamp?) async throws {
        try await places.enter()
        defer { places.leave() }
        let now = if let moment { moment } else { try await topics.knowledge.now() }
        let lane = Lane(try await topics.view(of: topic, at: now))
        lane.target = max(lane.target, heardMeanwhile[lane.view.instrument.id] ?? lane.target)
        lane.idleSince = time.monotonicNanoseconds()
        lanes[topic] = lane
        lanesOf[lane.view.instrument.id, default: []].append(lane)
        StreamMetrics.topics.set(Double(lanes.count))
    }

    /// Returns when the lane has come to a moment.
    private func reach(_ lane: Lane, _ moment: Timestamp) async throws {
        while lane.view.through < moment {
            lane.target = max(lane.target, moment)
            try await withCheckedThrowingContinuation { waiting in
                lane.waiting.append(waiting)
                pump(lane)
            }
        }
    }

    // MARK: News

    /// Takes what the database says; on the loop.
    func hear(_ event: PostgresListener.Event) {
        switch event {
        case .connected:
            // What was said in the meantime is lost.
            Task(on: loop) { await self.lookAgain() }
        case .notification(_, let payload):
            guard let notice = KnowledgeNotice(payload) else { return }
            for instrument in notice.instruments {
                if openers > 0 || !opening.isEmpty { heardMeanwhile[instrument] = max(heardMeanwhile[instrument] ?? notice.knownAt, notice.knownAt) }
                for lane in lanesOf[instrument] ?? [] {
                    lane.target = max(lane.target, notice.knownAt)
                    pump(lane)
                }
            }
        }
    }

    private func lookAgain() async {
        var moment: Timestamp?
        while moment == nil, !Task.isCancelled {
            moment = try? await topics.knowledge.now()
            if moment == nil { try? await time.sleep(for: .milliseconds(200)) }
        }
        for lane in lanes.values {
            lane.target = max(lane.target, moment ?? lane.target)
            pump(lane)
        }
        timesConnected += 1
    }

    /// Lets a lane have its turn if there is something to read, and somebody to tell. What becomes known until then is read in one go.
    private func pump(_ lane: Lane) {
        guard lane.reading == nil, !lane.isResting, lane.target > lane.view.through, !lane.audiences.isEmpty || !lane.waiting.isEmpty else { return }
        lane.reading = lane.target
        queue.append(lane)
        guard readers < Self.readsAtOnce else { return }
        readers += 1
        Task(on: loop) { await self.readInTurn() }
    }

    private func readInTurn() async {
        while !queue.isEmpty { await read(queue.removeFirst()) }
        readers -= 1
    }

    private func read(_ lane: Lane) async {
        let moment = lane.target
        lane.reading = moment
        let begun = time.monotonicNanoseconds()
        do {
            let (view, events) = try await topics.advance(lane.view, to: moment)
            lane.reading = nil
            lane.failures = 0
            tell(view, events, lane)
        } catch {
            lane.reading = nil
            return failed(lane, error)
        }
        let took = time.monotonicNanoseconds() &- begun
        StreamMetrics.readSeconds.observe(Double(took) / 1e9)
        let usual = min(took, lane.lastRead)
        lane.lastRead = took
        if usual > Self.longRead { rest(lane, nanoseconds: min(9 * usual, 2_000_000_000)) } else { pump(lane) }
    }

    private func tell(_ view: TopicView, _ events: [[UInt8]], _ lane: Lane) {
        lane.view = view
        for audience in lane.audiences {
            audience.add(events, knownBy: view.through)
            audience.flush()
            audience.askForProof()
        }
        lane.landed(.success(()))
    }

    private func failed(_ lane: Lane, _ error: any Error) {
        lane.failures += 1
        logger.warning(
            "bars of a topic cannot be read; trying again",
            ["topic": .string(lane.topic.text), "reason": .string(String(reflecting: error))]
        )
        for audience in lane.audiences {
            audience.flush()
            audience.askForProof()
        }
        lane.landed(.failure(error))
        rest(lane, nanoseconds: min(2_000_000_000, 50_000_000 << UInt64(min(lane.failures, 6))))
    }

    private func rest(_ lane: Lane, nanoseconds: UInt64) {
        lane.isResting = true
        loop.timer(after: .nanoseconds(Int64(nanoseconds))) { [weak self] in
            self?.assumeIsolated { streams in
                lane.isResting = false
                streams.pump(lane)
            }
        }
    }

    // MARK: Rounds

    /// Once a second: proofs that can wait, topics that nobody listens to any more.
    func round() {
        let now = time.monotonicNanoseconds()
        for lane in lanes.values where lane.confirmation > lane.view.through && !lane.audiences.isEmpty {
            lane.target = max(lane.target, lane.confirmation)
            pump(lane)
        }
        for (topic, lane) in lanes where lane.audiences.isEmpty && lane.waiting.isEmpty && now &- (lane.idleSince ?? now) > Self.keptIdle {
            lanes[topic] = nil
            lanesOf[lane.view.instrument.id]?.removeAll { $0 === lane }
            if lanesOf[lane.view.instrument.id]?.isEmpty == true { lanesOf[lane.view.instrument.id] = nil }
        }
        StreamMetrics.topics.set(Double(lanes.count))
    }

    /// Once a second: ends the streams whose credentials have ended.
    func checkCredentials() async {
        let shown = Set(audiences.values.flatMap { $0.listeners.values.map(\.credential) })
        // At once: while auth is away, each key may take as long as a question to it.
        let admission = admission
        let refused = await withTaskGroup(of: (StreamAdmission.Credential, String?).self) { group in
            for credential in shown { group.addTask { (credential, await admission.refusal(of: credential)) } }
            var found: [StreamAdmission.Credential: String] = [:]
            for await (credential, reason) in group { found[credential] = reason }
            return found
        }
        guard !refused.isEmpty else { return }
        for audience in audiences.values {
            for one in audience.listeners.values { if let reason = refused[one.credential] { one.stream.end(reason) } }
        }
    }
}
