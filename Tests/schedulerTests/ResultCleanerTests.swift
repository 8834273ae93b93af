import BlobStore
import Contracts
import Foundation
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// What becomes of results that nobody asks for any more.
struct ResultCleanerTests {
    @Test func resultsThatNoJobNamesAreDeletedAfterADay() async throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "auspex-scheduler-\(UUID().uuidString)")
        let pool = try CPUPool(threads: 1)
        defer {
            pool.stop()
            try? FileManager.default.removeItem(at: root)
        }
        let blobs = try FolderBlobStore(root: root.path(), service: "scheduler", pool: pool)
        let store = InMemorySchedulerStore()
        _ = try await store.insert([Fixture.job("a")])
        let named = try await blobs.put(Array("named".utf8))
        let lost = try await blobs.put(Array("of a lost attempt".utf8))
        let fresh = try await blobs.put(Array("its report is on its way".utf8))
        var report = try Fixture.finished(try #require(try await store.claim(Fixture.claim()).first))
        report.resultSHA256 = named
        _ = try await store.finish([report])
        for digest in [named, lost] {
            let path = root.appending(path: "scheduler/\(digest.hex.prefix(2))/\(digest.hex)").path()
            try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -90_000)], ofItemAtPath: path)
        }
        try await ResultCleaner(store: store, blobs: blobs, time: SystemTimeSource(), loop: TestLoop.shared).round()
        #expect(Set(try await blobs.list().map(\.digest)) == [named, fresh])
    }
}
