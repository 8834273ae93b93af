import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import TestSupport
import Testing

@testable import executor

/// This machine as the attacks see it: listeners that nobody may reach, a secret that nobody may read, and what it looked like before.
final class AttackedHost: Sendable {
    let fixture: SandboxFixture
    private let words: [(String, String)]
    private let listeners: [Int32]
    private let mountsBefore: Int
    private let filesBefore: Set<String>

    /// What the test process itself may grow by for one attack, in bytes: an answer, a log, and what the allocator keeps.
    private static let mostGrowth = 64 << 20

    init(_ fixture: SandboxFixture) throws {
        self.fixture = fixture
        setenv("AUSPEX_TEST_SECRET", "the-secret-of-the-host", 1)
        let folder = SandboxFixture.temporaryFolder
        try Data("the-secret-of-the-host".utf8).write(to: URL(filePath: folder + "/secret"))
        chmod(folder + "/secret", 0o644)
        let abstract = "auspex-attacked-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let (tcp, port) = try Self.listenToTCP()
        listeners = [
            tcp, try Self.listenToUnix(path: folder + "/socket", isAbstract: false), try Self.listenToUnix(path: abstract, isAbstract: true),
        ]
        words = [("HOST_PORT", "\(port)"), ("HOST_FOLDER", folder), ("HOST_ABSTRACT", abstract), ("HOST_PID", "\(getpid())")]
        mountsBefore = Self.mounts
        filesBefore = Self.sharedFiles
    }

    /// Runs an attack and holds its end against its table.
    func attack(_ attack: Attack) async throws {
        let app = words.reduce(attack.app) { $0.replacing($1.0, with: $1.1) }
        let before = Self.residentBytes
        let (verdict, outcome) = try await fixture.run(app, change: attack.change)
        switch attack.ending {
        case .nothingGot: #expect(verdict.failureKind == nil && verdict.values.isEmpty, "\(verdict)")
        case .failure(let kinds, let text):
            #expect(verdict.failureKind.map { kinds.contains($0) } == true, "\(verdict)")
            #expect(verdict.message.contains(text), "\(verdict.message.prefix(300))")
            #expect(!verdict.message.isEmpty && verdict.message.utf8.count <= FinishedJob.maximumMessageBytes)
            #expect(!verdict.message.unicodeScalars.contains { HarmlessText.isDangerous($0) }, "words that a terminal would obey")
        case .any: break
        }
        #expect(outcome.result.count <= 1 << 20 && outcome.log.text.utf8.count <= FinishedJob.maximumLogBytes)
        #expect(outcome.wallTime < .seconds(120))
        #expect(Self.residentBytes - before < Self.mostGrowth, "the executor grew by \((Self.residentBytes - before) >> 20) MiB")
        try await eventually { self.leftovers().isEmpty }
        let left = leftovers()
        #expect(left.isEmpty, "\(left)")
        for listener in listeners { #expect(accept(listener, nil, nil) < 0, "somebody reached a listener of the host") }
    }

    /// What runs left: groups, processes of their users, mounts, and files in folders that all users share.
    func leftovers() -> [String] {
        var found: [String] = []
        for folder in fixture.sandbox.host.cgroups {
            let path = String(folder.value.drop { $0 != "/" })
            for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] where name.hasPrefix("\(getpid())-") {
                found.append("\(path)/\(name)")
            }
        }
        if Self.mounts > mountsBefore { found.append("\(Self.mounts - mountsBefore) mounts") }
        for name in Self.sharedFiles.subtracting(filesBefore) where Self.owner(name).map({ isOfARun($0) }) == true { found.append(name) }
        for pid in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] where pid.allSatisfy(\.isNumber) {
            if let owner = Self.owner("/proc/\(pid)"), isOfARun(owner) { found.append("process \(pid)") }
        }
        return found
    }

    private func isOfARun(_ owner: uid_t) -> Bool {
        guard let first = fixture.sandbox.host.firstUserID else { return false }
        return owner > first && owner < first + 100
    }

    private static func owner(_ path: String) -> uid_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_uid : nil
    }

    private static var mounts: Int {
        let text = String(decoding: FileManager.default.contents(atPath: "/proc/self/mountinfo") ?? Data(), as: UTF8.self)
        // Those of a launcher or of bubblewrap: the machine may mount what it likes meanwhile, and so may the test of a full disk.
        return text.split(separator: "\n").count {
            ($0.contains("/newroot") || $0.contains(" - tmpfs auspex ") || $0.contains("/auspex-executor-tests-")) && !$0.contains(" small-disk ")
        }
    }

    private static var sharedFiles: Set<String> {
        Set(
            ["/tmp", "/var/tmp", "/dev/shm"].flatMap { folder in
                ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).map { "\(folder)/\($0)" }
            }
        )
    }

    private static var residentBytes: Int {
        let text = String(decoding: FileManager.default.contents(atPath: "/proc/self/statm") ?? Data(), as: UTF8.self)
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    private static func listenToTCP() throws -> (descriptor: Int32, port: Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK | O_CLOEXEC, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(bound, "no listener: \(errno)")
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    private static func listenToUnix(path: String, isAbstract: Bool) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK | O_CLOEXEC, 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = (isAbstract ? [0] : []) + Array(path.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0 }
        }
        try #require(bound, "no listener at \(path): \(errno)")
        if !isAbstract { chmod(path, 0o777) }
        return descriptor
    }
}
