import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import Testing

@testable import executor

/// What a hostile author could try, at both levels of isolation. Each attack prints what it got, and must have got nothing.
@Suite(.serialized) struct SandboxAttackTests {
    static let levels: [SandboxLevel] = [.full, .reduced]

    private static let fixtures = Fixtures()

    private actor Fixtures {
        private var made: [SandboxLevel: SandboxFixture] = [:]

        func get(_ level: SandboxLevel) async throws -> SandboxFixture? {
            if let known = made[level] { return known }
            let fixture = try await SandboxFixture.make(level: level, cgroupName: "auspex-attacks", firstUserID: 300_001)
            if level == .full, !SandboxHost.isComplete(fixture.sandbox.host.cgroups) {
                print("skipped: no cgroups on this machine, the level full was not tested")
                return nil
            }
            made[level] = fixture
            return fixture
        }
    }

    private func attack(
        _ level: SandboxLevel,
        _ app: String,
        change: (inout SandboxLimits) -> Void = { _ in },
        check: (RunVerdict, SandboxOutcome) throws -> Void
    ) async throws {
        guard let fixture = try await Self.fixtures.get(level) else { return }
        let (verdict, outcome) = try await fixture.run(app, change: change)
        try check(verdict, outcome)
        // Nothing is left behind: neither a group nor a process of the run's user.
        try await eventually { Self.leftovers(fixture).isEmpty }
        #expect(Self.leftovers(fixture).isEmpty)
    }

    private func eventually(_ condition: () -> Bool) async throws {
        for _ in 0..<6000 where !condition() { try await Task.sleep(for: .milliseconds(10)) }
    }

