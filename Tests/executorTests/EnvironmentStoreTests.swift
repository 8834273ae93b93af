import Contracts
import FoundationEssentials
import Glibc
import Requirements
import Testing

@testable import executor

/// Environments from the real package index; without uv or the index these tests say so and end.
@Suite(.serialized) struct EnvironmentStoreTests {
    static func installer() -> String? {
        let environment = ProcessInfo.processInfo.environment
        let folders = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/uv" }
        let ours = SandboxFixture.packageRoot + "/var/tools/bin/uv"
        return ([environment["AUSPEX_UV"] ?? "", ours] + folders).first { access($0, X_OK) == 0 }
    }

    private static func withStore(_ body: (EnvironmentStore, SandboxFixture, PythonInterpreter) async throws -> Void) async throws {
        guard let uv = installer() else {
            print("skipped: no uv on this machine (AUSPEX_UV or PATH), environments were not tested")
            return
        }
        let fixture = try await SandboxFixture.shared.get()
        let index = PackageIndex(environment: ProcessInfo.processInfo.environment) { path in
            FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
        }
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        let store = EnvironmentStore(root: root, capacityBytes: 2 << 30, uv: uv, index: index, sandbox: fixture.sandbox, cpu: fixture.cpu)
        try store.prepare()
        let python = try #require(try await PythonInterpreter.discover(in: fixture.sandbox).first)
        do {
            _ = try await store.environment(for: try RequirementsFile(parsing: "tzdata"), python: python)
        } catch let error as EnvironmentError where error.kind == .infra {
            print("skipped: the package index cannot be reached (\(error.reason.prefix(200)))")
            return
        }
        try await body(store, fixture, python)
    }

    @Test func twoSignalsHaveTheirOwnVersions() async throws {
        try await Self.withStore { store, fixture, python in
            let app = """
                import numpy
                from auspex import Prediction
                def predict(context):
                    bars = context.bars()
                    assert isinstance(bars.close, numpy.ndarray) and not bars.close.flags.owndata and not bars.close.flags.writeable
                    return Prediction(numpy.__version__.split(".")[0] if bars.close.mean() > 600 else "0")
                """
            let output = ManifestOutput(kind: .price, instrument: "BTCUSD", horizonSeconds: 60)
            var hashes: Set<SHA256Digest> = []
            for (requirement, major) in [("numpy<2", "1"), ("numpy>=2", "2")] {
                let environment = try await store.environment(for: try RequirementsFile(parsing: requirement), python: python)
                hashes.insert(environment.sha256)
                let (verdict, outcome) = try await fixture.run(app, environment: environment, output: output)
                #expect(verdict.values == [major], "\(verdict) \(outcome.log.text)")
            }
            #expect(hashes.count == 2)
        }
    }

    @Test func framesOfPandasWork() async throws {
        try await Self.withStore { store, fixture, python in
            let app = """
                from auspex import Prediction
                def predict(context):
                    frame = context.bars().frame()
                    assert list(frame.columns) == ["open", "high", "low", "close", "volume"] and str(frame.index.tz) == "UTC"
                    assert frame.index[-1].isoformat() == "2016-10-08T12:00:45+00:00", frame.index[-1]
                    return Prediction(1 if frame.close.rolling(context.parameters["window"]).mean().iloc[-1] < frame.close.iloc[-1] else -1)
                """
            let environment = try await store.environment(for: try RequirementsFile(parsing: "pandas\nnumpy"), python: python)
            let again = try await store.environment(for: try RequirementsFile(parsing: "numpy  # the same\npandas"), python: python)
            #expect(environment.sha256 == again.sha256)
            for level in [SandboxLevel.full, .reduced] {
                let levelled = level == .full ? fixture : try await SandboxFixture.make(level: .reduced)
                let (verdict, outcome) = try await levelled.run(app, environment: environment)
                #expect(verdict.values == ["1"], "\(verdict) \(outcome.log.text)")
            }
        }
    }

