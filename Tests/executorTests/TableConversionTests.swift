import Contracts
import Cryptography
import FoundationEssentials
import Glibc
import JobWorker
import ServiceRuntime
import TestSupport
import Testing

@testable import executor

/// A foreign file from the claim of its job to the text: real sandbox, real packages; without uv or the index these tests say so and end.
@Suite(.serialized) struct TableConversionTests {
    private struct Bench {
        let platform: FakePlatform
        let environments: EnvironmentStore
        let fixture: SandboxFixture
        let python: PythonInterpreter

        /// A file that a program with pyarrow writes to descriptor 3.
        func file(_ program: String) async throws -> [UInt8] {
            let environment = try await environments.environment(lock: fixture.runtime.converterLock, python: python)
            let packages = try #require(environment.packages?.folder) + "/site"
            var limits = SandboxLimits.of(.standard, wallTime: .seconds(60))
            limits.resultBytes = 64 << 20
            let whole = """
                import sys, io, os; sys.path.append("/env")
                import pyarrow as pa, pyarrow.parquet as pq, pyarrow.feather as feather, warnings
                warnings.simplefilter("ignore")
                sink = io.BytesIO()
                \(program)
                data = memoryview(sink.getvalue())
                while data: data = data[os.write(3, data):]
                os._exit(0)
                """
            let outcome = try await fixture.sandbox.run(
                SandboxCommand(
                    arguments: [python.path, "-ISB", "-c", whole],
                    mounts: [SandboxMount(source: packages, target: "/env")],
                    environment: ["ARROW_DEFAULT_MEMORY_POOL": "system"],
                    limits: limits
                )
            )
            #expect(outcome.exitCode == 0, "\(outcome.log.text)")
            return outcome.result
        }
    }

    private func withConverter(_ body: (Bench) async throws -> Void) async throws {
        let environment = ProcessInfo.processInfo.environment
        let folders = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/uv" }
        let ours = SandboxFixture.packageRoot + "/var/tools/bin/uv"
        guard let uv = ([environment["AUSPEX_UV"] ?? "", ours] + folders).first(where: { access($0, X_OK) == 0 }) else {
            print("skipped: no uv on this machine (AUSPEX_UV or PATH), conversions were not tested")
            return
        }
        let fixture = try await SandboxFixture.shared.get()
        let root = SandboxFixture.temporaryFolder
        let environments = EnvironmentStore(
            root: root + "/environments",
            capacityBytes: 2 << 30,
            uv: uv,
            index: PackageIndex(environment: environment) { FileManager.default.contents(atPath: $0).map { String(decoding: $0, as: UTF8.self) } },
            sandbox: fixture.sandbox,
            cpu: fixture.cpu
        )
        try environments.prepare()
        let pythons = try await PythonInterpreter.discover(in: fixture.sandbox)
        let python = try #require(pythons.last { !$0.isPyPy })
        do {
            _ = try await environments.environment(lock: fixture.runtime.converterLock, python: python)
        } catch let error as EnvironmentError where error.kind == .infra {
            print("skipped: the package index cannot be reached (\(error.reason.prefix(200)))")
            return
        }
        let platform = try await FakePlatform()
        let worker = JobWorker(
            worker: "executor-test",
            scheduler: platform.client("scheduler"),
            classes: [.standard: 1],
            handlers: [
                TableConversionHandler(
                    files: ConversionFiles(marketdata: platform.client("marketdata")),
                    environments: environments,
                    pythons: pythons,
                    sandbox: fixture.sandbox,
                    runtime: fixture.runtime,
                    cpu: fixture.cpu
                )
            ],
            wakeups: platform,
            control: fixture.loops.control,
            loops: fixture.loops.serving,
            grace: .milliseconds(100)
        )
        do {
            try await worker.start()
            try await body(Bench(platform: platform, environments: environments, fixture: fixture, python: python))
        } catch {
            await worker.stop()
            throw error
        }
        await worker.stop()
        await platform.stop()
        FileTree.remove(root)
    }

    private func finished(_ platform: FakePlatform, _ attempt: AttemptID) async throws -> FinishedJob {
        try await eventuallyValue(timeout: .seconds(240)) { platform.read { $0.finished.first { $0.attemptID == attempt } } }
    }

