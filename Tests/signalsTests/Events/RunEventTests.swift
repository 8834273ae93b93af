import Contracts
import Cryptography
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite("Runs that ended", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct RunEventTests {
    @Test("One bad row refuses the run with its number and reason")
    func rejected() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            func changing(_ row: Int, _ key: String, to value: JSONValue) -> (inout JSONValue) -> Void {
                { json in
                    guard case .object(var members) = json, var rows = members["rows"]?.array, case .object(var fields) = rows[row] else { return }
                    fields[key] = value
                    rows[row] = .object(fields)
                    members["rows"] = .array(rows)
                    json = .object(members)
                }
            }
            let cases: [((inout JSONValue) -> Void, Int?)] = [
                (changing(1, "value", to: "2"), 1), (changing(0, "instrument", to: "ETHUSD"), 0), (changing(0, "value", to: 1), nil),
                ({ $0 = .null }, nil), ({ $0 = ["rows": []] }, nil),
            ]
            for (change, _) in cases { #expect(try await platform.hear(platform.completed(id, rows: 2, change: change)) == .done) }
            let said = try await platform.said(RunRejected.eventType).map { try $0.body(as: RunRejected.self) }
            #expect(said.map(\.row) == cases.map(\.1))
            #expect(said.allSatisfy { !$0.reason.isEmpty })
            #expect(try await platform.store.head(id)?.seq == 0)
            #expect(try await platform.store.auditRuns().isEmpty)
        }
    }

    @Test("Failed runs are remembered, other kinds and strangers' signals are none of ours, a foreign version is refused")
    func others() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let good = try await platform.completed(id)
            let event = try good.body(as: JobCompleted.self)
            func heard(_ change: (JobCompleted) -> JobCompleted) async throws -> HandlerOutcome {
                try await platform.hear(try Envelope(change(event), subjectVersion: 1, occurredAt: .now(), recordedAt: .now()))
            }
            func copy(_ event: JobCompleted, kind: JobKind = .signalRun, outcome: JobOutcome = .completed, summary: JobSpecSummary?) -> JobCompleted {
                JobCompleted(
                    jobID: .make(),
                    kind: kind,
                    accountID: event.accountID,
                    outcome: outcome,
                    failureKind: outcome == .failed ? .exception : nil,
                    errorMessage: outcome == .failed ? "boom\0" : nil,
                    attempt: 1,
                    specSummary: summary,
                    result: event.result,
                    finishedAt: .now()
                )
            }
            let summary = try #require(event.specSummary)
            func summarised(signalID: SignalID? = nil, sha256: SHA256Digest? = nil, feed: FeedKind = .live) -> JobSpecSummary {
                JobSpecSummary(
                    signalID: signalID ?? summary.signalID,
                    versionID: summary.versionID,
                    versionSHA256: sha256 ?? summary.versionSHA256,
                    occurrenceID: nil,
                    dueAt: summary.dueAt,
                    asOf: summary.asOf,
                    feed: feed,
                    deadlineSeconds: 60,
                    output: summary.output
                )
            }
            let dryRun = try Envelope(copy(event, kind: .dryRun, summary: summary), subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
            #expect(try !platform.runs.concerns(dryRun))
            let backfill = try Envelope(copy(event, kind: .backfillRun, summary: summary), subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
            #expect(try !platform.runs.concerns(backfill))
            #expect(try platform.runs.concerns(good))
            #expect(try await heard { copy($0, outcome: .failed, summary: summary) } == .done)
            #expect(try await heard { copy($0, summary: summarised(signalID: .make())) } == .done)
            #expect(try await heard { copy($0, summary: summarised(sha256: LedgerHash.zero)) } == .done)
            // Good rows of the right version, but computed afterwards: no kind of job brings them into the record.
            #expect(try await heard { copy($0, summary: summarised(feed: .backfill)) } == .done)
            #expect(try await platform.store.head(id)?.seq == 0)
            let outcomes = try await platform.pool.query("SELECT outcome, reason FROM runs ORDER BY outcome").map {
                try $0.decode(String.self, String.self)
            }
            #expect(outcomes.map(\.0) == ["failed", "rejected", "rejected"])
            #expect(outcomes[0].1 == "boom" && outcomes.dropFirst().contains { $0.1 == "a backfill is never recorded" })
        }
    }

    @Test("In a pause nothing is due next, whatever order the news comes in")
    func pauses() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let due = Timestamp.now()
            let settled = OccurrenceSettled(
                signalID: id,
                scheduleID: .make(),
                occurrenceID: .make(),
                dueAt: due,
                outcome: .fired,
                nextDueAt: due + .seconds(60)
            )
            let paused = ScheduleChanged(
                signalID: id,
                scheduleID: settled.scheduleID,
                accountID: .make(),
                state: .paused,
                by: .failures,
                reason: "3 runs in a row failed",
                since: due + .seconds(1)
            )
            let news = try [
                Envelope(settled, subjectVersion: 1, occurredAt: .now(), recordedAt: .now()),
                Envelope(paused, subjectVersion: 2, occurredAt: .now(), recordedAt: .now()),
            ]
            for envelope in [news[1], news[0], news[1]] {
                try await platform.pool.withTransaction { connection in
                    _ = try await OccurrenceSettledHandler(store: platform.store).handle(envelope, on: connection)
                }
            }
            let cadence = try #require(try await platform.store.cadence(id))
            #expect(cadence.nextDueAt == nil && cadence.lastDueAt == due && cadence.lastOutcome == .fired && cadence.version == 2)
        }
    }

    @Test("A large result is fetched by its hash; while the scheduler does not have it, the event comes again")
    func largeResult() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let event = try await platform.completed(id).body(as: JobCompleted.self)
            let bytes = WireJSON.encode(try #require(event.result))
            let digest = SHA256.digest(bytes)
            let large = JobCompleted(
                jobID: event.jobID,
                kind: event.kind,
                accountID: event.accountID,
                outcome: .completed,
                attempt: 1,
                specSummary: event.specSummary,
                resultSHA256: digest,
                finishedAt: .now()
            )
            let envelope = try Envelope(large, subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
            guard case .retry = try await platform.hear(envelope) else {
                Issue.record("it should be tried again")
                return
            }
            platform.jobs.state.withLock { $0.results[digest] = bytes }
            #expect(try await platform.hear(envelope) == .done)
            #expect(try await platform.store.head(id)?.seq == 1)
        }
    }

    @Test("A row is late by the instrument's finest bars, though the signal reads coarser ones; and when marketdata cannot say")
    func lateByFinestBars() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            func recorded(after seconds: Int64) async throws -> Bool? {
                let envelope = try await platform.completed(id, dueAt: .now() - .seconds(seconds))
                #expect(try await platform.hear(envelope) == .done)
                return try await platform.store.predictions(PredictionQuery(signalID: id, limit: 1)).first?.statement.late
            }
            platform.market.state.withLock { $0.instruments["BTCUSD"]?.baseIntervalSeconds = 50 }
            #expect(try await recorded(after: 20) == false)
            platform.market.state.withLock { $0.instruments["BTCUSD"]?.baseIntervalSeconds = 15 }
            // The minute-old answer serves; another replica asks for itself.
            #expect(try await recorded(after: 20) == false)
            let fresh = RunCompletedHandler(
                store: platform.store,
                versions: platform.versions,
                jobs: platform.jobs,
                knowledge: KnowledgeLookup(market: platform.market, time: platform.time),
                time: platform.time
            )
            func hear(_ envelope: Envelope) async throws -> PredictionStatement? {
                let prepared = try await fresh.prepared(for: envelope)
                #expect(try await platform.pool.withTransaction { try await prepared.handle(envelope, on: $0) } == .done)
                return try await platform.store.predictions(PredictionQuery(signalID: id, limit: 1)).first?.statement
            }
            let statement = try #require(try await hear(platform.completed(id, dueAt: .now() - .seconds(20))))
            #expect(statement.late && statement.payload.contains("\"late\":true"))
            #expect(try await hear(platform.completed(id))?.late == false)
            platform.market.state.withLock { $0.isAway = true }
            // What was known a moment ago serves for a while.
            #expect(try await hear(platform.completed(id))?.late == false)
            let blind = KnowledgeLookup(market: platform.market, time: platform.time)
            #expect(await blind.knowledge(of: ["BTCUSD"], asOf: .now(), feed: .live).isEmpty)
        }
    }

    @Test("What a replay had released is asked for before the ledger is locked")
    func replayKnowledge() async throws {
        let market = FakeMarket()
        let asOf = Timestamp.now() - .seconds(2)
        let old = Timestamp(seconds: 1_475_928_000)
        func bar(_ index: Int) -> OutcomeBar {
            OutcomeBar(start: old + .seconds(index * 15), end: old + .seconds(index * 15 + 15), open: .zero, close: .zero)
        }
        let lookup = KnowledgeLookup(market: market, time: SystemTimeSource())
        #expect(await lookup.knowledge(of: ["BTCUSD", "GONE"], asOf: asOf, feed: .replay) == ["BTCUSD": MarketKnowledge(baseSeconds: 15)])
        market.state.withLock { $0.bars = [(bar(0), asOf), (bar(1), asOf + .seconds(1)), (bar(2), asOf + .seconds(3_600))] }
        let replay = try #require(await lookup.knowledge(of: ["BTCUSD"], asOf: asOf, feed: .replay)["BTCUSD"]?.replay)
        #expect(replay.knownAtAsOf == bar(0).end && replay.knownThrough == bar(1).end)
        // All signals that were due then share the answer about then; what is known by now each asks for itself.
        let asked = market.state.withLock { $0.asked }
        #expect(await lookup.knowledge(of: ["BTCUSD"], asOf: asOf, feed: .replay)["BTCUSD"]?.replay?.knownAtAsOf == bar(0).end)
        #expect(market.state.withLock { $0.asked } == asked + 1)
        // A moment that is still to come is not settled by an answer.
        let ahead = Timestamp.now() + .seconds(7_200)
        for expected in [bar(2), bar(3)] {
            #expect(await lookup.knowledge(of: ["BTCUSD"], asOf: ahead, feed: .replay)["BTCUSD"]?.replay?.knownAtAsOf == expected.end)
            market.state.withLock { $0.bars.append((bar(3), asOf + .seconds(3_601))) }
        }
        #expect(await lookup.knowledge(of: ["BTCUSD"], asOf: asOf, feed: .live) == ["BTCUSD": MarketKnowledge(baseSeconds: 15)])
    }

    /// A market that takes its time.
    private struct SlowMarket: MarketData {
        let market: FakeMarket
        let clock: ManualTimeSource
        var answerTime: Duration

        func instrument(_ symbol: String) async throws -> InstrumentFacts? { try await market.instrument(symbol) }
        func lastBar(_ symbol: String, intervalSeconds: Int, asOf: Timestamp) async throws -> OutcomeBar? {
            defer { clock.advance(by: answerTime) }
            return try await market.lastBar(symbol, intervalSeconds: intervalSeconds, asOf: asOf)
        }
        func bars(_ symbol: String, intervalSeconds: Int, asOf: Timestamp, start: Timestamp, end: Timestamp) async throws -> [OutcomeBar] {
            try await market.bars(symbol, intervalSeconds: intervalSeconds, asOf: asOf, start: start, end: end)
        }
    }

    @Test("What was known at a moment is kept for a minute, and only when the moment was past before the question")
    func keptKnowledge() async throws {
        let market = FakeMarket()
        let clock = ManualTimeSource()
        let start = clock.now()
        func bar(_ index: Int) -> OutcomeBar {
            let from = Timestamp(seconds: 1_475_928_000) + .seconds(index * 15)
            return OutcomeBar(start: from, end: from + .seconds(15), open: .zero, close: .zero)
        }
        market.state.withLock { $0.bars = [(bar(0), start - .seconds(60))] }
        var slow = SlowMarket(market: market, clock: clock, answerTime: .zero)
        func known(_ lookup: KnowledgeLookup, _ asOf: Timestamp) async -> Timestamp? {
            await lookup.knowledge(of: ["BTCUSD"], asOf: asOf, feed: .replay)["BTCUSD"]?.replay?.knownAtAsOf
        }
        let lookup = KnowledgeLookup(market: slow, time: clock)
        let past = start - .seconds(1)
        #expect(await known(lookup, past) == bar(0).end)
        // History that comes in for the first time counts as known all along.
        market.state.withLock { $0.bars.append((bar(1), start - .seconds(60))) }
        clock.advance(by: .seconds(59))
        #expect(await known(lookup, past) == bar(0).end)
        clock.advance(by: .seconds(1))
        #expect(await known(lookup, past) == bar(1).end)

        // To come when it is asked about, and past when the answer is there.
        slow.answerTime = .seconds(2)
        let other = KnowledgeLookup(market: slow, time: clock)
        let ahead = clock.now() + .seconds(1)
        #expect(await known(other, ahead) == bar(1).end)
        market.state.withLock { $0.bars.append((bar(2), ahead)) }
        #expect(await known(other, ahead) == bar(2).end)
    }

    @Test(
        "Through a real broker: every event twice and in any order gives one ledger, and readers are woken",
        .enabled(if: TestServers.hasBroker, "no test broker")
    )
    func broker() async throws {
        try await withVirtualHost { broker in
            try await withPlatform { platform in
                let provider = Person.provider()
                let id = try await platform.publish(provider)
                let loop = TestLoop.shared
                let publisher = try BrokerPublisher(brokerURL: broker.url, service: "signals")
                let relay = OutboxRelay(pool: platform.pool, publisher: publisher, schema: "signals", loop: loop)
                let runs = try EventConsumer(
                    service: "signals",
                    handler: platform.runs,
                    pool: platform.pool,
                    brokerURL: broker.url,
                    loop: loop
                )
                let cadence = try EventConsumer(
                    service: "signals",
                    handler: OccurrenceSettledHandler(store: platform.store),
                    pool: platform.pool,
                    brokerURL: broker.url,
                    loop: loop
                )
                let woken = TestSignal<SignalID>()
                let subscribed = TestSignal<Bool>()
                let news = try EventBroadcast(
                    service: "signals",
                    listener: "news",
                    eventTypes: NewsListener.eventTypes,
                    brokerURL: broker.url,
                    loop: loop,
                    onSubscribed: { subscribed.signal(true) },
                    onEvent: { envelope in
                        try NewsListener.apply(envelope, to: platform.audience)
                        if envelope.type == PredictionRecorded.eventType, let signal = SignalID(envelope.subject) { woken.signal(signal) }
                    }
                )
                let parts: [any Component] = [publisher, relay, runs, cadence, news]
                for part in parts { try await part.start() }
                _ = try await subscribed.next()
                try await eventually("the queues are there") {
                    guard try await broker.messages(in: "signals.runs") != nil else { return false }
                    return try await broker.messages(in: "signals.cadence") != nil
                }

                let due = Timestamp.now()
                var envelopes: [Envelope] = []
                for index in 0..<8 {
                    envelopes.append(try await platform.completed(id, rows: 1 + index % 3, dueAt: due))
                    let settled = OccurrenceSettled(
                        signalID: id,
                        scheduleID: .make(),
                        occurrenceID: .make(),
                        dueAt: due + .seconds(index),
                        outcome: index == 7 ? .late : .fired,
                        nextDueAt: due + .seconds(index + 1)
                    )
                    envelopes.append(try Envelope(settled, subjectVersion: Int64(index + 1), occurredAt: .now(), recordedAt: .now()))
                }
                for envelope in (envelopes + envelopes).shuffled() { try await publisher.publish(envelope) }
                let expected: Int64 = 1 + 2 + 3 + 1 + 2 + 3 + 1 + 2
                try await eventually("all rows are there") { try await platform.store.head(id)?.seq == expected }
                try await eventually("the last due time is there") { try await platform.store.cadence(id)?.version == 8 }
                #expect(try await platform.store.cadence(id)?.lastOutcome == .late)
                for _ in 0..<8 { #expect(try await woken.next() == id) }
                #expect(try await LedgerExports(store: platform.store).firstFault(of: id) { _ in true }.fault == nil)
                #expect(try await platform.store.auditRuns().isEmpty)
                #expect(try await platform.client(provider).get("/api/predictions/\(id)").json()["seq"]?.integer == expected)

                // Who waits hears of it through the broker alone: nobody looks at the revisions here.
                async let answer = platform.client(provider).get("/api/predictions/\(id)?after_seq=\(expected)&wait=30")
                try await eventually("somebody waits") { platform.hub.watched == [id] }
                try await publisher.publish(try await platform.completed(id))
                #expect(try await answer.json()["items"]?[0]?["seq"]?.integer == expected + 1)
                for part in parts.reversed() { await part.stop() }
            }
        }
    }
}