    @Test func whatCannotBeInstalledIsTheAuthorsFault() async throws {
        try await Self.withStore { store, _, python in
            for text in ["auspex-no-such-package-here==9", "numpy==1.0.999", "numpy<2\npandas==3.0.0\nnumpy>=2"] {
                do {
                    _ = try await store.environment(for: try RequirementsFile(parsing: text), python: python)
                    Issue.record("\(text) was installed")
                } catch let error as EnvironmentError {
                    #expect(error.kind == .exception, "\(error)")
                    #expect(error.reason.contains("requirements.txt: resolving failed"))
                }
            }
        }
    }

    @Test func sourcePackagesAreNeverBuilt() async throws {
        try await Self.withStore { store, _, python in
            // Published as source only; building it would run its setup.
            do {
                _ = try await store.environment(for: try RequirementsFile(parsing: "sklearn==0.0.post12"), python: python)
                Issue.record("a source package was installed")
            } catch let error as EnvironmentError {
                #expect(error.reason.contains("wheel"), "\(error)")
                #expect(!error.reason.contains("build backend"), "\(error)")
            }
        }
    }

    @Test func executorsWithOtherUsersShareOneFolder() async throws {
        guard let uv = Self.installer() else { return print("skipped: no uv on this machine, environments were not tested") }
        let root = SandboxFixture.temporaryFolder
        defer { FileTree.remove(root) }
        let index = PackageIndex(environment: ProcessInfo.processInfo.environment) { path in
            FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
        }
        for (number, (first, package)) in [(UInt32(200_001), "tzdata"), (UInt32(210_001), "six")].enumerated() {
            let fixture = try await SandboxFixture.make(level: nil, cgroupName: "auspex-share-\(number)", firstUserID: first)
            let store = EnvironmentStore(root: root, capacityBytes: 1 << 30, uv: uv, index: index, sandbox: fixture.sandbox, cpu: fixture.cpu)
            try store.prepare()
            let python = try #require(try await PythonInterpreter.discover(in: fixture.sandbox).first)
            do {
                _ = try await store.environment(for: try RequirementsFile(parsing: package), python: python)
            } catch let error as EnvironmentError where number == 0 && error.kind == .infra {
                return print("skipped: the package index cannot be reached (\(error.reason.prefix(200)))")
            }
        }
    }

    @Test func thePlainInterpreterNeedsNothing() async throws {
        let fixture = try await SandboxFixture.shared.get()
        let index = PackageIndex(environment: [:]) { _ in nil }
        let store = EnvironmentStore(root: "/nonexistent", capacityBytes: 0, uv: nil, index: index, sandbox: fixture.sandbox, cpu: fixture.cpu)
        let python = PythonInterpreter(series: "3.11", version: "3.11.2", path: "/usr/bin/python3.11")
        let environment = try await store.environment(for: .none, python: python)
        #expect(environment.packages == nil)
        await #expect(throws: EnvironmentError.self) { try await store.environment(for: try RequirementsFile(parsing: "numpy"), python: python) }
    }

    @Test func theMachinesPipSettingsAreUsed() {
        let files = [
            "/etc/pip.conf": "[global]\nindex-url = https://packages.example/simple\nextra-index-url = https://a.example\n    https://b.example\n",
            "/ca.pem": "certificates",
        ]
        let index = PackageIndex(environment: ["SSL_CERT_FILE": "/ca.pem", "HTTPS_PROXY": "http://proxy:3128"]) { files[$0] }
        #expect(index.url == "https://packages.example/simple")
        #expect(index.extraURLs == ["https://a.example", "https://b.example"])
        #expect(index.certificates == "/ca.pem")
        #expect(index.proxies == ["HTTPS_PROXY": "http://proxy:3128"])
        #expect(PackageIndex(environment: ["PIP_INDEX_URL": "https://own.example"]) { files[$0] }.url == "https://own.example")
    }
}
