import Contracts
import Messaging
import Postgres
import TestSupport
import Testing

@testable import signals

@Suite("Versions in memory")
struct VersionCacheTests {
    private struct TakenBack: Error {}

    @Test("A version is read once; that there is none is asked again", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
    func readsOnce() async throws {
        try await withPostgresStore { store, _, pool in
            let (_, version) = try await Fixtures.published(in: store)
            let cache = VersionCache(store: store)
            #expect(try await cache.version(version.id) == version)
            let before = pool.sentStatements
            #expect(try await cache.version(version.id) == version)
            #expect(pool.sentStatements == before)
            let missing = SignalVersionID.make()
            #expect(try await cache.version(missing) == nil)
            #expect(try await cache.version(missing) == nil)
            #expect(pool.sentStatements == before + 2)
        }
    }

    @Test("What a transaction takes back was never there", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
    func rolledBack() async throws {
        try await withPostgresStore { store, _, pool in
            let signal = Fixtures.signal()
            try await store.create(signal)
            let cache = VersionCache(store: store)
            let new = Fixtures.newVersion(signal)
            await #expect(throws: TakenBack.self) {
                try await pool.withTransaction { connection in
                    _ = try await store.on(connection).addVersion(new)
                    #expect(try await store.on(connection).version(new.id) != nil)
                    #expect(try await cache.version(new.id) == nil)
                    throw TakenBack()
                }
            }
            #expect(try await cache.version(new.id) == nil)
            let version = try await store.addVersion(new)
            #expect(try await cache.version(new.id) == version)
        }
    }

    @Test("Who serves can neither change a version nor remove one", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
    func neverChanged() async throws {
        try await withPostgresStore { store, _, pool in
            let (_, version) = try await Fixtures.published(in: store)
            for statement: SQL in [
                "UPDATE versions SET note = 'x' WHERE id = \(version.id)", "DELETE FROM versions WHERE id = \(version.id)",
                "UPDATE version_files SET bytes = 1 WHERE version_id = \(version.id)", "DELETE FROM version_files WHERE version_id = \(version.id)",
            ] {
                let error = await #expect(throws: PostgresError.self) { try await pool.execute(statement) }
                #expect(error?.sqlState == "42501")
            }
        }
    }

    @Test("A deleted signal's version is still there for the runs that were under way, as in the store")
    func deletedSignal() async throws {
        let store = InMemorySignalsStore()
        let (signal, version) = try await Fixtures.published(in: store)
        let cache = VersionCache(store: store)
        _ = try await cache.version(version.id)
        #expect(try await store.deleteSignal(signal.id, now: .now()))
        #expect(try await cache.version(version.id) == store.version(version.id))
    }

    @Test(
        "So many bytes are kept and no more: what was not used for longest is read again",
        .enabled(if: TestServers.hasPostgres, "no test Postgres")
    )
    func bounded() async throws {
        try await withPostgresStore { store, _, pool in
            let (signal, first) = try await Fixtures.published(in: store)
            var ids = [first.id]
            for _ in 0..<2 { ids.append(try await store.addVersion(Fixtures.newVersion(signal)).id) }
            // Room for two.
            let cache = VersionCache(store: store, maximumBytes: 2 * VersionCache.bytes(of: first) + VersionCache.bytesPerVersion / 2)
            func isRead(_ id: SignalVersionID) async throws -> Bool {
                let before = pool.sentStatements
                #expect(try await cache.version(id)?.id == id)
                return pool.sentStatements > before
            }
            var read: [Bool] = []
            for index in [0, 1, 0, 2, 0, 1] { read.append(try await isRead(ids[index])) }
            #expect(read == [true, true, false, true, false, true])
            // One that is larger than everything may be is served all the same.
            #expect(try await VersionCache(store: store, maximumBytes: 1).version(first.id) == first)
        }
    }
}
