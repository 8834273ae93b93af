import Contracts
import Cryptography
import Foundation
import ServiceRuntime
import Synchronization
import Testing

@testable import BlobStore

struct FolderBlobStoreTests {
    private func withStore(_ body: (FolderBlobStore, URL) async throws -> Void) async throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "auspex-blobs-\(UUID().uuidString)")
        let pool = try CPUPool(threads: 2)
        defer {
            pool.stop()
            try? FileManager.default.removeItem(at: root)
        }
        try await body(try FolderBlobStore(root: root.path(), service: "signals", pool: pool), root)
    }

    private func file(_ digest: SHA256Digest, _ root: URL) -> URL { root.appending(path: "signals/\(digest.hex.prefix(2))/\(digest.hex)") }

    @Test func whatWasPutComesBack() async throws {
        try await withStore { store, _ in
            let bytes = [UInt8]("hello".utf8)
            let digest = try await store.put(bytes)
            #expect(digest == SHA256.digest(bytes))
            let (found, isThere, absent) = (
                try await store.get(digest), try await store.exists(digest), try await store.get(SHA256.digest(utf8: "no"))
            )
            #expect(found == bytes && isThere && absent == nil)
            let empty = try await store.put([])
            #expect(try await store.get(empty) == [])
        }
    }

    @Test func aFileIsPutPieceByPiece() async throws {
        try await withStore { store, root in
            let bytes = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let path = root.appending(path: "upload")
            try Data(bytes).write(to: path)
            let digest = try await store.put(contentsOf: path.path())
            #expect(try await store.get(digest) == bytes)
            await #expect(throws: BlobError.self) { try await store.put(contentsOf: root.appending(path: "absent").path()) }
        }
    }

    @Test func aDamagedBlobIsAnError() async throws {
        try await withStore { store, root in
            let digest = try await store.put([1, 2, 3])
            try Data([1, 2, 4]).write(to: file(digest, root))
            await #expect(throws: BlobError.damaged(digest)) { try await store.get(digest) }
            // A cut one is mended by the next put.
            try Data([1]).write(to: file(digest, root))
            try await store.put([1, 2, 3])
            let mended = try await store.get(digest)
            #expect(mended == [1, 2, 3])
        }
    }

    @Test func cleanUpTakesOnlyWhatIsOldAndUnreferenced() async throws {
        try await withStore { store, root in
            let (old, kept, fresh, again) = (
                try await store.put([1]), try await store.put([2]), try await store.put([3]), try await store.put([4])
            )
            let past = Date(timeIntervalSinceNow: -90_000)
            for digest in [old, kept, again] {
                try FileManager.default.setAttributes([.modificationDate: past], ofItemAtPath: file(digest, root).path())
            }
            let asked = Mutex<[SHA256Digest]>([])
            let deleted = try await store.cleanUp(at: .now()) { digests in
                asked.withLock { $0 += digests }
                // Put again between the look and the deletion: it has to stay.
                try await store.put([4])
                return [kept]
            }
            #expect(deleted == 1)
            #expect(Set(asked.withLock { $0 }) == [old, kept, again])
            let left = Set(try await store.list().map(\.digest))
            #expect(left == [kept, fresh, again])
        }
    }

    @Test func cleanUpTakesTheDraftsOfKilledWriters() async throws {
        try await withStore { store, root in
            let drafts = root.appending(path: "signals/tmp")
            let (old, fresh) = (drafts.appending(path: "old"), drafts.appending(path: "fresh"))
            for draft in [old, fresh] { try Data([1]).write(to: draft) }
            try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -90_000)], ofItemAtPath: old.path())
            try await store.cleanUp(at: .now()) { _ in [] }
            #expect(try FileManager.default.contentsOfDirectory(atPath: drafts.path()) == ["fresh"])
        }
    }

    @Test func partsAreJoinedIfTheyMakeTheWhole() async throws {
        try await withStore { store, root in
            let bytes = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let parts = [try await store.put(Array(bytes[..<600_000])), try await store.put(Array(bytes[600_000...]))]
            let whole = SHA256.digest(bytes)
            #expect(try await store.join(parts.reversed(), into: whole) == .different)
            #expect(try await store.join([parts[0], SHA256.digest(utf8: "no")], into: whole) == .missing(SHA256.digest(utf8: "no")))
            #expect(try await store.entry(whole) == nil)
            #expect(try FileManager.default.contentsOfDirectory(atPath: root.appending(path: "signals/tmp").path()).isEmpty)
            #expect(try await store.join(parts, into: whole) == .joined)
            #expect(try await store.get(whole) == bytes)
            #expect(try await store.entry(whole)?.bytes == 1_000_003)
            // What is there already is only made young again.
            try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -90_000)], ofItemAtPath: file(whole, root).path())
            #expect(try await store.join([], into: whole) == .joined)
            #expect(try await store.delete(whole, olderThan: .seconds(86_400)) == false)
        }
    }

    @Test func puttingManyAtOnceLeavesNoDrafts() async throws {
        try await withStore { store, root in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<64 { group.addTask { try await store.put([UInt8](repeating: UInt8(number % 4), count: 5_000)) } }
                try await group.waitForAll()
            }
            let count = try await store.list().count
            #expect(count == 4)
            #expect(try FileManager.default.contentsOfDirectory(atPath: root.appending(path: "signals/tmp").path()).isEmpty)
        }
    }

    @Test func deletingAndTouchingSayWhetherItWasThere() async throws {
        try await withStore { store, _ in
            let digest = try await store.put([9])
            let results = [
                try await store.touch(digest), try await store.delete(digest), try await store.delete(digest), try await store.touch(digest),
            ]
            #expect(results == [true, true, false, false])
        }
    }
}
