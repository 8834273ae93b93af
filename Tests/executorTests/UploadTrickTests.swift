import Contracts
import Cryptography
import FoundationEssentials
import Glibc
import ServiceRuntime
import Testing

@testable import executor

/// Versions come as lists of files by hash, never as an archive: what is left of the tricks of archives are names, sizes and hashes that lie.
@Suite struct UploadTrickTests {
    private func tree(_ body: (CodeTree, String) async throws -> Void) async throws {
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        let cpu = try CPUPool(threads: 1)
        defer { cpu.stop() }
        let cache = DiskCache(root: root + "/code", capacityBytes: 1 << 30, cpu: cpu)
        try cache.prepare()
        try await body(CodeTree(cache: cache, cpu: cpu), root)
        let left = try FileManager.default.contentsOfDirectory(atPath: root)
        #expect(left == ["code"], "nothing beside the folder: \(left)")
    }

    private static func file(_ path: String, _ text: String = "x") -> CodeFile {
        CodeFile(path: path, sha256: SHA256.digest(utf8: text), bytes: Int64(text.utf8.count))
    }

    @Test(arguments: [
        ["../app.py"], ["/etc/passwd"], ["a/../../b"], ["./app.py"], ["a//b"], ["a/"], [""], ["."], [".."], [".git/config"], ["a/.env"], ["a\u{0}b"],
        ["a\nb"], ["a\u{7f}b"], ["a\\..\\b"], ["\u{1b}[2J"], [String(repeating: "x", count: 256)], ["app.py", "app.py"], ["app.py", "APP.py"],
        ["a", "a/b"], ["a/b", "a"], ["A/b", "a"], ["x/y/z", "X/Y"],
    ])
    func aNameThatLeadsAstrayIsRefused(_ paths: [String]) async throws {
        try await tree { tree, root in
            do {
                _ = try await tree.folder(of: paths.map { Self.file($0) }) { _ in [UInt8(ascii: "x")] }
                Issue.record("\(paths) was taken")
            } catch let error as CodeError {
                guard case .badPath = error else {
                    Issue.record("\(error)")
                    return
                }
                #expect(!FinishedJob.message("\(error)").unicodeScalars.contains { HarmlessText.isDangerous($0) && $0 != "\n" })
            }
            #expect(FileTree.size(root + "/code") == 0, "not a byte was kept")
        }
    }

    @Test func filesThatGrowOnTheWayAreRefused() async throws {
        try await tree { tree, _ in
            // A small hash, a large body: what a bomb would be.
            await #expect(throws: CodeError.self) {
                _ = try await tree.folder(of: [Self.file("app.py")]) { _ in [UInt8](repeating: 0, count: 1 << 20) }
            }
            // The right size, other bytes.
            await #expect(throws: CodeError.self) { _ = try await tree.folder(of: [Self.file("app.py")]) { _ in [UInt8(ascii: "y")] } }
            // Sizes that add up to too much are refused before a byte is fetched.
            let large = (0..<3).map { CodeFile(path: "w\($0)", sha256: SHA256.digest(utf8: "\($0)"), bytes: 100 << 20) }
            await #expect(throws: CodeError.self) {
                _ = try await tree.folder(of: large) { _ in
                    Issue.record("it was fetched")
                    return []
                }
            }
            // A size below zero takes nothing off the sum.
            let negative = [CodeFile(path: "a", sha256: SHA256.digest(utf8: "a"), bytes: -1 << 40)] + large
            await #expect(throws: CodeError.self) { _ = try await tree.folder(of: negative) { _ in [] } }
        }
    }

    @Test func whatLooksLikeALinkOrADeviceIsAPlainFile() async throws {
        try await tree { tree, _ in
            let target = "/etc/shadow"
            let folder = try await tree.folder(of: [Self.file("link", target), Self.file("run.sh", "#!/bin/sh")]) { digest in
                Array((digest == SHA256.digest(utf8: target) ? target : "#!/bin/sh").utf8)
            }
            for name in ["link", "run.sh"] {
                var found = stat()
                #expect(lstat("\(folder.folder)/\(name)", &found) == 0)
                #expect(found.st_mode & S_IFMT == S_IFREG && found.st_mode & 0o7222 == 0 && found.st_nlink == 1, "read-only, no bits of users")
            }
        }
    }
}
