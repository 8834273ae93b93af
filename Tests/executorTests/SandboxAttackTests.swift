import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import TestSupport
import Testing

@testable import executor

/// What a hostile author could try (`Attacks/`), at both levels of isolation: each attack must end as its table says, in bounded time and memory, and
/// leave neither a process, a group, a mount nor a file behind.
@Suite(.serialized) struct SandboxAttackTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let attack: Attack
        let level: SandboxLevel
        var testDescription: String { "\(attack.name), \(level.rawValue)" }
    }

    static let cases = Attack.all.flatMap { attack in attack.levels.map { Case(attack: attack, level: $0) } }

    private static let fixtures = Fixtures()

    private actor Fixtures {
        private var made: [SandboxLevel: AttackedHost?] = [:]

        func get(_ level: SandboxLevel) async throws -> AttackedHost? {
            if let known = made[level] { return known }
            let fixture = try await SandboxFixture.make(
                level: level,
                cgroupName: "auspex-attacks",
                firstUserID: 310_001 + UInt32(getpid() % 500) * 128
            )
            if level == .full, !SandboxHost.isComplete(fixture.sandbox.host.cgroups) {
                print("skipped: no cgroups on this machine, the level full was not tested")
                made[level] = .some(nil)
                return nil
            }
            let attacked = try AttackedHost(fixture)
            made[level] = attacked
            return attacked
        }
    }

    @Test func theSuiteIsWhole() {
        #expect(Set(Attack.all.map(\.name)).count == Attack.all.count)
        #expect(Attack.all.count >= 77, "17 attacks and 60 probes at least: \(Attack.all.count)")
    }

    @Test(arguments: cases) func anAttackIsContained(_ attacked: Case) async throws {
        guard let host = try await Self.fixtures.get(attacked.level) else { return }
        try await host.attack(attacked.attack)
    }

    @Test(arguments: [SandboxLevel.full, .reduced]) func whatIsPrintedIsShownHarmlessly(_ level: SandboxLevel) async throws {
        guard let host = try await Self.fixtures.get(level), let attack = Attack.all.first(where: { $0.name.hasPrefix("lines that pretend") }) else {
            return
        }
        let (_, outcome) = try await host.fixture.run(attack.app)
        let text = outcome.log.text
        #expect(text.contains("the master key is 1234"), "the words stay, as the author's")
        for scalar in text.unicodeScalars {
            #expect(scalar == "\n" || scalar == "\t" || !HarmlessText.isDangerous(scalar), "U+\(String(scalar.value, radix: 16))")
        }
    }

    @Test func aRunEndsWithItsExecutor() async throws {
        guard let attacked = try await Self.fixtures.get(.full) else { return }
        let fixture = attacked.fixture
        // A launcher whose control pipe ends: what happens when the executor is killed.
        let folder = SandboxFixture.temporaryFolder
        defer { FileTree.remove(folder) }
        let command = SandboxCommand(
            arguments: ["/usr/bin/python3", "-ISBc", "import os, signal; os.write(3, b'up'); signal.pause()"],
            limits: .of(.small, wallTime: .seconds(60))
        )
        var host = fixture.sandbox.host
        host.filter = nil
        let arguments = LaunchArguments(command: command, host: host).list(name: "\(getpid())-orphan", slot: 90)
        let (results, status, control) = (try Pipe(), try Pipe(), try Pipe())
        let null = open("/dev/null", O_RDWR)
        let pid = try ChildProcess.spawn(
            path: fixture.sandbox.host.launcher,
            arguments: arguments,
            environment: [:],
            descriptors: [null, null, null, results.writeEnd, null, status.writeEnd, control.readEnd, null]
        )
        for descriptor in [results.writeEnd, status.writeEnd, control.readEnd, null] { close(descriptor) }
        var word: [UInt8] = [0, 0]
        #expect(read(results.readEnd, &word, 2) == 2)
        close(control.writeEnd)
        var text = [UInt8](repeating: 0, count: 4096)
        let count = read(status.readEnd, &text, text.count)
        #expect(String(decoding: text[..<max(0, count)], as: UTF8.self).contains("killed=orphaned"))
        try await eventually { ChildProcess.collect(pid) }
        #expect(attacked.leftovers().isEmpty)
        close(results.readEnd)
        close(status.readEnd)
    }
}
