import Contracts
import Testing

@Suite struct CallGoldenTests {
    static let calls: [(String, any (Codable & Sendable).Type)] = [
        ("bulk-request", BulkRequest.self), ("bulk-receipt", BulkReceipt.self), ("batch-request", BatchRequest.self),
        ("batch-receipt", BatchReceipt.self), ("job-request", JobRequest.self), ("job-receipt", JobReceipt.self),
        ("claim-request", ClaimRequest.self),
        ("claim-answer", ClaimAnswer.self), ("renew-request", RenewRequest.self), ("renew-answer", RenewAnswer.self),
        ("finish-request", FinishRequest.self), ("finish-answer", FinishAnswer.self), ("release-request", ReleaseRequest.self),
        ("run-spec", SignalRunSpec.self), ("resample-all-spec", ResampleAllSpec.self), ("table-conversion-spec", TableConversionSpec.self),
        ("table-conversion-result", TableConversionResult.self), ("run-result-quantiles", SignalRunResult.self),
        ("manifest-cron", Manifest.self),
        ("manifest-interval", Manifest.self), ("manifest-session", Manifest.self), ("credit-block-request", CreditBlockRequest.self),
        ("credit-block-answer", CreditBlockAnswer.self), ("credit-return", CreditReturn.self), ("worker-report", WorkerReport.self),
        ("workers-answer", WorkersAnswer.self),
    ]

    @Test(arguments: calls.map(\.0)) func readingAndWritingGivesTheSample(name: String) throws {
        let type = try #require(Self.calls.first { $0.0 == name }?.1)
        let sample = try GoldenFolder.sample("call.\(name)")
        #expect(try WireJSON.parse(try rewritten(sample, as: type)) == sample)
    }

    @Test func everySampleIsRead() throws {
        let samples = try GoldenFolder.names().filter { $0.hasPrefix("call.") }
        #expect(samples == Self.calls.map { "call.\($0.0)" }.sorted())
    }

    @Test func aClaimedJobCarriesItsSpec() throws {
        let answer = try WireJSON.decode(ClaimAnswer.self, from: try GoldenFolder.sample("call.claim-answer"))
        let job = try #require(answer.jobs.first)
        #expect(job.kind == .signalRun && job.resourceClass == .signal && job.priority == .high)
        let spec = try WireJSON.decode(SignalRunSpec.self, from: job.spec)
        #expect(spec.manifest.schedule == .barClose(instrument: "BTCUSD", interval: "15s"))
        #expect(spec.manifest.parameters["fastLength"] == 12)
        #expect(JobSpecSummary(of: spec).output == spec.manifest.output)
    }

    @Test("A manifest from before there were policies has none, and one without any is written as it was") func defaultsOfPolicies() throws {
        let cron = try WireJSON.decode(Manifest.self, from: try GoldenFolder.sample("call.manifest-cron"))
        #expect(cron.policy == SchedulePolicy())
        #expect(try WireJSON.value(of: cron)["policy"] == nil)
        let partial = try WireJSON.decode(SchedulePolicy.self, from: ["overlap": "buffer_all", "catch_up_seconds": 60])
        #expect(partial == SchedulePolicy(overlap: .bufferAll, catchUpSeconds: 60))
    }

    @Test func onlyOurFaultsAreRetried() {
        #expect(FailureKind.allCases.filter(\.isRetried) == [.infra, .lostWorker, .queueTimeout])
        #expect(Priority.allCases.sorted() == [.low, .normal, .high, .urgent])
        #expect(JobState.allCases.filter(\.isTerminal) == [.completed, .failed, .cancelled])
    }

    private func rewritten<Value: Codable>(_ sample: JSONValue, as type: Value.Type) throws -> [UInt8] {
        try WireJSON.encode(try WireJSON.decode(type, from: sample))
    }
}
