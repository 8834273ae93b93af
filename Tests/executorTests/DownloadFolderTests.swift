import Contracts
import FoundationEssentials
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import executor

/// What builds may take of the disk: each while it runs, and all together by what they leave.
@Suite struct DownloadFolderTests {
    private static func withFolder(capacityBytes: Int, _ body: (DownloadFolder, SandboxFixture, String) async throws -> Void) async throws {
        let fixture = try await SandboxFixture.shared.get()
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        for name in ["downloads/archive-v0", "ready", "locks", "work"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
        }
        try await body(DownloadFolder(root: root, capacityBytes: capacityBytes, cpu: fixture.cpu), fixture, root)
    }

    private static func fill(_ path: String, _ bytes: Int) throws { try Data(repeating: 1, count: bytes).write(to: URL(filePath: path)) }

    @Test func aBuildThatFillsTheDiskIsEnded() async throws {
        for place in ["work", "downloads/.tmpabc"] {
            try await Self.withFolder(capacityBytes: 4 << 20) { folder, fixture, root in
                chmod("\(root)/work", 0o777)
                chmod("\(root)/downloads", 0o777)
                let program = """
                    import os, sys
                    os.makedirs(sys.argv[1], exist_ok=True)
                    number = 0
                    # Many small files, far beyond the bound, and then for ever: only being ended ends it.
                    while True:
                        if number < 4096:
                            with open("%s/%d" % (sys.argv[1], number), "wb") as file: file.write(bytes(16384))
                        number += 1
                    """
                let command = SandboxCommand(
                    arguments: ["/usr/bin/python3", "-ISB", "-c", program, "/build-root/" + place],
                    mounts: [SandboxMount(source: root, target: "/build-root", writable: true)],
                    purpose: .build(userID: nil),
                    limits: BuildCapacity().limits(.seconds(120))
                )
                let error = await #expect(throws: EnvironmentError.self) {
                    try await folder.bounded(root + "/work", "installing") { try await fixture.sandbox.run(command) }
                }
                #expect(error?.kind == .exception && error?.reason.contains("3 MiB of disk") == true, "\(String(describing: error))")
            }
        }
    }

    @Test func whatOthersFetchAtTheSameTimeIsNobodysFault() async throws {
        try await Self.withFolder(capacityBytes: 4 << 20) { folder, fixture, root in
            let outcome = try await fixture.sandbox.run(
                SandboxCommand(arguments: ["/usr/bin/python3", "-c", "pass"], limits: SandboxLimits.of(.small, wallTime: .seconds(20)))
            )
            func build() async -> EnvironmentError? {
                await #expect(throws: EnvironmentError.self) {
                    try await folder.bounded(root + "/work", "installing") {
                        try FileManager.default.createDirectory(atPath: root + "/downloads/archive-v0/x", withIntermediateDirectories: true)
                        try Self.fill(root + "/downloads/archive-v0/x/large", 5 << 20)
                        return outcome
                    }
                }
            }
            let one = try await folder.use()
            let other = try await folder.use()
            #expect(await build()?.kind == .infra)
            withExtendedLifetime((one, other)) {}
        }
    }

    @Test func downloadsBeyondTheBoundAreThrownAwayWhenNobodyBuilds() async throws {
        try await Self.withFolder(capacityBytes: 1 << 20) { folder, _, root in
            let file = root + "/downloads/archive-v0/file"
            try Self.fill(file, 1 << 19)
            await folder.prune()
            #expect(access(file, F_OK) == 0, "within the bound")
            try Self.fill(file, 2 << 20)
            var use: DownloadFolder.Use? = try await folder.use()
            await folder.prune()
            #expect(access(file, F_OK) == 0 && use != nil, "somebody builds")
            use = nil
            // A program that another test starts has every descriptor for the moment until it is loaded, the lock's too.
            try await eventually {
                await folder.prune()
                return access(file, F_OK) != 0
            }
            #expect(access(root + "/downloads", F_OK) == 0)
            #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/ready").isEmpty)
        }
    }

    @Test func theOldestOfVeryManyLocksGo() async throws {
        try await Self.withFolder(capacityBytes: 1 << 20) { folder, _, root in
            for number in 0...10_000 { close(open("\(root)/locks/\(number).txt", O_WRONLY | O_CREAT, 0o644)) }
            var old = [timeval(tv_sec: 1_000_000_000, tv_usec: 0), timeval(tv_sec: 1_000_000_000, tv_usec: 0)]
            utimes(root + "/locks/77.txt", &old)
            await folder.prune()
            let left = try FileManager.default.contentsOfDirectory(atPath: root + "/locks")
            #expect(left.count == 5000 && !left.contains("77.txt"))
        }
    }
}
