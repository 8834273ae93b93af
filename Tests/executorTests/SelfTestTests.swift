import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// What the executor finds out about its machine, says of it, and refuses.
@Suite(.serialized) struct SelfTestTests {
    private static var doctor: String { SandboxFixture.buildFolder + "/executor" }

    private static func run(_ script: String, _ environment: [String: String] = [:]) throws -> (code: Int32, output: String) {
        var variables = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "EXECUTOR": doctor, "AUSPEX_CGROUP_NAME": "auspex-doctor"]
        variables.merge(environment) { $1 }
        let (code, output) = try ChildProcess.run(path: "/bin/sh", arguments: ["-c", script], environment: variables)
        return (code, output)
    }

    private static func probe(_ name: String, in output: String) throws -> JSONValue {
        return try #require(try WireJSON.parse(Array(output.utf8))["probes"]?.array?.first { $0["name"]?.string == name }, "\(output)")
    }

    // MARK: Groups

    @Test func groupsThatAKilledLauncherLeftAreRemoved() throws {
        let probe = {
            let (_, output) = try ChildProcess.run(path: SandboxFixture.buildFolder + "/sandbox-launch", arguments: ["probe", "auspex-sweep"])
            return SandboxHost.parse(probe: output).map { String($0.value.drop { $0 != "/" }) }
        }
        let folders = try probe()
        for folder in folders {
            for name in ["7-old-1", "7-new-2"] { #expect(mkdir("\(folder)/\(name)", 0o755) == 0) }
            let hourAgo = timeval(tv_sec: time(nil) - 3600, tv_usec: 0)
            #expect(utimes("\(folder)/7-old-1", [hourAgo, hourAgo]) == 0)
        }
        #expect(try probe() == folders)
        for folder in folders {
            // A new one may be of a launcher that is about to put its command there.
            #expect(access("\(folder)/7-old-1", F_OK) != 0 && access("\(folder)/7-new-2", F_OK) == 0)
            for name in ["7-new-2", ""] { rmdir("\(folder)/\(name)") }
        }
    }

    // MARK: doctor

    @Test func doctorSaysHowStrongTheSandboxIs() throws {
        let (code, output) = try Self.run(#"exec "$EXECUTOR" doctor --json 2>/dev/null"#)
        let answer = try WireJSON.parse(Array(output.utf8))
        let level = try #require(answer["level"]?.string, "\(output)")
        #expect(code == 0 && answer["works"] == .bool(true) && ["full", "reduced"].contains(level))
        for name in ["launcher", "bubblewrap", "python", "user namespaces", "proc", "seccomp"] + ContainmentTrial.checks {
            #expect(try Self.probe(name, in: output)["state"]?.string == "ok", "\(name)")
        }
        #expect(try Self.probe("landlock", in: output)["state"]?.string == "info")
        #expect(answer["capacity"]?["memory_bytes"]?.integer ?? 0 > 0 && answer["classes"]?["signal"]?["slots"]?.integer ?? 0 > 0)
        #expect(answer["pythons"]?.array?.isEmpty == false)
    }

    @Test func doctorShowsATableWithWhatToDo() throws {
        let (code, output) = try Self.run(#"exec "$EXECUTOR" doctor"#, ["AUSPEX_SANDBOX_LAUNCHER": "/nonexistent/sandbox-launch"])
        #expect(code == 1)
        let lines = output.split(separator: "\n").map(String.init)
        let row = try #require(
            lines.firstIndex { $0.hasPrefix("missing  launcher") && $0.hasSuffix("/nonexistent/sandbox-launch is no program") },
            "\(output)"
        )
        #expect(lines[row + 1].contains("→ build it (swift build) or name it by AUSPEX_SANDBOX_LAUNCHER"))
        #expect(lines.last == "level: none, the executor will not work here")
    }

    @Test func anUnknownWordIsRefused() throws {
        #expect(try Self.run(#"exec "$EXECUTOR" doctor --xml"#).code == 64)
    }

    // MARK: Failing closed

    @Test(.enabled(if: geteuid() == 0)) func withoutBubblewrapThereIsNoSandbox() throws {
        let (code, output) = try Self.run(
            #"exec unshare -m sh -c 'mount --bind /dev/null /usr/bin/bwrap && exec "$EXECUTOR" doctor --json 2>/dev/null'"#
        )
        #expect(code == 1)
        #expect(try Self.probe("bubblewrap", in: output)["remedy"]?.string == "install the package bubblewrap")
    }

    @Test(.enabled(if: geteuid() == 0)) func withoutUserNamespacesThereIsNoSandbox() throws {
        let script =
            #"exec unshare -U -r sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-setuid "$EXECUTOR" doctor --json 2>/dev/null'"#
        let (code, output) = try Self.run(script)
        #expect(code == 1, "\(output)")
        #expect(output.contains(#""works":false"#), "\(output)")
    }

    @Test func belowTheDemandedLevelItSaysSo() throws {
        // An executor whose launcher finds no groups: those of a machine that lends none.
        let fake = SandboxFixture.temporaryFolder
        defer { FileTree.remove(fake) }
        let launcher = "\(fake)/sandbox-launch"
        let text = "#!/bin/sh\n[ \"$1\" = probe ] && exit 0\nexec \(SandboxFixture.buildFolder)/sandbox-launch \"$@\"\n"
        // By another process: a sandbox that another test starts while we write would keep the file open, and nobody may execute it meanwhile.
        let script = #"printf %s "$1" > "$2" && chmod 755 "$2""#
        #expect(try ChildProcess.run(path: "/bin/sh", arguments: ["-c", script, "sh", text, launcher]).exitCode == 0)
        let (code, output) = try Self.run(#"exec "$EXECUTOR" doctor"#, ["AUSPEX_SANDBOX_LAUNCHER": launcher, "AUSPEX_SANDBOX_LEVEL": "full"])
        #expect(
            code == 1 && output.hasSuffix("level: reduced, but AUSPEX_SANDBOX_LEVEL demands full: the executor will not work here\n"),
            "\(output)"
        )
        #expect(try Self.run(#"exec "$EXECUTOR" doctor"#, ["AUSPEX_SANDBOX_LAUNCHER": launcher]).code == 0)
    }

    @Test func theServiceDoesNotStartBelowTheDemandedLevel() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let configuration = SandboxConfiguration(
            launcher: "/nonexistent/sandbox-launch",
            leastLevel: .reduced,
            systemRoot: "/",
            firstUserID: 200_001,
            cgroupName: "auspex-tests"
        )
        do {
            _ = try await SandboxDetection(configuration: configuration, loops: fixture.loops.serving, cpu: fixture.cpu).require()
            Issue.record("it would have started")
        } catch let error as SandboxError {
            #expect("\(error)".contains("no sandbox works on this machine") && "\(error)".contains("AUSPEX_SANDBOX_LAUNCHER"), "\(error)")
        }
    }

    // MARK: While it runs

    @Test func aSandboxThatStopsWorkingStopsTheClaims() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let complaint = Mutex<String?>(nil)
        let resources = ResourceManager(plan: try CapacityPlan(settings: CapacitySettings(), machine: .plenty, gpus: 0))
        let readiness = Readiness()
        let watch = SandboxWatch(
            host: fixture.sandbox.host,
            report: fixture.report,
            interval: .seconds(3600),
            resources: resources,
            readiness: readiness,
            time: SystemTimeSource(),
            loop: fixture.loops.control,
            trial: { complaint.withLock { $0 } }
        )
        try await watch.start()
        #expect(readiness.report().ready)
        #expect(readiness.report().states[0].detail.contains("level \(fixture.sandbox.host.level.rawValue)"), "\(readiness.report())")
        #expect(readiness.report().states[0].detail.contains("launcher ok"))
        complaint.withLock { $0 = "no network: there are lo eth0" }
        await watch.look()
        #expect(!readiness.report().ready && readiness.report().states[0].detail.contains("eth0"))
        #expect(resources.room(beside: [:]).isEmpty)
        #expect(Metrics.shared.render().contains("auspex_sandbox_works 0"))
        complaint.withLock { $0 = nil }
        // A run that could not start makes it look at once, long before its time.
        watch.trouble()
        try await eventually { readiness.report().ready }
        #expect(readiness.report().ready && !resources.room(beside: [:]).isEmpty)
        #expect(Metrics.shared.render().contains("auspex_sandbox_works 1"))
        await watch.stop()
    }

    @Test func aTrialFindsWhatIsWrong() async throws {
        let fixture = try await SandboxFixture.shared.get()
        #expect(await ContainmentTrial(host: fixture.sandbox.host, loops: fixture.loops.serving, cpu: fixture.cpu).run().complaint == nil)
        var broken = fixture.sandbox.host
        broken.maskedFiles = []
        let complaint = await ContainmentTrial(host: broken, loops: fixture.loops.serving, cpu: fixture.cpu).run().complaint
        #expect(complaint == "kernel's command line hidden: /proc/cmdline can be read")
        broken.launcher = "/nonexistent"
        #expect(await ContainmentTrial(host: broken, loops: fixture.loops.serving, cpu: fixture.cpu).run().complaint != nil)
    }

    // MARK: Groups of both generations

    private static func launch(_ arguments: [String]) throws -> [String] {
        try ChildProcess.run(path: SandboxFixture.buildFolder + "/sandbox-launch", arguments: arguments + ["--", "--", "x"]).output
            .split(separator: "\n").map(String.init)
    }

    private static let bounds = ["--memory-bytes", "1000000", "--processes", "64", "--cpu-thousandths", "1500"]

    @Test func theSecondGenerationIsGivenEveryBound() throws {
        #expect(
            try Self.launch(["limits", "--name", "7-1", "--cgroup-v2", "/g"] + Self.bounds) == [
                "/g/7-1/memory.max = 1000000", "/g/7-1/memory.swap.max = 0 (if there)", "/g/7-1/memory.oom.group = 1 (if there)",
                "/g/7-1/pids.max = 64",
                "/g/7-1/cpu.max = 150000 100000",
            ]
        )
    }

    @Test func theFirstGenerationIsGivenEveryBound() throws {
        #expect(
            try Self.launch(["limits", "--name", "7-1", "--cgroup-v1", "memory=/m", "--cgroup-v1", "pids=/p", "--cgroup-v1", "cpu=/c"] + Self.bounds)
                == [
                    "/m/7-1/memory.limit_in_bytes = 1000000", "/m/7-1/memory.memsw.limit_in_bytes = 1000000 (if there)",
                    "/m/7-1/memory.swappiness = 0 (if there)", "/p/7-1/pids.max = 64", "/c/7-1/cpu.cfs_period_us = 100000",
                    "/c/7-1/cpu.cfs_quota_us = 150000",
                ]
        )
    }

    @Test func bothGenerationsAreReadAlike() throws {
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        func write(_ path: String, _ text: String) throws {
            let folder = "\(root)/\(path.split(separator: "/").dropLast().joined(separator: "/"))"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(filePath: "\(root)/\(path)"))
        }
        try write("two/r/memory.peak", "4096000\n")
        try write("two/r/memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 1\n")
        try write("two/r/pids.events", "max 17\n")
        try write("one/memory/r/memory.max_usage_in_bytes", "4096000\n")
        try write("one/memory/r/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
        try write("one/pids/r/pids.events", "max 17\n")
        let said = ["memory_peak_bytes=4096000 out_of_memory_kills=3 process_limit_hits=17"]
        #expect(try Self.launch(["usage", "--name", "r", "--cgroup-v2", "\(root)/two"]) == said)
        #expect(
            try Self.launch(["usage", "--name", "r", "--cgroup-v1", "memory=\(root)/one/memory", "--cgroup-v1", "pids=\(root)/one/pids"]) == said
        )
        // A kernel before 5.19 has no memory.peak: the launcher then says what it saw of the processes.
        #expect(
            try Self.launch(["usage", "--name", "r", "--cgroup-v2", "\(root)/none"]) == [
                "memory_peak_bytes=0 out_of_memory_kills=0 process_limit_hits=0"
            ]
        )
    }

    /// A run without its filter would be one that nobody contains: an empty one is not taken for a filter that allows all.
    @Test func anEmptyFilterRefusesTheRun() throws {
        let compiled = try ChildProcess.output(path: SandboxFixture.buildFolder + "/sandbox-launch", arguments: ["filter"])
        // Eight bytes an instruction, and more of them than a handful.
        #expect(compiled.exitCode == 0 && compiled.bytes.count > 800 && compiled.bytes.count % 8 == 0)
        let (status, control) = (try Pipe(), try Pipe())
        let null = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
        let pid = try ChildProcess.spawn(
            path: SandboxFixture.buildFolder + "/sandbox-launch",
            arguments: ["run", "--name", "one", "--filter-at", "8", "--", "--unshare-user", "--ro-bind", "/", "/", "--", "/usr/bin/true"],
            environment: [:],
            descriptors: [null, null, null, null, null, status.writeEnd, control.readEnd, null, null]
        )
        for end in [status.writeEnd, control.readEnd, null] { close(end) }
        var answer = [UInt8](repeating: 0, count: 1024)
        let count = read(status.readEnd, &answer, answer.count)
        #expect(String(decoding: answer[..<max(0, count)], as: UTF8.self).hasPrefix("error=empty seccomp filter"))
        for end in [status.readEnd, control.writeEnd] { close(end) }
        var code: Int32 = 0
        while waitpid(pid, &code, 0) < 0, errno == EINTR {}
    }

    // MARK: Places

    /// What the launcher says of options that it refuses. They are looked at before anything else, so nothing is run.
    @Test(arguments: [
        (["--show", "/app=/srv", "--show", "/app=/srv"], "one place below another: /app"),
        (["--show", "/app=/srv", "--show", "/app/models=/srv"], "one place below another: /app/models"),
        (["--show", "/app/models=/srv", "--show-writable", "/app=/srv"], "one place below another: /app"),
        (["--device", "/dev/dri/card0", "--device", "/dev/dri"], "one place below another: /dev/dri"),
        (["--device", "/dev/nvidia0", "--device", "/dev/nvidia0"], "one place below another: /dev/nvidia0"),
        (["--show", "/usr=/srv"], "place of the system: /usr"), (["--show", "/usr/share/x=/srv"], "place of the system: /usr/share/x"),
        (["--show", "/lib/x=/srv"], "place of the system: /lib/x"), (["--show", "/tmp/x=/srv"], "place of the system: /tmp/x"),
        (["--show-writable", "/dev/x=/srv"], "place of the system: /dev/x"), (["--show", "/proc/self=/srv"], "place of the system: /proc/self"),
        (["--show", "/=/srv"], "bad place: /"), (["--show", "/app/=/srv"], "bad place: /app/"), (["--show", "//app=/srv"], "bad place: //app"),
        (["--show", "/app/../usr=/srv"], "bad place: /app/../usr"), (["--show", "app=/srv"], "bad place: app"),
        (["--device", "/srv/nvidia0"], "bad device: /srv/nvidia0"), (["--device", "/dev"], "bad device: /dev"),
        (["--device", "/dev/../etc"], "bad device: /dev/../etc"), (["--device", "/dev//sda"], "bad device: /dev//sda"),
        (["--device", "/dev/fd/0"], "device of the system: /dev/fd/0"), (["--device", "/dev/shm"], "device of the system: /dev/shm"),
    ])
    func aPlaceThroughAnotherIsRefused(options: [String], complaint: String) throws {
        let (code, output) = try ChildProcess.run(
            path: SandboxFixture.buildFolder + "/sandbox-launch",
            arguments: ["limits", "--name", "7-1"] + options + ["--", "--", "x"]
        )
        #expect(code == 64 && output == "sandbox-launch: \(complaint)\n")
    }

    @Test func everyPlaceOfTheExecutorsIsTaken() throws {
        let places = ["/app", "/sdk", "/env", "/python", "/build-root", "/opt/uv", "/etc/certificates.pem", "/application", "/usrlocal"]
        // More devices than any machine has: the launcher has room for what its command line holds.
        let devices = (0..<200).map { "/dev/nvidia\($0)" } + ["/dev/nvidia-uvm", "/dev/dri/card0", "/dev/dri/renderD128"]
        let options = places.flatMap { ["--show", "\($0)=/srv"] } + devices.flatMap { ["--device", $0] }
        #expect(try Self.launch(["limits", "--name", "7-1", "--cgroup-v2", "/g"] + options).allSatisfy { $0.hasPrefix("/g/7-1/") })
    }

    /// A container may forbid the newer calls for mounts although its kernel has them, or have a kernel that has only some.
    @Test(.enabled(if: geteuid() == 0), arguments: [[428, 442], [442]], [EPERM, ENOSYS])
    func withoutTheNewerCallsARunIsContainedAsWell(forbidden: [Int], code: Int32) async throws {
        let fixture = try await SandboxFixture.shared.get()
        let folder = SandboxFixture.temporaryFolder
        defer { FileTree.remove(folder) }
        let launcher = "\(folder)/sandbox-launch"
        let text = """
            #!/usr/bin/python3 -ISB
            import ctypes, os, struct, sys
            forbidden = \(forbidden)
            # Load the call's number; for each that is forbidden: the error if it is this one; else allow.
            program = struct.pack("HBBI", 0x20, 0, 0, 0)
            for number in forbidden: program += struct.pack("HBBI", 0x15, 0, 1, number) + struct.pack("HBBI", 0x06, 0, 0, 0x50000 | \(code))
            program += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
            buffer = ctypes.create_string_buffer(program)
            filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
            assert ctypes.CDLL(None).prctl(22, 2, ctypes.c_char_p(filter), 0, 0) == 0
            os.execv("\(SandboxFixture.buildFolder)/sandbox-launch", ["sandbox-launch"] + sys.argv[1:])
            """
        let script = #"printf %s "$1" > "$2" && chmod 755 "$2""#
        #expect(try ChildProcess.run(path: "/bin/sh", arguments: ["-c", script, "sh", text, launcher]).exitCode == 0)
        var host = fixture.sandbox.host
        host.launcher = launcher
        #expect(await ContainmentTrial(host: host, loops: fixture.loops.serving, cpu: fixture.cpu).run().complaint == nil)
    }

    /// Where a tree of the second generation is mounted, with controllers or without: a folder of our own in it.
    private static let secondGeneration: String? = {
        let mounts = FileManager.default.contents(atPath: "/proc/self/mounts").map { String(decoding: $0, as: UTF8.self) } ?? ""
        let mount = mounts.split(separator: "\n").map { $0.split(separator: " ") }.first { $0.count > 2 && $0[2] == "cgroup2" }?[1]
        guard let mount, geteuid() == 0 else { return nil }
        let folder = "\(mount)/auspex-born-\(getpid())"
        return mkdir(folder, 0o755) == 0 ? folder : nil
    }()

    @Test(.enabled(if: secondGeneration != nil)) func theProcessesOfARunAreBornInItsGroup() async throws {
        let folder = try #require(Self.secondGeneration)
        defer { rmdir(folder) }
        let (input, status, control) = (try Pipe(), try Pipe(), try Pipe())
        var open = [input.writeEnd, status.readEnd, control.writeEnd]
        defer { for end in open { close(end) } }
        let null = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
        let system = ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
        let pid = try ChildProcess.spawn(
            path: SandboxFixture.buildFolder + "/sandbox-launch",
            arguments: ["run", "--name", "one", "--cgroup-v2", folder, "--uid", "200990", "--", "--unshare-user", "--unshare-all"] + system
                + ["--", "/usr/bin/cat"],
            environment: [:],
            descriptors: [input.readEnd, null, null, null, null, status.writeEnd, control.readEnd]
        )
        for end in [input.readEnd, status.writeEnd, control.readEnd, null] { close(end) }
        // The end of the pipes ends the run, and the launcher sweeps before it goes, whatever the test came to.
        defer {
            for end in open { close(end) }
            open = []
            var code: Int32 = 0
            while waitpid(pid, &code, 0) < 0, errno == EINTR {}
        }
        let members = {
            let text = FileManager.default.contents(atPath: "\(folder)/one/cgroup.procs").map { String(decoding: $0, as: UTF8.self) } ?? ""
            return text.split(separator: "\n").map { pid in
                String(decoding: FileManager.default.contents(atPath: "/proc/\(pid)/comm") ?? Data(), as: UTF8.self)
            }
        }
        try await eventually { members().contains("cat\n") }
        // bubblewrap outside, the first process inside, and the command: all of them, and the launcher not.
        #expect(members().sorted() == ["bwrap\n", "bwrap\n", "cat\n"])
        close(open.removeFirst())
        var answer = [UInt8](repeating: 0, count: 1024)
        let count = read(status.readEnd, &answer, answer.count)
        let report = String(decoding: answer[..<max(0, count)], as: UTF8.self)
        #expect(report.hasPrefix("exit=0 signal=0 killed=no") && report.hasSuffix(" born=1\n"), "\(report)")
        try await eventually { access("\(folder)/one", F_OK) != 0 }
    }
}
