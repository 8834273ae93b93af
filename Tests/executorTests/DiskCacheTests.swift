import Contracts
import Cryptography
import FoundationEssentials
import ServiceRuntime
import Synchronization
import Testing

@testable import executor

/// Folders are made once, kept while in use, and removed by least use.
@Suite struct DiskCacheTests {
    private func withCache(capacityBytes: Int, _ body: (DiskCache, String, CPUPool) async throws -> Void) async throws {
        let root = SandboxFixture.temporaryFolder
        let cpu = try CPUPool(threads: 2)
        let cache = DiskCache(root: root, capacityBytes: capacityBytes, cpu: cpu)
        try cache.prepare()
        try await body(cache, root, cpu)
        FileTree.remove(root)
        cpu.stop()
    }

    private final class Counter: Sendable {
        private let number = Mutex(0)
        func count() { number.withLock { $0 += 1 } }
        var value: Int { number.withLock { $0 } }
    }

    private static func fill(_ bytes: Int) -> @Sendable (String) throws -> Void {
        { folder in try Data(repeating: 1, count: bytes).write(to: URL(filePath: folder + "/file")) }
    }

    @Test func manyWhoWantOneFolderMakeItOnce() async throws {
        try await withCache(capacityBytes: 1 << 20) { cache, _, _ in
            let builds = Counter()
            let folders = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        try await cache.entry("key") { folder in
                            builds.count()
                            try Self.fill(10)(folder)
                        }.folder
                    }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(folders.count == 1)
            #expect(builds.value == 1)
        }
    }

    @Test func leastUsedFoldersGoButNeverThoseInUse() async throws {
        try await withCache(capacityBytes: 2500) { cache, root, _ in
            func has(_ key: String) -> Bool { FileManager.default.fileExists(atPath: "\(root)/\(key)") }
            let held = try await cache.entry("a", build: Self.fill(1000))
            _ = try await cache.entry("b", build: Self.fill(1000))
            _ = try await cache.entry("c", build: Self.fill(1000))
            #expect(has("a") && !has("b") && has("c"), "the longest unused that nobody holds")
            _ = try await cache.entry("d", build: Self.fill(1000))
            #expect(has("a") && !has("c") && has("d"))
            #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/locks").sorted() == ["a", "d"], "locks go with their folders")
            let again = try await cache.entry("b", build: Self.fill(1))
            #expect(FileManager.default.fileExists(atPath: again.folder + "/file"))
            withExtendedLifetime(held) {}
        }
    }

    @Test func aFailedBuildLeavesNothingAndIsTriedAgain() async throws {
        struct Broken: Error {}
        try await withCache(capacityBytes: 1 << 20) { cache, root, _ in
            await #expect(throws: Broken.self) { try await cache.entry("key") { _ in throw Broken() } }
            #expect(try FileManager.default.contentsOfDirectory(atPath: root) == ["locks"])
            let lease = try await cache.entry("key", build: Self.fill(1))
            #expect(FileManager.default.fileExists(atPath: lease.folder + "/file"))
        }
    }

    @Test func codeIsFetchedOnceAndHeldAgainstItsHash() async throws {
        try await withCache(capacityBytes: 1 << 20) { cache, _, cpu in
            let tree = CodeTree(cache: cache, cpu: cpu)
            let bytes = Array("print(1)\n".utf8)
            let file = CodeFile(path: "lib/app.py", sha256: SHA256.digest(bytes), bytes: Int64(bytes.count))
            let fetches = Counter()
            for _ in 0..<2 {
                let lease = try await tree.folder(of: [file]) { _ in
                    fetches.count()
                    return bytes
                }
                #expect(FileManager.default.contents(atPath: lease.folder + "/lib/app.py") == Data(bytes))
            }
            #expect(fetches.value == 1)
            let other = CodeFile(path: "app.py", sha256: SHA256.digest(bytes), bytes: Int64(bytes.count))
            await #expect(throws: CodeError.self) { try await tree.folder(of: [other]) { _ in Array("print(2)\n".utf8) } }
        }
    }

    @Test(arguments: ["../x", "/x", "a//b", "a/../b", ".hidden", "a/.git/x", "", "a\u{0}b", "a\\b", "a/"])
    func pathsThatLeadElsewhereAreRefused(path: String) {
        #expect(!CodeTree.isPlain(path))
    }
}
