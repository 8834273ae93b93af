import Contracts
import FoundationEssentials
import Glibc
import Requirements
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// Builds from an index of the test's own: what is built once stays, what is broken off counts for nothing, and whose fault it was is told.
@Suite(.serialized) struct EnvironmentBuildTests {
    private struct House: Sendable {
        let index: FakeIndex
        let fixture: SandboxFixture
        let root: String
        let uv: String
        let python: PythonInterpreter

        func store() throws -> EnvironmentStore {
            let store = EnvironmentStore(
                root: root,
                capacityBytes: 1 << 30,
                uv: uv,
                index: index.index,
                sandbox: fixture.sandbox,
                cpu: fixture.cpu,
                builds: BuildCapacity(atOnce: 2)
            )
            try store.prepare()
            return store
        }

        /// Folders that count, and folders in the making.
        func folders() throws -> (ready: [String], making: [String]) {
            let names = try FileManager.default.contentsOfDirectory(atPath: root + "/ready").filter { $0 != "locks" }
            return (names.filter { !$0.hasPrefix("tmp.") }, names.filter { $0.hasPrefix("tmp.") })
        }
    }

    private static func withHouse(root: String? = nil, _ body: (House) async throws -> Void) async throws {
        guard let uv = EnvironmentStoreTests.installer() else { return print("skipped: no uv on this machine, environments were not built") }
        let fixture = try await SandboxFixture.shared.get()
        let index = try await FakeIndex()
        let folder = root ?? SandboxFixture.temporaryFolder
        defer { if root == nil { FileTree.remove(folder) } }
        let python = try #require(try await PythonInterpreter.discover(in: fixture.sandbox).first { !$0.isPyPy })
        try await body(House(index: index, fixture: fixture, root: folder, uv: uv, python: python))
        await index.stop()
    }

    private static func app(_ module: String) -> String {
        "import \(module)\nfrom auspex import Prediction\ndef predict(context):\n    return Prediction(\(module).version.split('.')[0])\n"
    }

    private static let output = ManifestOutput(kind: .price, instrument: "BTCUSD", horizonSeconds: 60)

    @Test func conflictingPackagesRunAtOnce() async throws {
        try await Self.withHouse { house in
            try house.index.publish("alpha", "1.0")
            try house.index.publish("alpha", "2.0")
            try house.index.publish("beta", "1.0", requires: ["alpha<2"])
            let store = try house.store()
            async let one = store.environment(for: RequirementsFile(parsing: "beta"), python: house.python)
            async let other = store.environment(for: RequirementsFile(parsing: "alpha>=2"), python: house.python)
            let (old, new) = try await (one, other)
            #expect(old.sha256 != new.sha256)
            #expect(old.buildLog?.contains("alpha==1.0") == true && new.buildLog?.contains("alpha==2.0") == true, "\(old.buildLog ?? "")")
            async let first = house.fixture.run(Self.app("alpha"), environment: old, output: Self.output)
            async let second = house.fixture.run(Self.app("alpha"), environment: new, output: Self.output)
            let (a, b) = try await (first, second)
            #expect(a.verdict.values == ["1"] && b.verdict.values == ["2"], "\(a.verdict) \(b.verdict)")
            let conflict = await Self.failure { try await store.environment(for: RequirementsFile(parsing: "beta\nalpha>=2"), python: house.python) }
            #expect(conflict?.kind == .exception && conflict?.reason.contains("beta") == true && conflict?.log.contains("beta") == true)
            // What was built is answered from the disk, without the log of somebody else's build.
            let again = try await store.environment(for: RequirementsFile(parsing: "beta"), python: house.python)
            #expect(again.sha256 == old.sha256 && again.buildLog == nil)
        }
    }

    @Test func packagesWorkOnPyPy() async throws {
        try await Self.withHouse { house in
            guard let pypy = try await PythonInterpreter.discover(in: house.fixture.sandbox).first(where: \.isPyPy) else {
                return print("skipped: no pypy3 on this machine")
            }
            try house.index.publish("alpha", "3.0")
            let store = try house.store()
            async let one = store.environment(for: RequirementsFile(parsing: "alpha"), python: pypy)
            async let other = store.environment(for: RequirementsFile(parsing: "alpha"), python: house.python)
            let (first, second) = try await (one, other)
            #expect(first.sha256 != second.sha256)
            for environment in [first, second] {
                let (verdict, outcome) = try await house.fixture.run(Self.app("alpha"), environment: environment, output: Self.output)
                #expect(verdict.values == ["3"], "\(verdict) \(outcome.log.text)")
            }
        }
    }

