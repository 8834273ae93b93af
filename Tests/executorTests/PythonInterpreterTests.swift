import Contracts
import FoundationEssentials
import Glibc
import Testing

@testable import executor

/// Pythons side by side, each in a sandbox of its own.
@Suite struct PythonInterpreterTests {
    private static let app = """
        import sys
        from auspex import signal, Prediction
        @signal
        def predict(context):
            bars = context.bars()
            assert len(bars) == 200 and bars.close[-1] > bars.close[0] and bars.time[-1] - bars.time[-2] == 15_000_000
            assert list(bars.close[-2:]) == [bars.close[-2], bars.close[-1]]
            print(sys.implementation.name, "%d.%d" % sys.version_info[:2])
            return Prediction(1, instrument="BTCUSD")
        """

    private static func plain(_ python: PythonInterpreter) -> PythonEnvironment {
        PythonEnvironment(sha256: SHA256Digest(bytes: [UInt8](repeating: 0, count: 32))!, python: python, packages: nil)
    }

    @Test func theSystemsPythonsAreNamedAsManifestsAskForThem() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let pythons = try await PythonInterpreter.discover(in: fixture.sandbox)
        let cpython = try #require(pythons.first { !$0.isPyPy })
        #expect(cpython.series.hasPrefix("3.") && cpython.version.hasPrefix(cpython.series + ".") && cpython.path.hasPrefix("/usr/bin/python3."))
        #expect(cpython.reported.answers(to: cpython.series) && cpython.reported.answers(to: cpython.version))
        #expect(!cpython.reported.answers(to: "3") && !cpython.reported.answers(to: "pypy" + cpython.series))
        #expect(pythons.allSatisfy { WorkerPython.isName($0.series) && WorkerPython.isName($0.version) })
        #expect(Set(pythons.map(\.series)).count == pythons.count)
    }

    @Test func cpythonAndPyPyRunAtOnce() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let pythons = try await PythonInterpreter.discover(in: fixture.sandbox)
        guard let pypy = pythons.first(where: \.isPyPy) else { return print("skipped: no pypy3 on this machine (apt-get install pypy3)") }
        let cpython = try #require(pythons.first { !$0.isPyPy })
        for _ in 0..<3 {
            async let one = fixture.run(Self.app, environment: Self.plain(cpython))
            async let other = fixture.run(Self.app, environment: Self.plain(pypy))
            let (first, second) = try await (one, other)
            #expect(first.verdict.values == ["1"] && second.verdict.values == ["1"], "\(first.verdict) \(second.verdict) \(second.outcome.log.text)")
            #expect(first.outcome.log.text.hasPrefix("cpython \(cpython.series)"))
            #expect(second.outcome.log.text.hasPrefix("pypy \(pypy.series.dropFirst(4))"))
        }
    }

    @Test func theAuthorsFaultsAreToldAlikeOnPyPy() async throws {
        let fixture = try await SandboxFixture.shared.get()
        guard let pypy = try await PythonInterpreter.discover(in: fixture.sandbox).first(where: \.isPyPy) else { return }
        let cases: [(String, FailureKind, String)] = [
            ("def predict(context):\n    raise ValueError('no')", .exception, "ValueError: no"),
            ("def predict(context):\n    return 'x'", .invalidOutput, ""),
            ("def predict(context):\n    context.bars().close[0] = 1.0\n    return 1", .exception, "TypeError"),
            ("import os\nos._exit(3)", .exception, "3"),
        ]
        for (app, kind, words) in cases {
            let (verdict, outcome) = try await fixture.run(app, environment: Self.plain(pypy))
            #expect(verdict.failureKind == kind && verdict.message.contains(words), "\(app): \(verdict) \(outcome.log.text)")
        }
    }

    /// A Python that lies outside the system, as pyenv or uv put it.
    @Test func aPythonOfAFolderOfItsOwnRuns() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let system = try #require(try await PythonInterpreter.discover(in: fixture.sandbox).first { !$0.isPyPy })
        // The system's own, copied to a folder as an installation of its own.
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        let name = "python" + system.series
        for folder in ["bin", "lib"] { try FileManager.default.createDirectory(atPath: "\(root)/own/\(folder)", withIntermediateDirectories: true) }
        // By another process: a program that another test starts while we write would keep the file open, and nobody may execute it meanwhile.
        for (from, to) in [("/usr/bin/" + name, "bin"), ("/usr/lib/" + name, "lib")] {
            let copy = try ChildProcess.run(path: "/bin/cp", arguments: ["-a", from, "\(root)/own/\(to)/\(name)"])
            #expect(copy.exitCode == 0, "\(copy.output)")
        }
        chmod("\(root)/own", 0o755)
        // The system's stays where both have the same series; alone the other one is found.
        let both = try await PythonInterpreter.discover(in: fixture.sandbox, folders: [root + "/own/bin"])
        #expect(both.first { $0.series == system.series } == system)
        let own = PythonInterpreter(series: system.series, version: system.version, path: "/python/bin/\(name)", folder: root + "/own")
        let app = """
            import os, sys
            from auspex import Prediction
            def predict(context):
                assert sys.executable.startswith("/python/"), sys.executable
                assert os.__file__.startswith("/python/lib/"), os.__file__
                try:
                    open("/python/stranger", "w")
                    return Prediction(-1)
                except OSError:
                    return Prediction(1)
            """
        let (verdict, outcome) = try await fixture.run(app, environment: Self.plain(own))
        #expect(verdict.values == ["1"], "\(verdict) \(outcome.log.text)")
    }

    @Test(arguments: ["3.11", "3.9", "3.13.0", "pypy3.9", "pypy3.10.14"])
    func namesThatAManifestMayHave(name: String) { #expect(WorkerPython.isName(name)) }

    @Test(arguments: ["", "3", "3.8", "2.7", "3.011", "3.11.", "3.11.2.1", "pypy", "pypy3", "cpython3.11", "3.x", "3.11 ", "python3.11", "3.1٣"])
    func namesThatNoPythonHas(name: String) { #expect(!WorkerPython.isName(name)) }
}
