import Contracts
import Cryptography
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import signals

@Suite("The ledger's tables", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct LedgerTableTests {
    private static let ledgerTables = ["predictions", "seals", "seal_heads", "outcomes", "ledger_keys"]

    /// A ledger with something in every table.
    private func filled(_ store: PostgresSignalsStore) async throws -> Signal {
        let (signal, version) = try await Fixtures.published(in: store)
        _ = try await store.append(Fixtures.run(signal, version: version, rows: 2))
        _ = try await store.seal(signing: Fixtures.signing)
        try await store.settle(
            signal.id,
            outcomes: [1: SettledOutcome(realised: .unresolved("x"), counts: false, settledAt: .now())],
            again: [:]
        )
        return signal
    }

    @Test("Nobody changes or deletes a row, not even the owner of the tables")
    func appendOnly() async throws {
        try await withPostgresStore { store, database, pool in
            _ = try await filled(store)
            for table in Self.ledgerTables {
                for statement in [
                    "UPDATE \(table) SET signal_id = signal_id", "DELETE FROM \(table)", "TRUNCATE \(table) CASCADE", "DROP TABLE \(table) CASCADE",
                ] {
                    let column = ["seals": "number", "ledger_keys": "key_id"][table] ?? "signal_id"
                    let text = statement.replacing("signal_id = signal_id", with: "\(column) = \(column)")
                    await #expect(throws: PostgresError.self, "\(text)") { try await pool.execute(SQL(unsafe: text)) }
                }
            }
            let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
            for table in Self.ledgerTables {
                for statement in ["DELETE FROM \(table)", "TRUNCATE \(table) CASCADE"] {
                    let error = await #expect(throws: PostgresError.self, "\(statement)") { try await owner.execute(SQL(unsafe: statement)) }
                    #expect(error?.sqlState == "42501")
                }
            }
            await owner.close()
        }
    }

    @Test("Appends from many sides leave no gap and no double, and times never fall")
    func concurrentAppends() async throws {
        try await withDatabase(service: "signals", catalogue: Migrations.catalogue()) { database in
            try await database.withPool(maximumConnections: 8) { pool in
                let store = PostgresSignalsStore(pool: pool, outbox: Outbox(schema: "signals"))
                let (signal, version) = try await Fixtures.published(in: store)
                let jobs = (0..<30).map { _ in JobID.make() }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    // Every job comes twice.
                    for job in jobs + jobs.reversed() {
                        group.addTask { _ = try await store.append(Fixtures.run(signal, version: version, rows: 2, jobID: job)) }
                    }
                    group.addTask {
                        for _ in 0..<10 { _ = try await store.seal(signing: Fixtures.signing) }
                    }
                    try await group.waitForAll()
                }
                _ = try await store.seal(signing: Fixtures.signing)
                let (fault, rows) = try await LedgerExports(store: store).firstFault(of: signal.id) { _ in true }
                #expect(fault == nil)
                #expect(rows == 60)
                #expect(try await store.auditRuns().isEmpty)
                #expect(try await store.auditSequences().isEmpty)
                #expect(try await store.auditOrder().isEmpty)
                #expect(try await store.auditOutcomes().isEmpty)
                // One event of each kind for each job: doubles said nothing.
                let said = try await pool.query("SELECT type, count(*) FROM outbox GROUP BY type")
                let counts = try Dictionary(said.map { try $0.decode(String.self, Int.self) }, uniquingKeysWith: +)
                #expect(counts[RunRecorded.eventType] == 30 && counts[PredictionRecorded.eventType] == 30)
            }
        }
    }

    @Test("What is said of a run stands in the outbox in its order, with the versions of its subjects")
    func news() async throws {
        try await withPostgresStore { store, _, pool in
            let (signal, version) = try await Fixtures.published(in: store)
            try await pool.execute("DELETE FROM outbox")
            _ = try await store.append(Fixtures.run(signal, version: version, rows: 2))
            let run = Fixtures.run(signal, version: version, rows: 3)
            let outcome = try await store.append(run)
            _ = try await store.append(Fixtures.run(signal, version: version, rows: 0))
            let said = try await pool.query("SELECT envelope FROM outbox ORDER BY id").map { try Envelope(decoding: $0.column(0)) }
            #expect(
                said.map(\.type) == [
                    RunRecorded.eventType, PredictionRecorded.eventType, RunRecorded.eventType, PredictionRecorded.eventType, RunRecorded.eventType,
                ]
            )
            #expect(said.map(\.subjectVersion) == [1, 2, 1, 5, 1])
            let recorded: RunRecorded = try said[2].body()
            #expect(recorded.jobID == run.jobID && recorded.rows == 3 && recorded.firstSeq == 3 && recorded.lastSeq == 5)
            let predictions: PredictionRecorded = try said[3].body()
            #expect(predictions.headLink == outcome.head && predictions.signalID == signal.id && predictions.firstSeq == 3)
        }
    }

    @Test("A seal is never older than what it binds, nor a row than the row before it, whatever the clock says")
    func clockSetBack() async throws {
        try await withPostgresStore { store, _, pool in
            let (signal, version) = try await Fixtures.published(in: store)
            let key = try SigningKey.generate()
            let signer = LedgerSigner(key: key)
            _ = try await store.append(Fixtures.run(signal, version: version))
            let first = try #require(await store.seal(signing: { try signer.sign($0) }))
            #expect(try #require(first.sealedAt) >= #require(await store.head(signal.id)?.madeAt))
            // As if the clock had been an hour ahead when the last row was made.
            let ahead = Timestamp.now() + .seconds(3_600)
            try await pool.execute("UPDATE heads SET made_at = \(ahead) WHERE signal_id = \(signal.id)")
            let outcome = try await store.append(Fixtures.run(signal, version: version, rows: 2))
            #expect(outcome.madeAt == ahead + .microseconds(2))
            let rows = try await store.predictions(PredictionQuery(signalID: signal.id, afterSeq: 1, limit: 5))
            #expect(rows.map(\.entry.madeAt) == [ahead + .microseconds(1), ahead + .microseconds(2)])
            let second = try #require(await store.seal(signing: { try signer.sign($0) }))
            #expect(second.sealedAt == outcome.madeAt)
            #expect(LedgerSigner.isGood(second, keys: [key.keyID: key.verifyingKey]))
            // And the next seal is no older than this one, though its own rows may be.
            let (other, otherVersion) = try await Fixtures.published(in: store)
            _ = try await store.append(Fixtures.run(other, version: otherVersion))
            #expect(try await store.seal(signing: { try signer.sign($0) })?.sealedAt == second.sealedAt)
        }
    }

    @Test("A view stands still while the ledger grows, and changes nothing")
    func view() async throws {
        try await withPostgresStore { store, _, _ in
            let (signal, version) = try await Fixtures.published(in: store)
            _ = try await store.append(Fixtures.run(signal, version: version))
            _ = try await store.seal(signing: Fixtures.signing)
            try await store.snapshot { inside in
                #expect(try await inside.head(signal.id)?.seq == 1)
                _ = try await store.append(Fixtures.run(signal, version: version))
                _ = try await store.seal(signing: Fixtures.signing)
                #expect(try await inside.predictions(PredictionQuery(signalID: signal.id, limit: 5)).count == 1)
                #expect(try await inside.sealCount(of: signal.id) == 1)
                #expect(try await LedgerExports(store: inside).export(signal.id, afterSeq: 0, limit: 5, isEntitled: true)?.rows.count == 1)
            }
            #expect(try await store.head(signal.id)?.seq == 2)
            let refused = await #expect(throws: PostgresError.self) {
                try await store.snapshot { try await $0.append(Fixtures.run(signal, version: version)) }
            }
            #expect(refused?.sqlState == "25006")
        }
    }

    @Test("A part ends with the heads that its seals may hold, and the parts together are the whole; also behind a cut tail")
    func parts() async throws {
        try await withPostgresStore { store, database, _ in
            var signals: [(Signal, SignalVersion)] = []
            for _ in 0..<3 { signals.append(try await Fixtures.published(in: store)) }
            // Four seconds in which all three grow by two rows.
            for _ in 0..<4 {
                for (signal, version) in signals { _ = try await store.append(Fixtures.run(signal, version: version, rows: 2)) }
                _ = try await store.seal(signing: Fixtures.signing)
            }
            let id = signals[0].0.id
            let exports = LedgerExports(store: store, maximumHeads: 7)
            func parts(limit: Int) async throws -> [LedgerExport] {
                var parts: [LedgerExport] = []
                var after: Int64? = 0
                while let from = after, parts.count < 20 {
                    let part = try #require(await exports.export(id, afterSeq: from, limit: limit, isEntitled: true))
                    #expect(part.seals.reduce(0) { $0 + $1.heads.count } <= 7)
                    parts.append(part)
                    after = part.nextAfterSeq
                }
                return parts
            }
            let whole = try await parts(limit: 100)
            #expect(whole.map { $0.rows.map(\.seq) } == [[1, 2, 3, 4], [5, 6, 7, 8]])
            #expect(whole.map { $0.seals.map(\.n) } == [[1, 2], [3, 4]])
            #expect(whole.allSatisfy { $0.firstFault() == nil })
            #expect(try await parts(limit: 3).map { $0.rows.map(\.seq) } == [[1, 2, 3], [4, 5, 6], [7, 8]])
            #expect(try await exports.firstFault(of: id) { _ in true }.fault == nil)
            #expect(try await exports.firstFaultOfSeals { _ in true } == nil)

            // Rows and head are gone, the seals are not: all of them come, in parts, and each part ends.
            let superuser = try await PostgresConnection.connect(
                database.superuser,
                on: TestLoop.shared
            )
            try await superuser.execute("SET session_replication_role = replica")
            try await superuser.execute("DELETE FROM predictions WHERE signal_id = \(id) AND seq > 3")
            let cut = try await parts(limit: 100)
            #expect(cut.map { $0.rows.map(\.seq) } == [[1, 2, 3], []])
            #expect(cut.map { $0.seals.map(\.n) } == [[1, 2], [3, 4]])
            #expect(cut[0].firstFault() == LedgerFault(kind: .truncated, seq: 4))
            await superuser.close()
        }
    }

    @Test("A ledger that grows while it is verified and exported is sound")
    func verifiedWhileGrowing() async throws {
        try await withDatabase(service: "signals", catalogue: Migrations.catalogue()) { database in
            try await database.withPool(maximumConnections: 6) { pool in
                let store = PostgresSignalsStore(pool: pool, outbox: Outbox(schema: "signals"))
                let (signal, version) = try await Fixtures.published(in: store)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 {
                        group.addTask {
                            while !Task.isCancelled {
                                do {
                                    _ = try await store.append(Fixtures.run(signal, version: version))
                                    _ = try await store.seal(signing: Fixtures.signing)
                                } catch {
                                    // The last statement may be cut off in the middle; nothing else may fail.
                                    if !Task.isCancelled { throw error }
                                }
                            }
                        }
                    }
                    let exports = LedgerExports(store: store)
                    // However slow the writers are, some looks meet a ledger that has grown.
                    var (looks, rows) = (0, Int64(0))
                    while looks < 60 || rows < 2 {
                        looks += 1
                        rows = try await store.head(signal.id)?.seq ?? 0
                        let fault = try await exports.firstFault(of: signal.id) { _ in true }.fault
                        #expect(fault == nil)
                        let export = try await exports.export(signal.id, afterSeq: 0, limit: 10_000, isEntitled: true)
                        #expect(export?.firstFault() == nil)
                        #expect(export?.nextAfterSeq == nil)
                        if fault != nil { break }
                    }
                    group.cancelAll()
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test("The audit passes a sound ledger and names a planted, a lost and a changed row")
    func audit() async throws {
        try await withPostgresStore { store, database, pool in
            let key = try SigningKey.generate()
            let keys = [key.keyID: key.verifyingKey]
            let (signal, version) = try await Fixtures.published(in: store)
            for _ in 0..<3 { _ = try await store.append(Fixtures.run(signal, version: version, rows: 2)) }
            _ = try await store.seal(signing: { try LedgerSigner(key: key).sign($0) })
            func bad() async throws -> [String] { try await AuditCommand.run(on: store, keys: keys).filter { !$0.isGood }.map(\.line) }
            #expect(try await bad().isEmpty)

            let superuser = try await PostgresConnection.connect(database.superuser, on: TestLoop.shared)
            try await superuser.execute("SET session_replication_role = replica")
            func restoring(_ change: String, _ undo: String) async throws -> [String] {
                try await superuser.execute(SQL(unsafe: change))
                let found = try await bad()
                try await superuser.execute(SQL(unsafe: undo))
                return found
            }
            try await superuser.execute("CREATE TABLE kept AS SELECT * FROM predictions")
            let lost = try await restoring("DELETE FROM predictions WHERE seq = 4", "INSERT INTO predictions SELECT * FROM kept WHERE seq = 4")
            #expect(lost.contains { $0.contains("reported 2 rows, 1 are recorded") })
            #expect(lost.contains { $0.contains("first bad row 4: gap") })
            let planted = try await restoring(
                "INSERT INTO predictions SELECT (jsonb_populate_record(p, '{\"seq\": 7, \"row\": 2}')).* FROM predictions p WHERE seq = 6",
                "DELETE FROM predictions WHERE seq = 7"
            )
            #expect(planted.contains { $0.contains("reported 2 rows, 3 are recorded") })
            #expect(planted.contains { $0.contains("seq is gapless") })
            let changed = try await restoring(
                "UPDATE predictions SET payload = replace(payload, '\"value\":\"1\"', '\"value\":\"-1\"') WHERE seq = 2",
                "UPDATE predictions SET payload = k.payload FROM kept k WHERE k.seq = predictions.seq"
            )
            let tied = try await restoring(
                "UPDATE predictions SET made_at = (SELECT made_at FROM kept k WHERE k.seq = 4) WHERE seq = 5",
                "UPDATE predictions SET made_at = k.made_at FROM kept k WHERE k.seq = predictions.seq"
            )
            #expect(tied.contains { $0.contains("made_at rises with seq") && $0.contains("seq 5") })
            #expect(changed.contains { $0.contains("first bad row 2: payload") })
            let forged = try await restoring(
                "UPDATE seals SET sealed_at = sealed_at - interval '1 day'",
                "UPDATE seals SET sealed_at = sealed_at + interval '1 day'"
            )
            #expect(forged.contains { $0.contains("signature") })
            #expect(try await bad().isEmpty)
            await superuser.close()
        }
    }
}
