import Contracts
import Testing

@testable import executor

/// The command line of a run: what is found on the machine, and the order on which bubblewrap insists.
@Suite struct LaunchArgumentsTests {
    private static func host(_ level: SandboxLevel, _ cgroups: String, user: UInt32?) -> SandboxHost {
        SandboxHost(launcher: "/l", cgroups: SandboxHost.parse(probe: cgroups), level: level, systemRoot: "/", firstUserID: user)
    }

    private static func command(_ purpose: SandboxCommand.Purpose = .run) -> SandboxCommand {
        SandboxCommand(
            arguments: ["/usr/bin/python3", "x"],
            mounts: [SandboxMount(source: "/srv/closed/code", target: "/app")],
            environment: ["NAME": "value"],
            purpose: purpose,
            limits: .of(.small, wallTime: .seconds(60))
        )
    }

    private static func value(of option: String, in list: [String]) -> String? {
        list.firstIndex(of: option).map { list[$0 + 1] }
    }

    @Test func bothGenerationsOfCgroupsAreUnderstood() {
        let first = SandboxHost.parse(probe: "cgroup-v1 memory=/a/x\ncgroup-v1 pids=/b/x\ncgroup-v1 cpu=/c/x\n")
        #expect(SandboxHost.isComplete(first) && first.count == 3)
        let second = SandboxHost.parse(probe: "cgroup-v2 /sys/fs/cgroup/auspex\n")
        #expect(SandboxHost.isComplete(second) && second[0].option == "--cgroup-v2")
        #expect(!SandboxHost.isComplete(SandboxHost.parse(probe: "cgroup-v1 memory=/a/x\nsomething else\n")))
        #expect(SandboxHost.parse(probe: "").isEmpty)
    }

    @Test func aRunAsRootHasAUserOfItsSlotAndARootOfTheLauncher() {
        let host = Self.host(.full, "cgroup-v2 /g", user: 200_001)
        let list = LaunchArguments(command: Self.command(), host: host).list(name: "7-1", slot: 3)
        #expect(Self.value(of: "--uid", in: list) == "200005")
        #expect(Self.value(of: "--system", in: list) == "/")
        #expect(Self.value(of: "--show", in: list) == "/app=/srv/closed/code")
        #expect(!list.contains("--show-writable") && !list.contains("--device"))
        #expect(Self.value(of: "--cgroup-v2", in: list) == "/g")
        #expect(Self.value(of: "--wall-milliseconds", in: list) == "60000")
        #expect(!list.contains("--share-net"))
        let forBubblewrap = list[list.firstIndex(of: "--")!...]
        #expect(!forBubblewrap.contains("/srv/closed/code"), "bubblewrap could not pass the closed folder")
        #expect(forBubblewrap.filter { $0.hasSuffix("bind") && $0 != "--ro-bind" }.count == 1, "it binds the finished root, and covers files")
    }

    @Test func aRunIsUnderTheFilterOfTheHost() throws {
        var host = Self.host(.full, "cgroup-v2 /g", user: 200_001)
        #expect(!LaunchArguments(command: Self.command(), host: host).list(name: "7-1", slot: 3).contains("--filter-at"))
        host.filter = try SystemCallFilter(compiledBy: SandboxFixture.buildFolder + "/sandbox-launch")
        #expect(Self.value(of: "--filter-at", in: LaunchArguments(command: Self.command(), host: host).list(name: "7-1", slot: 3)) == "8")
    }

    @Test func aBuildHasItsOwnerAndNoNetworkEither() {
        let host = Self.host(.full, "cgroup-v2 /g", user: 200_001)
        let list = LaunchArguments(command: Self.command(.build(userID: 4711)), host: host).list(name: "7-1", slot: 3)
        #expect(Self.value(of: "--uid", in: list) == "4711" && !list.contains("--share-net"))
    }

    @Test func anOrdinaryUserKeepsItsUserAndItsPaths() {
        let list = LaunchArguments(command: Self.command(), host: Self.host(.reduced, "", user: nil)).list(name: "7-1", slot: 0)
        #expect(!list.contains("--system") && !list.contains("--show") && !list.contains("--cgroup-v1"))
        #expect(list.contains("/srv/closed/code"))
        #expect(Self.value(of: "--memory-bytes", in: list) == "\(512 << 20)", "the launcher looks at it by itself")
    }

    @Test func everyMountComesBeforeTheRootIsMadeReadOnly() throws {
        let list = LaunchArguments(command: Self.command(), host: Self.host(.reduced, "", user: nil)).list(name: "7-1", slot: 0)
        let remount = try #require(list.indices.last { list[$0] == "--remount-ro" && list[$0 + 1] == "/" })
        let lastMount = try #require(list.indices.last { ["--ro-bind", "--bind", "--tmpfs", "--proc", "--dev", "--symlink"].contains(list[$0]) })
        #expect(lastMount < remount)
        #expect(list.suffix(3) == ["--", "/usr/bin/python3", "x"])
    }

    @Test func theLauncherIsToldWhatIsWritableAndWhatIsADevice() {
        var command = Self.command()
        command.mounts.append(SandboxMount(source: "/srv/builds", target: "/build-root", writable: true))
        command.devices = ["/dev/nvidia0"]
        let list = LaunchArguments(command: command, host: Self.host(.reduced, "", user: 200_001)).list(name: "7-1", slot: 0)
        #expect(Self.value(of: "--show-writable", in: list) == "/build-root=/srv/builds")
        #expect(Self.value(of: "--device", in: list) == "/dev/nvidia0" && list.filter { $0 == "/dev/nvidia0" }.count == 1)
    }

    @Test func theEnvironmentIsNotOnTheCommandLine() {
        var command = Self.command(.build(userID: nil))
        command.environment = ["UV_DEFAULT_INDEX": "https://user:secret@packages.example/simple"]
        let arguments = LaunchArguments(command: command, host: Self.host(.reduced, "", user: nil))
        let list = arguments.list(name: "7-1", slot: 0)
        #expect(!list.contains { $0.contains("secret") || $0 == "--setenv" })
        #expect(Self.value(of: "--environment-at", in: list) == "7")
        let said = String(decoding: arguments.environment(), as: UTF8.self)
        #expect(said.contains("--setenv\0UV_DEFAULT_INDEX\0https://user:secret@packages.example/simple\0"))
        #expect(said.hasPrefix("--setenv\0HOME\0/tmp\0") && said.hasSuffix("\0"))
    }
}
