import Contracts
import FoundationEssentials
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import signals

/// What an operation costs in statements must not grow with the number of rows or signals that it is about.
@Suite("Statements", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct StatementCountTests {
    /// How many statements `body` sent.
    private func statements(_ pool: PostgresPool, _ body: () async throws -> Void) async throws -> Int {
        let before = pool.sentStatements
        try await body()
        return pool.sentStatements - before
    }

    @Test("A run of a thousand rows is appended with as many statements as a run of one, hashed off the loop, and its chain is sound")
    func append() async throws {
        let cpu = try CPUPool(threads: 1)
        try await withDatabase(service: "signals", catalogue: Migrations.catalogue()) { database in
            try await database.withPool { pool in
                let store = PostgresSignalsStore(pool: pool, outbox: Outbox(schema: "signals"), cpu: cpu)
                let (signal, version) = try await Fixtures.published(in: store)
                let one = try await statements(pool) { _ = try await store.append(Fixtures.run(signal, version: version)) }
                let run = Fixtures.run(signal, version: version, rows: 1_000)
                let many = try await statements(pool) { _ = try await store.append(run) }
                #expect(many == one)
                // BEGIN; the lock and what is read under it; the run, its rows, what waits, the chain's end and all that is said of it; COMMIT.
                #expect(one == 9)

                let rows = try await store.predictions(PredictionQuery(signalID: signal.id, afterSeq: 0, limit: 2_000))
                #expect(rows.map(\.entry.seq) == Array(1...1_001))
                #expect(zip(rows, rows.dropFirst()).allSatisfy { $0.entry.madeAt < $1.entry.madeAt })
                #expect(rows.dropFirst().map(\.statement) == zip(run.rows, rows.dropFirst()).map { run.statement($0, madeAt: $1.entry.madeAt) })
                #expect(LedgerVerifier.firstFault(signalID: signal.id, entries: rows.map(\.entry), seals: []) == nil)
                #expect(try await store.pendingOutcomes(signal.id, now: .now() + .seconds(3_600), limit: 2_000).count == 1_001)
            }
        }
        cpu.stop()
    }

    @Test("Runs of one version read it once, and then nothing of it; a second delivery reads it no more either")
    func versionOfARun() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            func hear(_ envelope: Envelope) async throws -> Int {
                try await statements(platform.pool) {
                    let outcome = try await platform.hear(envelope)
                    #expect(outcome == .done)
                }
            }
            let second = try await platform.completed(id)
            // The version's row and its files.
            #expect(try await hear(platform.completed(id)) == 9 + 2)
            #expect(try await hear(second) == 9)
            #expect(try await hear(second) == 4)
            #expect(try await platform.store.head(id)?.seq == 2)
        }
    }

    @Test("Values, prices and quantiles of the rows of a run keep to their rows")
    func rowsKeepTheirValues() async throws {
        try await withPostgresStore { store, _, _ in
            let (signal, version) = try await Fixtures.published(in: store)
            var run = Fixtures.run(signal, version: version, rows: 3, targetFrom: .now() + .seconds(3_600))
            run.rows[0].instrument = "ETHUSD"
            run.rows[1].kind = .quantiles
            run.rows[1].value = .quantiles(["0.1": DecimalText(units: 6), "0.9": DecimalText(units: 75, scale: 1)])
            // Its first bar was known a while ago.
            run.rows[2].targetFrom = run.dueAt - .seconds(60)
            _ = try await store.append(run)
            let rows = try await store.predictions(PredictionQuery(signalID: signal.id, afterSeq: 0, limit: 5))
            #expect(rows.map(\.statement.row) == run.rows)
            #expect(rows.map { $0.statement.referencePrice == nil } == [true, false, false])
            #expect(rows.map(\.statement.late) == [false, false, true])
        }
    }

    @Test("Two hundred outcomes are stored with as many statements as one")
    func settle() async throws {
        try await withPostgresStore { store, _, pool in
            let (signal, version) = try await Fixtures.published(in: store)
            _ = try await store.append(Fixtures.run(signal, version: version, rows: 201))
            let outcome = SettledOutcome(realised: .unresolved("no bars"), counts: false, settledAt: Fixtures.now)
            let one = try await statements(pool) { try await store.settle(signal.id, outcomes: [1: outcome], again: [:]) }
            let rest = Dictionary(uniqueKeysWithValues: (2...201).map { (Int64($0), outcome) })
            let many = try await statements(pool) { try await store.settle(signal.id, outcomes: rest, again: [:]) }
            #expect(many == one)
            let rows = try await store.predictions(PredictionQuery(signalID: signal.id, limit: 300))
            #expect(rows.count == 201 && rows.allSatisfy { $0.outcome == outcome })
        }
    }

    @Test("What is said of a due time is noted in two exchanges, whatever it changes, and in one when it changes nothing")
    func troubles() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let due = Timestamp(seconds: (Timestamp.now().seconds / 86_400) * 86_400)
            func trouble(_ index: UInt8, _ kind: TroubleKind, failureKind: FailureKind? = nil, _ message: String? = nil) -> Trouble {
                let name = UUID(uuid: (1, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, index))
                return Trouble(id: name, signalID: id, kind: kind, dueAt: due + .seconds(Int(index)), failureKind: failureKind, message: message)
            }
            func exchanges(_ trouble: Trouble) async throws -> Int {
                let before = platform.pool.sentExchanges
                try await platform.pool.withTransaction { try await IncidentStore.note(trouble, on: $0) }
                // But for COMMIT; BEGIN goes with what comes first.
                return platform.pool.sentExchanges - before - 1
            }
            func counts() async throws -> [String] {
                try await platform.pool.query("SELECT kind || ' ' || count FROM incidents ORDER BY kind, count").map { try $0.column(0) }
            }
            // New, and said again; the second one is put among its like.
            #expect(try await exchanges(trouble(1, .late)) == 2)
            #expect(try await exchanges(trouble(1, .late)) == 1)
            for index: UInt8 in 2...3 { #expect(try await exchanges(trouble(index, .late)) == 2) }
            #expect(try await counts() == ["late 3"])
            // Waits for the end of its run where it is, then leaves others that stay; the next one finds its like elsewhere.
            #expect(try await exchanges(trouble(1, .failed)) == 2)
            #expect(try await counts() == ["late 3"])
            #expect(try await exchanges(trouble(1, .failed, failureKind: .exception, "KeyError: 1")) == 2)
            #expect(try await counts() == ["failed 1", "late 2"])
            #expect(try await exchanges(trouble(2, .failed, failureKind: .exception, "KeyError: 2")) == 2)
            #expect(try await counts() == ["failed 2", "late 1"])
            // One that is alone turns its incident into another, or leaves it empty where its like have one.
            #expect(try await exchanges(trouble(3, .missed)) == 2)
            #expect(try await counts() == ["failed 2", "missed 1"])
            #expect(try await exchanges(trouble(3, .failed, failureKind: .exception, "KeyError: 3")) == 2)
            #expect(try await counts() == ["failed 3", "missed 0"])
            // What waits for its run is new, too; more words about one among its like.
            #expect(try await exchanges(trouble(4, .failed)) == 2)
            #expect(try await exchanges(trouble(4, .failed, failureKind: .exception, "KeyError: 4")) == 2)
            #expect(try await exchanges(trouble(4, .failed)) == 1)
            #expect(try await counts() == ["failed 4", "missed 0"])
        }
    }

    /// Published signals with a prediction each.
    private func published(_ count: Int, in store: PostgresSignalsStore) async throws -> [(signal: Signal, version: SignalVersion)] {
        var published: [(signal: Signal, version: SignalVersion)] = []
        for _ in 0..<count {
            let (signal, version) = try await Fixtures.published(in: store)
            _ = try await store.append(Fixtures.run(signal, version: version))
            published.append((signal, version))
        }
        return published
    }

    @Test("Signals that change together are read together: two statements for each part of them, and their bodies are there when the round is over")
    func refreshes() async throws {
        // What has been confirmed stays so, however long the machine takes for the others.
        try await withPlatform(time: ManualTimeSource(.now())) { platform in
            let signals = try await published(2 * PredictionReader.maximumSignalsPerRead + 1, in: platform.store)
            for (signal, _) in signals { _ = try await platform.reader.answer(.usual, about: signal.id) }
            for (signal, version) in signals { _ = try await platform.store.append(Fixtures.run(signal, version: version)) }
            let round = try await statements(platform.pool) { await platform.watch.look() }
            #expect(round == 1 + 2 * 3)
            #expect(signals.allSatisfy { platform.reader.ready(.usual, about: $0.signal.id)?.answer.lastSeq == 2 })

            // And as many events that come at once.
            for (signal, version) in signals { _ = try await platform.store.append(Fixtures.run(signal, version: version)) }
            let events = try await statements(platform.pool) {
                await Task(on: TestLoop.shared) { for (signal, _) in signals { platform.watch.heard(signal.id) } }.value
                try await eventually { signals.allSatisfy { platform.reader.ready(.usual, about: $0.signal.id)?.answer.lastSeq == 3 } }
            }
            #expect(events == 2 * 3)
        }
    }

    @Test("The list over all signals of a subscriber costs the same for one signal and for forty, and shows each signal as the store has it")
    func listOfPredictions() async throws {
        // What was read once is remembered until the next time, however long the machine takes in between.
        try await withPlatform(time: ManualTimeSource(.now())) { platform in
            let signals = try await published(40, in: platform.store)
            _ = try await platform.store.seal(signing: Fixtures.signing)
            let withdrawn = signals[7].signal.id
            func read(_ count: Int) async throws -> (statements: Int, answer: JSONValue) {
                let person = Person.subscriber()
                for (signal, _) in signals.prefix(count) { _ = try await platform.store.subscribe(person.accountID, to: signal.id, now: .now()) }
                if count > 1 { _ = try await platform.store.unpublish(withdrawn, reason: "x", now: .now()) }
                let client = try platform.client(person)
                _ = try await client.get("/api/predictions")
                let before = platform.pool.sentStatements
                let answer = try await client.get("/api/predictions?limit=30")
                return (platform.pool.sentStatements - before, try answer.json())
            }
            let one = try await read(1)
            let many = try await read(40)
            #expect(one.statements == many.statements)
            #expect(one.answer["items"]?.array?.count == 1 && one.answer["signals"]?.array?.count == 1)
            #expect(many.answer["items"]?.array?.count == 30 && many.answer["next_cursor"]?.string != nil)
            let listed = many.answer["signals"]?.array ?? []
            #expect(listed.compactMap { $0["signal_id"]?.string } == signals.map(\.signal.id).sorted().map(\.description))
            // Who follows a signal that is withdrawn goes on reading it.
            #expect(listed.first { $0["signal_id"]?.string == withdrawn.description }?["signal_state"] == "unpublished")
            for standing in listed {
                let head = try await platform.store.head(try #require(SignalID(standing["signal_id"]?.string ?? "")))
                #expect(standing["seq"]?.integer == head?.seq && standing["link"]?.string == head?.link.hex)
            }
        }
    }

    @Test("What the scheduler rebuilds its read model from costs the same for one signal and for many")
    func publishedSignals() async throws {
        try await withPlatform { platform in
            let scheduler = try platform.service("scheduler", key: TestPlatform.scheduler)
            func read() async throws -> (statements: Int, signals: Int) {
                let before = platform.pool.sentStatements
                let answer = try await scheduler.get("/internal/v1/published").json()
                return (platform.pool.sentStatements - before, answer["signals"]?.array?.count ?? 0)
            }
            _ = try await published(1, in: platform.store)
            let one = try await read()
            _ = try await published(20, in: platform.store)
            let many = try await read()
            #expect(one.signals == 1 && many.signals == 21)
            #expect(one.statements == many.statements)
        }
    }

    @Test("A manifest of many instruments is looked up with one statement")
    func instruments() async throws {
        try await withPlatform { platform in
            let symbols = (1...20).map { "I\($0)" }
            for symbol in symbols {
                try await platform.store.apply(
                    KnownInstrument(id: .make(), symbol: symbol, assetClass: "crypto", feed: .replay, active: true, version: 1)
                )
            }
            let signal = Fixtures.signal()
            try await platform.store.create(signal)
            var manifest = Fixtures.manifest(instrument: "I1")
            manifest.inputs = symbols.map { ManifestInput(instrument: $0, interval: "15s", lookback: 5) }
            let version = try await platform.store.addVersion(Fixtures.newVersion(signal, manifest: manifest))
            let directory = InstrumentDirectory(store: platform.store, market: platform.market)
            let before = platform.pool.sentStatements
            #expect(try await directory.feed(of: version) == .replay)
            #expect(platform.pool.sentStatements - before == 1)
        }
    }
}