    @Test func theLockOfAVersionOutlivesTheIndex() async throws {
        try await Self.withHouse { house in
            try house.index.publish("alpha", "1.0")
            let kept = Mutex<[String: String]>([:])
            let version = VersionLock(
                name: "signal version",
                find: { platform in kept.withLock { $0[platform] } },
                keep: { platform, lock in
                    kept.withLock { kept in
                        kept[platform] = kept[platform] ?? lock
                        return kept[platform] ?? lock
                    }
                }
            )
            let requirements = try RequirementsFile(parsing: "alpha")
            let first = try await house.store().environment(for: requirements, python: house.python, version: version)
            #expect(kept.withLock { $0.keys.sorted() } == [EnvironmentStore.lockPlatform(house.python)])
            #expect(kept.withLock { $0.values.allSatisfy(LockText.isPlain) })
            try house.index.publish("alpha", "2.0")
            // Another executor, whose disk is empty, and a version that was made after the index had changed.
            let elsewhere = SandboxFixture.temporaryFolder
            defer { FileTree.remove(elsewhere) }
            let other = House(index: house.index, fixture: house.fixture, root: elsewhere, uv: house.uv, python: house.python)
            let store = try other.store()
            let second = try await store.environment(for: requirements, python: house.python, version: version)
            #expect(second.sha256 == first.sha256, "the same packages on every executor, for ever")
            let late = VersionLock(name: "later version", find: { _ in nil }, keep: { _, lock in lock })
            let third = try await store.environment(for: requirements, python: house.python, version: late)
            #expect(third.sha256 != first.sha256, "a later version is resolved anew")
            // The lock is on the disk: who keeps it may be away now.
            let away = VersionLock(name: "signal version", find: { _ in throw CancellationError() }, keep: { _, _ in throw CancellationError() })
            let fourth = try await store.environment(for: requirements, python: house.python, version: away)
            #expect(fourth.sha256 == first.sha256)
        }
    }

    @Test func twoExecutorsOnOneDiskBuildOnce() async throws {
        try await Self.withHouse { house in
            try house.index.publish("alpha", "1.0")
            let requirements = try RequirementsFile(parsing: "alpha")
            let gate = TestSignal<Void>()
            // What is needed of the file for its resolution is read first; then the gate closes for the build.
            _ = try? await house.store().environment(for: requirements, python: house.python)
            FileTree.remove(house.root)
            house.index.hold(gate)
            let stores = [try house.store(), try house.store()]
            for _ in 0..<16 { gate.signal() }
            let environments = try await withThrowingTaskGroup(of: PythonEnvironment.self) { group in
                for store in stores { group.addTask { try await store.environment(for: requirements, python: house.python) } }
                return try await group.reduce(into: [PythonEnvironment]()) { $0.append($1) }
            }
            #expect(Set(environments.map(\.sha256)).count == 1 && Set(environments.compactMap { $0.packages?.folder }).count == 1)
            let installed = environments.filter { $0.buildLog?.contains("+ alpha==1.0") == true }
            #expect(installed.count == 1, "one built, the other found it")
            let folders = try house.folders()
            #expect(folders.ready.count == 1 && folders.making.isEmpty, "\(folders)")
        }
    }