    private func result(_ bench: Bench, of file: [UInt8], timeLimitSeconds: Int = 120) async throws -> (TableConversionResult, text: String) {
        let (attempt, upload) = try bench.platform.enqueue(conversionOf: file, timeLimitSeconds: timeLimitSeconds)
        let ended = try await finished(bench.platform, attempt)
        #expect(ended.outcome == .completed, "\(ended)")
        let result = try WireJSON.decode(TableConversionResult.self, from: try #require(ended.result))
        let parts = bench.platform.read { $0.tables[upload] ?? [] }
        #expect(result.table?.parts ?? [] == parts.map { SHA256.digest($0) })
        return (result, parts.isEmpty ? "" : try await plain(bench, Array(parts.joined())))
    }

    private func plain(_ bench: Bench, _ packed: [UInt8]) async throws -> String {
        let input = try InputFrame(bytes: packed.count)
        try input.write(packed, at: 0)
        try input.seal()
        let program = "import gzip, os; os.write(3, gzip.decompress(open(4, 'rb').read())); os._exit(0)"
        let limits = SandboxLimits.of(.small, wallTime: .seconds(60))
        let command = SandboxCommand(arguments: [bench.python.path, "-ISB", "-c", program], input: input, limits: limits)
        return String(decoding: try await bench.fixture.sandbox.run(command).result, as: UTF8.self)
    }

    private static let frame = """
        table = pa.table({"open": [1.1, 2.2], "high": [1.3, 2.4], "low": [1.0, 2.0], "close": [1.2, 2.3],
            "time": pa.array([1577836800000000000, 1577836860000000000], pa.timestamp("ns", "UTC"))})
        """

    @Test func parquetAndBothFeathersBecomeTheSameText() async throws {
        try await withConverter { bench in
            let expected = "open,high,low,close,time\n1.1,1.3,1,1.2,2020-01-01 00:00:00Z\n2.2,2.4,2,2.3,2020-01-01 00:01:00Z\n"
            for write in ["pq.write_table(table, sink)", "feather.write_feather(table, sink)"] {
                let (result, text) = try await result(bench, of: try await bench.file(Self.frame + "\n" + write))
                #expect(result.table?.rows == 2 && text == expected, "\(write): \(result)")
            }
            let old = try await bench.file(
                Self.frame + "\ntable = table.set_column(4, 'time', table['time'].cast(pa.int64()))\nfeather.write_feather(table, sink, version=1)"
            )
            #expect(old.starts(with: Array("FEA1".utf8)))
            let (result, text) = try await result(bench, of: old)
            #expect(result.table?.rows == 2 && text.hasPrefix("open,high,low,close,time\n1.1,1.3,1,1.2,1577836800000000000\n"), "\(result)")
            #expect(bench.platform.read { $0.jobTokens } == ["the-job-token"])
        }
    }

    @Test func hostileFilesEndAsRefusals() async throws {
        try await withConverter { bench in
            let whole = try await bench.file(Self.frame + "\npq.write_table(table, sink)")
            func refusal(_ file: [UInt8], timeLimitSeconds: Int = 120) async throws -> String? {
                try await result(bench, of: file, timeLimitSeconds: timeLimitSeconds).0.refused?.code
            }
            #expect(try await refusal(Array(whole.prefix(whole.count / 2))) == "damaged_file")
            #expect(try await refusal(Array("PAR1".utf8) + [UInt8](repeating: 0xFF, count: 5_000) + Array("PAR1".utf8)) == "damaged_file")
            #expect(try await refusal(Array("FEA1".utf8) + [UInt8](repeating: 0xFF, count: 5_000) + Array("FEA1".utf8)) == "damaged_file")
            #expect(try await refusal(Array("ARROW1\0\0".utf8) + [UInt8](repeating: 0x7F, count: 5_000) + Array("ARROW1".utf8)) == "damaged_file")
            #expect(try await refusal(Array("PARE".utf8) + [UInt8](repeating: 0, count: 100)) == "encrypted_file")
            // A billion rows that take no room: refused by their number.
            let bomb = try await bench.file(
                "w = pq.ParquetWriter(sink, pa.schema([('close', pa.float64())]))\n"
                    + "t = pa.table({'close': pa.array([1.0]*1000000)})\nfor _ in range(10): w.write_table(t)\nw.close()"
            )
            #expect(bomb.count < 1 << 20)
            #expect(try await refusal(bomb) == "too_large")
            // A short dictionary of long words, each row a mebibyte: more than any memory.
            let dictionary = try await bench.file(
                "word = pa.array(['x' * (1 << 20)])\ncolumn = pa.DictionaryArray.from_arrays(pa.array([0] * 60000, pa.int8()), word)\n"
                    + "pq.write_table(pa.table({'symbol': column, 'close': [1.0] * 60000}), sink)"
            )
            #expect(try await refusal(dictionary) == "too_large")
        }
    }

    /// The parts are held against the hash that the token names, and a part that is gone ends the job.
    @Test func otherPartsThanThoseOfTheFileAreNotRead() async throws {
        try await withConverter { bench in
            let (other, _) = try bench.platform.enqueue(conversionOf: Array("PAR1".utf8), claiming: SHA256.digest([1]))
            let wrong = try await finished(bench.platform, other)
            #expect(wrong.outcome == .failed && wrong.failureKind == .exception && wrong.errorMessage?.contains("not those of the file") == true)
            let (gone, _) = try bench.platform.enqueue(conversionOf: Array("PAR1".utf8), kept: false)
            #expect(try await finished(bench.platform, gone).outcome == .failed)
        }
    }

    /// Outcomes of the sandbox that are the file's fault, and those that are ours.
    @Test func whatStopsTheConverterIsTold() {
        let limits = SandboxLimits.of(.standard, wallTime: .seconds(5))
        func verdict(_ exitCode: Int, _ result: String, killer: SandboxOutcome.Killer? = nil, outOfMemory: Bool = false) -> String {
            let outcome = SandboxOutcome(
                exitCode: exitCode,
                killer: killer,
                outOfMemory: outOfMemory,
                hitProcessLimit: false,
                wallTime: .seconds(1),
                cpuSeconds: 1,
                memoryPeakBytes: 1,
                result: Array(result.utf8),
                log: CapturedLog(capacity: 1_024)
            )
            switch ConversionVerdict(outcome: outcome, limits: limits) {
            case .table(let table, let text): return "\(table.rows) \(String(decoding: text, as: UTF8.self))"
            case .refused(let refusal): return refusal.code
            case .failure: return "ours"
            }
        }
        let report = "\n{\"rows\": 2, \"columns\": [], \"notes\": [], \"item\": null}\ntext"
        #expect(verdict(0, report) == "2 text")
        #expect(verdict(0, "\n{\"refused\": {\"code\": \"several_items\", \"detail\": \"two\"}}\n") == "several_items")
        #expect(verdict(0, "\n{\"refused\": {\"code\": \"<b>\", \"detail\": \"x\"}}\n") == "damaged_file")
        let long = String(repeating: "n", count: 100_000)
        let wordy = "\n{\"rows\": 2, \"notes\": [\"\(long)\"], \"item\": {\"name\": \"\(long)\"}}\ntext"
        let spoken = SandboxOutcome(
            exitCode: 0,
            killer: nil,
            outOfMemory: false,
            hitProcessLimit: false,
            wallTime: .seconds(1),
            cpuSeconds: 1,
            memoryPeakBytes: 1,
            result: Array(wordy.utf8),
            log: CapturedLog(capacity: 1_024)
        )
        if case .table(let table, _) = ConversionVerdict(outcome: spoken, limits: limits) {
            #expect(table.item?.name.utf8.count == 255 && table.notes.map(\.utf8.count) == [400])
        } else {
            Issue.record("no table")
        }
        #expect(verdict(128 + 11, "\n") == "damaged_file")
        #expect(verdict(1, "\n") == "damaged_file")
        #expect(verdict(1, "") == "ours")
        #expect(verdict(0, "\n{\"rows\": 2}\n") == "ours")
        #expect(verdict(128 + 9, "\n", outOfMemory: true) == "too_large")
        #expect(verdict(128 + 9, report, killer: .deadline) == "too_large")
        #expect(verdict(128 + 9, report, killer: .resultFlood) == "too_large")
        #expect(verdict(128 + 31, "\n") == "damaged_file")
        #expect(verdict(128 + 9, report, killer: .outside) == "ours")
    }
}
