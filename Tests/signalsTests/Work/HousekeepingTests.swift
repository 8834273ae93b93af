import BlobStore
import Contracts
import Cryptography
import Foundation
import PostgresIdempotency
import ServiceRuntime
import TestSupport
import Testing

@testable import signals

@Suite("Housekeeping", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct HousekeepingTests {
    @Test("Old blobs that neither a version nor an upload names are deleted; what is taken over meanwhile stays")
    func blobs() async throws {
        try await withPostgresStore { store, _, pool in
            let root = FileManager.default.temporaryDirectory.appending(path: "auspex-signals-\(UUID().uuidString)")
            let files = try CPUPool(threads: 1)
            defer {
                files.stop()
                try? FileManager.default.removeItem(at: root)
            }
            let blobs = try FolderBlobStore(root: root.path(), service: "signals", pool: files)
            let signal = Fixtures.signal()
            try await store.create(signal)
            let named = try await blobs.put(Array("app".utf8))
            var version = Fixtures.newVersion(signal)
            version.files = [ProjectFile(path: "app.py", sha256: named, bytes: 3)]
            _ = try await store.addVersion(version)
            let uploaded = try await blobs.put(Array("weights".utf8))
            try await store.record(Upload(accountID: signal.accountID, sha256: uploaded, bytes: 7, uploadedAt: .now()))
            // The inline files of a request that failed: one a while ago, one just now.
            let lost = try await blobs.put(Array("lost".utf8))
            let fresh = try await blobs.put(Array("fresh".utf8))
            for digest in [named, uploaded, lost] {
                let path = root.appending(path: "signals/\(digest.hex.prefix(2))/\(digest.hex)").path()
                try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -90_000)], ofItemAtPath: path)
            }
            let housekeeping = Housekeeping(
                store: store,
                blobs: blobs,
                idempotency: PostgresIdempotencyStore(pool: pool) {},
                time: SystemTimeSource(),
                loop: TestLoop.shared
            )
            await housekeeping.cleanUpBlobs()
            #expect(Set(try await blobs.list().map(\.digest)) == [named, uploaded, fresh])
        }
    }
}