    private static func leftovers(_ fixture: SandboxFixture) -> [String] {
        var found: [String] = []
        for folder in fixture.sandbox.host.cgroups {
            let path = String(folder.value.drop { $0 != "/" })
            for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] where name.hasPrefix("\(getpid())-") {
                found.append("\(path)/\(name)")
            }
        }
        guard let first = fixture.sandbox.host.firstUserID else { return found }
        for pid in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] where pid.allSatisfy(\.isNumber) {
            var status = stat()
            if stat("/proc/\(pid)", &status) == 0, status.st_uid > first, status.st_uid < first + 100 { found.append("process \(pid)") }
        }
        return found
    }

    /// Runs statements that each must fail, and returns what did not.
    private static func attempts(_ body: String) -> String {
        """
        import os, socket, ctypes
        got = []
        def attempt(name, action):
            try:
                value = action()
                got.append(f"{name}: {value!r}"[:200])
            except (OSError, ValueError, PermissionError):
                pass
        \(body)
        def predict(context):
            if got:
                raise RuntimeError("; ".join(got))
            return None
        """
    }

    @Test(arguments: levels) func theNetworkIsNotThere(_ level: SandboxLevel) async throws {
        let app = Self.attempts(
            """
            def connect(family, address, kind=socket.SOCK_STREAM):
                s = socket.socket(family, kind); s.settimeout(2)
                if kind == socket.SOCK_DGRAM: return s.sendto(b"x", address)
                s.connect(address); return s.getpeername()
            attempt("postgres", lambda: connect(socket.AF_INET, ("127.0.0.1", 5432)))
            attempt("loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", 15999)))
            attempt("outside", lambda: connect(socket.AF_INET, ("1.1.1.1", 443)))
            attempt("datagram", lambda: connect(socket.AF_INET, ("8.8.8.8", 53), socket.SOCK_DGRAM))
            attempt("names", lambda: socket.getaddrinfo("example.org", 443))
            attempt("netlink", lambda: socket.socket(16, socket.SOCK_RAW, 0))
            attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
            attempt("packet", lambda: socket.socket(17, socket.SOCK_RAW))
            attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
            attempt("unix path", lambda: connect(socket.AF_UNIX, "/run/dbus/system_bus_socket"))
            attempt("unix abstract", lambda: connect(socket.AF_UNIX, "\\0/tmp/.X11-unix/X0"))
            """
        )
        try await attack(level, app) { verdict, _ in #expect(verdict.values == [] && verdict.failureKind == nil, "\(verdict)") }
    }

    @Test(arguments: levels) func theHostsFilesAndSecretsAreNotThere(_ level: SandboxLevel) async throws {
        setenv("AUSPEX_TEST_SECRET", "the-secret-of-the-host", 1)
        let app = Self.attempts(
            """
            def words(path):
                data = open(path, "rb").read(1 << 20)
                return data if b"the-secret-of-the-host" in data or b"AUSPEX" in data or b"root:" in data else (_ for _ in ()).throw(OSError())
            attempt("shadow", lambda: open("/etc/shadow").read())
            attempt("walk", lambda: open("/app/../../../../etc/shadow").read())
            attempt("root's home", lambda: os.listdir("/root"))
            attempt("homes", lambda: os.listdir("/home"))
            attempt("var", lambda: os.listdir("/var"))
            attempt("mnt", lambda: os.listdir("/mnt"))
            attempt("own environment", lambda: words("/proc/self/environ"))
            attempt("first process' environment", lambda: words("/proc/1/environ"))
            attempt("first process' command line", lambda: words("/proc/1/cmdline"))
            if any("SECRET" in key for key in os.environ): got.append(str(dict(os.environ)))
            if set(os.environ) - {"HOME", "PATH", "LANG", "PWD", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}: got.append(str(dict(os.environ)))
            others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) > 4]
            if others: got.append("processes " + " ".join(others))
            for number in range(3, 64):
                try: target = os.readlink(f"/proc/self/fd/{number}")
                except OSError: continue
                if number > 4 and not target.startswith(("/proc", "/app", "/usr", "/sdk", "/memfd:auspex-input", "socket:")): got.append(f"descriptor {number}: {target}")
            """
        )
        try await attack(level, app) { verdict, _ in #expect(verdict.failureKind == nil, "\(verdict)") }
    }

    @Test(arguments: levels) func nothingCanBeWrittenOutsideTheTemporaryFolder(_ level: SandboxLevel) async throws {
        let app = Self.attempts(
            """
            for path in ("/app/app.py", "/app/new", "/usr/bin/python3", "/usr/new", "/sdk/auspex/author.py", "/sdk/auspex/new.py", "/new", "/dev/new", "/etc/passwd", "/proc/sys/kernel/core_pattern"):
                attempt("write " + path, lambda: open(path, "w").write("x"))
            attempt("device", lambda: os.mknod("/tmp/device", 0o660 | 0o060000, os.makedev(254, 0)))
            attempt("input", lambda: os.pwrite(4, b"x", 0))
            attempt("input size", lambda: os.ftruncate(4, 0))
            open("/tmp/fine", "w").write("x")
            """
        )
        try await attack(level, app) { verdict, _ in #expect(verdict.failureKind == nil, "\(verdict)") }
    }

    @Test(arguments: levels) func dangerousSystemCallsAreRefused(_ level: SandboxLevel) async throws {
        let app = Self.attempts(
            """
            libc = ctypes.CDLL(None, use_errno=True)
            def call(*arguments):
                result = libc.syscall(*arguments)
                if result < 0: raise OSError(ctypes.get_errno(), "refused")
                return result
            attempt("unshare a user namespace", lambda: call(272, 0x10000000))
            attempt("mount", lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, 0))
            attempt("ptrace", lambda: call(101, 16, 1, 0, 0))
            attempt("bpf", lambda: call(321, 0, 0, 0))
            attempt("perf_event_open", lambda: call(298, 0, 0, -1, -1, 0))
            attempt("keyctl", lambda: call(250, 0, -3, 0))
            attempt("io_uring", lambda: call(425, 8, 0))
            attempt("userfaultfd", lambda: call(323, 1))
            attempt("reboot", lambda: call(169, 0xfee1dead, 672274793, 0x89abcdef, 0))
            attempt("setuid", lambda: os.setuid(0))
            attempt("chroot", lambda: os.chroot("/tmp"))
            os.setuid(os.getuid())
            """
        )
        try await attack(level, app) { verdict, _ in #expect(verdict.failureKind == nil, "\(verdict)") }
    }

    @Test(arguments: levels) func aForkBombIsHeld(_ level: SandboxLevel) async throws {
        let app = """
            import os, time
            def predict(context):
                count = 0
                while True:
                    try:
                        if os.fork() == 0:
                            while True:
                                try: os.fork()
                                except OSError: time.sleep(0.01)
                        count += 1
                    except OSError:
                        time.sleep(0.01)
            """
        try await attack(level, app, change: { $0.wallTime = .seconds(2) }) { verdict, outcome in
            #expect(verdict.failureKind == .timeLimit || verdict.failureKind == .outOfMemory, "\(verdict)")
            #expect(outcome.wallTime < .seconds(60))
        }
    }

    @Test(arguments: levels) func aMemoryBombEndsAsOutOfMemory(_ level: SandboxLevel) async throws {
        let app = "def predict(context):\n    hoard = []\n    while True: hoard.append(bytearray(16 << 20))\n"
        try await attack(level, app, change: { $0.memoryBytes = 256 << 20 }) { verdict, outcome in
            #expect(verdict.failureKind == .outOfMemory, "\(verdict)")
            #expect(outcome.memoryPeakBytes < 600 << 20)
        }
    }

    @Test(arguments: levels) func aMemoryBombOfManyProcessesEndsAsOutOfMemory(_ level: SandboxLevel) async throws {
        let app = """
            import os, time
            def predict(context):
                for _ in range(10):
                    if os.fork() == 0:
                        hoard = [bytearray(1 << 20) for _ in range(100)]
                        time.sleep(5)
                        os._exit(0)
                time.sleep(2)
            """
        try await attack(level, app, change: { $0.memoryBytes = 256 << 20 }) { verdict, _ in
            #expect(verdict.failureKind == .outOfMemory, "\(verdict)")
        }
    }

    @Test(arguments: levels) func theDiskCannotBeFilled(_ level: SandboxLevel) async throws {
        let app = """
            import os
            def fill(folder):
                written = 0
                for number in range(1000):
                    try:
                        with open(f"{folder}/{number}", "wb") as file:
                            for _ in range(64): written += file.write(bytes(1 << 20))
                    except OSError:
                        return written
                return written
            def predict(context):
                total = fill("/tmp") + fill("/dev/shm")
                if total > 200 << 20: raise RuntimeError(f"wrote {total} bytes")
            """
        try await attack(level, app) { verdict, _ in #expect(verdict.failureKind == nil, "\(verdict)") }
    }

    @Test(arguments: levels) func aFloodOfResultsIsCut(_ level: SandboxLevel) async throws {
        let app = "import os\ndef predict(context):\n    while True: os.write(3, b'x' * 65536)\n"
        try await attack(level, app) { verdict, outcome in
            #expect(verdict.failureKind == .invalidOutput && verdict.message.contains("larger than 1024 KiB"), "\(verdict)")
            #expect(outcome.result.count <= 1 << 20)
            #expect(outcome.wallTime < .seconds(60))
        }
    }

    @Test(arguments: levels) func aFloodOfOutputIsCut(_ level: SandboxLevel) async throws {
        let app = "def predict(context):\n    while True: print('x' * 10000)\n"
        try await attack(level, app) { verdict, outcome in
            #expect(verdict.failureKind == .policy, "\(verdict)")
            #expect(outcome.log.text.utf8.count <= 65536)
            #expect(outcome.wallTime < .seconds(60))
        }
    }

    @Test(arguments: levels) func aLoopThatIgnoresSignalsEnds(_ level: SandboxLevel) async throws {
        let app = """
            import signal
            for number in range(1, 65):
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            def predict(context):
                while True: pass
            """
        try await attack(level, app, change: { $0.wallTime = .seconds(1) }) { verdict, outcome in
            #expect(verdict.failureKind == .timeLimit, "\(verdict)")
            #expect(outcome.wallTime < .seconds(60))
        }
    }

    @Test(arguments: levels) func signalsReachNobodyOutside(_ level: SandboxLevel) async throws {
        let app = """
            import os, signal
            def predict(context):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                for target in (os.getppid(), 1, 2, 3):
                    try: os.kill(target, 9 if target not in (os.getpid(),) else 0)
                    except OSError: pass
                try: os.kill(-1, signal.SIGTERM)
                except OSError: pass
            """
        let before = getppid()
        try await attack(level, app) { _, _ in }
        #expect(kill(before, 0) == 0)
        guard let fixture = try await Self.fixtures.get(level) else { return }
        let (verdict, _) = try await fixture.run("def predict(context):\n    return None\n")
        #expect(verdict.failureKind == nil)
    }

    @Test(arguments: levels) func aDaemonDiesWithItsRun(_ level: SandboxLevel) async throws {
        let app = """
            import os, time
            def predict(context):
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        for number in range(0, 64):
                            try: os.close(number)
                            except OSError: pass
                        while True: time.sleep(1)
                    os._exit(0)
            """
        try await attack(level, app) { verdict, outcome in
            #expect(verdict.failureKind == nil, "\(verdict)")
            #expect(outcome.wallTime < .seconds(60))
        }
    }

    @Test(arguments: levels) func linksLeadNowhere(_ level: SandboxLevel) async throws {
        let app = Self.attempts(
            """
            os.symlink("/etc/shadow", "/tmp/link")
            os.symlink("/proc/1/root/etc/shadow", "/tmp/root")
            os.symlink("/proc/self/exe", "/tmp/exe")
            attempt("link", lambda: open("/tmp/link").read())
            attempt("first process' root", lambda: open("/tmp/root").read())
            attempt("first process' folder", lambda: os.listdir("/proc/1/cwd/../root"))
            attempt("program", lambda: open("/tmp/exe", "r+b"))
            attempt("hard link", lambda: os.link("/usr/bin/python3", "/tmp/hard"))
            attempt("result by file", lambda: os.symlink("/etc/shadow", "/app/result"))
            """
        )
        try await attack(level, app) { verdict, _ in #expect(verdict.failureKind == nil, "\(verdict)") }
    }

    @Test func aRunEndsWithItsExecutor() async throws {
        guard let fixture = try await Self.fixtures.get(.full) else { return }
        // A launcher whose control pipe ends: what happens when the executor is killed.
        let folder = SandboxFixture.temporaryFolder
        defer { FileTree.remove(folder) }
        let command = SandboxCommand(
            arguments: ["/usr/bin/python3", "-ISBc", "import os, time; os.write(3, b'up'); time.sleep(60)"],
            limits: .of(.small, wallTime: .seconds(60))
        )
        let arguments = LaunchArguments(command: command, host: fixture.sandbox.host).list(name: "\(getpid())-orphan", slot: 90)
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
        #expect(Self.leftovers(fixture).isEmpty)
        close(results.readEnd)
        close(status.readEnd)
    }
}