    @Test func byteCodeIsCompiledOnceForAWheel() async throws {
        try await Self.withHouse { house in
            try house.index.publish("alpha", "1.0")
            try house.index.publish("beta", "1.0", requires: ["alpha"])
            let store = try house.store()
            let first = try await store.environment(for: RequirementsFile(parsing: "alpha"), python: house.python)
            #expect(first.buildLog?.contains("Byte code of 1 files, 1 of them new") == true, "\(first.buildLog ?? "")")
            let second = try await store.environment(for: RequirementsFile(parsing: "beta"), python: house.python)
            #expect(second.buildLog?.contains("Byte code of 2 files, 1 of them new") == true, "\(second.buildLog ?? "")")
            // One file on the disk for both, and not a copy.
            var numbers: Set<UInt64> = []
            for environment in [first, second] {
                let folder = try #require(environment.packages?.folder) + "/site/__pycache__"
                let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasPrefix("alpha.cpython-") })
                var found = stat()
                #expect(stat("\(folder)/\(name)", &found) == 0)
                numbers.insert(UInt64(found.st_ino))
            }
            #expect(numbers.count == 1)
            let (verdict, _) = try await house.fixture.run(Self.app("alpha"), environment: second, output: Self.output)
            #expect(verdict.values == ["1"])
        }
    }

    @Test func aBuildThatIsKilledLeavesNothingThatCounts() async throws {
        try await Self.withHouse { house in
            try house.index.publish("alpha", "1.0")
            let requirements = try RequirementsFile(parsing: "alpha")
            house.index.hold(TestSignal<Void>())
            let store = try house.store()
            async let broken = Self.failure { try await store.environment(for: requirements, python: house.python) }
            try await house.index.asked.next()
            // uv stands in the middle of a download. It goes as the kernel would take it.
            let killed = Self.kill(programsNaming: try #require(try house.folders().making.first))
            #expect(killed > 0)
            let error = await broken
            #expect(error?.kind == .infra, "\(String(describing: error))")
            #expect(try house.folders().ready.isEmpty)
            house.index.hold(nil)
            // Another executor comes up on the same disk, over what a killed one left behind.
            let left = house.root + "/ready/tmp.\(Self.deadProcess).abcdef"
            try FileManager.default.createDirectory(atPath: left + "/site", withIntermediateDirectories: true)
            try Data("half".utf8).write(to: URL(filePath: left + "/site/alpha.py"))
            let next = try house.store()
            #expect(!FileManager.default.fileExists(atPath: left))
            let environment = try await next.environment(for: requirements, python: house.python)
            let (verdict, _) = try await house.fixture.run(Self.app("alpha"), environment: environment, output: Self.output)
            #expect(verdict.values == ["1"])
        }
    }

    @Test func anIndexThatIsAwayIsOursAndAPackageThatIsNotThereIsTheAuthors() async throws {
        try await Self.withHouse { house in
            try house.index.publish("alpha", "1.0")
            let store = try house.store()
            let unknown = await Self.failure { try await store.environment(for: RequirementsFile(parsing: "gamma"), python: house.python) }
            #expect(unknown?.kind == .exception && unknown?.reason.contains("gamma") == true, "\(String(describing: unknown))")
            let version = await Self.failure { try await store.environment(for: RequirementsFile(parsing: "alpha>5"), python: house.python) }
            #expect(version?.kind == .exception && version?.reason.contains("alpha") == true, "\(String(describing: version))")
            house.index.setAway(true)
            let broken = await Self.failure { try await store.environment(for: RequirementsFile(parsing: "delta"), python: house.python) }
            #expect(broken?.kind == .infra, "\(String(describing: broken))")
            house.index.setAway(false)
            house.index.setFileHost("http://files.example:81")
            try house.index.publish("epsilon", "1.0")
            let elsewhere = await Self.failure { try await store.environment(for: RequirementsFile(parsing: "epsilon"), python: house.python) }
            #expect(elsewhere?.kind == .infra && elsewhere?.reason.contains("files.example:81") == true, "\(String(describing: elsewhere))")
            #expect(elsewhere?.reason.contains("AUSPEX_PACKAGE_FILE_HOSTS") == true)
            house.index.setFileHost(nil)
            await house.index.stop()
            let gone = await Self.failure { try await store.environment(for: RequirementsFile(parsing: "zeta"), python: house.python) }
            #expect(gone?.kind == .infra && gone?.reason.contains("cannot be reached") == true, "\(String(describing: gone))")
        }
    }

    @Test func aDiskThatIsFullIsOursAndLeavesNothing() async throws {
        guard geteuid() == 0 else { return print("skipped: a small disk needs root") }
        let disk = SandboxFixture.temporaryFolder
        defer {
            umount2(disk, Int32(MNT_DETACH))
            FileTree.remove(disk)
        }
        try #require(mount("small-disk", disk, "tmpfs", 0, "size=6m,mode=755") == 0, "no small disk can be mounted here")
        try await Self.withHouse(root: disk + "/environments") { house in
            try house.index.publish("alpha", "1.0", ballast: 8 << 20)
            let store = try house.store()
            let error = await Self.failure { try await store.environment(for: RequirementsFile(parsing: "alpha"), python: house.python) }
            #expect(error?.kind == .infra, "\(String(describing: error))")
            let folders = try house.folders()
            #expect(folders.ready.isEmpty && folders.making.isEmpty, "\(folders)")
            try #require(mount("small-disk", disk, nil, UInt(MS_REMOUNT), "size=200m") == 0)
            let next = try house.store()
            let environment = try await next.environment(for: RequirementsFile(parsing: "alpha"), python: house.python)
            #expect(environment.packages != nil)
        }
    }

    // MARK: Help

    private static func failure(_ body: () async throws -> PythonEnvironment) async -> EnvironmentError? {
        do {
            _ = try await body()
            return nil
        } catch { return error as? EnvironmentError ?? EnvironmentError(kind: .policy, reason: "another error: \(error)") }
    }

    /// Kills every program whose command line names a text; gives how many.
    private static func kill(programsNaming text: String) -> Int {
        var count = 0
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = pid_t(name), let line = FileManager.default.contents(atPath: "/proc/\(name)/cmdline") else { continue }
            let words = String(decoding: line, as: UTF8.self).split(separator: "\0")
            // uv itself, not the launcher and bwrap above it, whose arguments name the same.
            if words.first == "/opt/uv", words.contains(where: { $0.contains(text) }), Glibc.kill(pid, SIGKILL) == 0 { count += 1 }
        }
        return count
    }

    /// The number of a process that has ended.
    private static var deadProcess: pid_t {
        var pid = pid_t(4_000_000)
        while Glibc.kill(pid, 0) == 0 { pid -= 1 }
        return pid
    }
}
