import Contracts
import FoundationEssentials
import Glibc
import Testing

@testable import executor

/// The executor in what an unprivileged container is made of: its own mounts and processes, control groups that can only be read, no capability, no new
/// privileges, and (in one of them) a masked `/proc`. Made by `unshare` and `setpriv`, because no container engine is at hand where tests run.
@Suite(.serialized, .enabled(if: geteuid() == 0 && getenv("AUSPEX_TESTS_IN_BOX") == nil, "only root can make a box"))
struct ContainerTests {
    private static let box = #"""
        exec unshare --mount --pid --fork --propagation private sh -c '
        mount -t proc proc /proc || exit 90
        awk "\$2 ~ /^\/sys\/fs\/cgroup/ {print \$2}" /proc/self/mounts | sort -r | while read -r folder; do mount -o remount,bind,ro "$folder" || exit 91; done || exit 91
        if [ "$BOX_MASKED" = 1 ]; then
            for file in kcore keys timer_list; do [ ! -e /proc/$file ] || mount --bind /dev/null /proc/$file || exit 92; done
            mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit 93
        fi
        exec setpriv --reuid "$BOX_USER" --regid "$BOX_USER" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"' sh "$@"
        """#

    private static func run(user: Int, masked: Bool = false, _ command: [String], _ more: [String: String] = [:]) throws -> (
        code: Int32, output: String
    ) {
        let environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "BOX_USER": "\(user)", "BOX_MASKED": masked ? "1" : "0"]
        let (code, output) = try ChildProcess.run(
            path: "/bin/sh",
            arguments: ["-c", box, "sh"] + command,
            environment: environment.merging(more) { $1 }
        )
        return (code, output)
    }

    /// What `doctor --json` says; a busy machine may make it log something before.
    private static func answer(_ output: String) throws -> JSONValue {
        try WireJSON.parse(Array((output.split(separator: "\n").last { $0.hasPrefix("{") } ?? "").utf8))
    }

    private static var doctor: [String] { [SandboxFixture.buildFolder + "/executor", "doctor", "--json"] }

    @Test func anOrdinaryUserInAContainerIsReduced() throws {
        let (code, output) = try Self.run(user: 10_001, Self.doctor)
        let answer = try Self.answer(output)
        #expect(code == 0 && answer["level"]?.string == "reduced", "\(output)")
        let groups = try #require(answer["probes"]?.array?.first { $0["name"]?.string == "cgroups" })
        #expect(groups["state"]?.string == "missing" && groups["remedy"]?.string?.contains("hand over a folder") == true)
        #expect(try Self.run(user: 10_001, Self.doctor, ["AUSPEX_SANDBOX_LEVEL": "full"]).code == 1)
    }

    @Test func behindAMaskedProcThereIsNoSandboxAndAWayOut() throws {
        let (code, output) = try Self.run(user: 10_001, masked: true, Self.doctor)
        let answer = try Self.answer(output)
        #expect(code == 1 && answer["level"] == .null, "\(output)")
        let proc = try #require(answer["probes"]?.array?.first { $0["name"]?.string == "proc" })
        #expect(proc["state"]?.string == "missing" && proc["remedy"]?.string?.contains("systempaths=unconfined") == true, "\(output)")
    }

    @Test func rootWithoutCapabilitiesIsToldToBeSomebodyElse() throws {
        let (code, output) = try Self.run(user: 0, Self.doctor)
        #expect(code == 1)
        #expect(output.contains("root without the capabilities") && output.contains("run it as an ordinary user"), "\(output)")
    }

    @Test func theAttacksAreContainedInAContainer() throws {
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let words = [program, "--testing-library", "swift-testing", "--filter", "executorTests.SandboxAttackTests"]
        let (code, output) = try Self.run(user: 10_001, words, ["AUSPEX_TESTS_IN_BOX": "1", "HOME": "/tmp"])
        let issues = output.split(separator: "\n").filter { $0.contains("recorded an issue") }.prefix(5).joined(separator: "\n")
        #expect(code == 0, "\(issues)\n\(output.suffix(500))")
        #expect(output.contains("memory bomb, reduced"), "the suite ran: \(output.prefix(500))")
    }
}
