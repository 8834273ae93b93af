import Contracts
import JobWorker
import Requirements
import ServiceRuntime

/// A kind of jobs whose work is a program in the sandbox: what is common to them stands here once, so that a new kind says no more than what it needs and
/// what its answer means.
///
/// The way of a job: its spec is read, ``prepare(_:_:_:)`` fetches inputs, code and environment and gives the program, the sandbox runs it (what it prints
/// goes to the job's live log), ``result(of:_:_:_:_:)`` says what came of it, and the use of the machine is noted. What goes wrong before or after is told
/// by ``failure(of:)``: a fault of ours is tried again, the code's is not.
protocol SandboxedHandler: JobHandler {
    /// What the job's specification says.
    associatedtype Spec: Decodable & Sendable
    /// What one run needs besides its program, from the fetch of its inputs to its verdict.
    associatedtype Prepared: Sendable = Void

    var sandbox: Sandbox { get }

    /// Why a specification that can be read is refused all the same; nil when it is not.
    func refusal(of spec: Spec) -> String?
    /// The program, complete, with what must stay as it is until the program has ended (leases of code and environments).
    func prepare(_ job: ClaimedJob, _ spec: Spec, _ reporter: JobReporter) async throws -> (SandboxCommand, Prepared)
    /// What came of it. The kernel's word comes before the program's: an answer of a run that was killed is not believed.
    func result(
        of outcome: SandboxOutcome,
        _ job: ClaimedJob,
        _ spec: Spec,
        _ prepared: Prepared,
        _ reporter: JobReporter
    ) async throws -> JobResult
    /// The kind's own word on an error; nil leaves it to the usual one.
    func failure(of error: any Error) -> JobResult?
}

extension SandboxedHandler {
    func refusal(of _: Spec) -> String? { nil }
    func failure(of _: any Error) -> JobResult? { nil }

    func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult {
        let spec: Spec
        do { spec = try WireJSON.decode(Spec.self, from: job.spec) } catch {
            return .failed(.policy, "the job's specification cannot be read: \(error)")
        }
        if let reason = refusal(of: spec) { return .failed(.policy, reason) }
        do {
            let (command, prepared) = try await prepare(job, spec, reporter)
            let outcome = try await sandbox.run(command) { reporter.log($0) }
            // A program that was told to stop has said nothing that counts.
            try Task.checkCancellation()
            var result = try await self.result(of: outcome, job, spec, prepared, reporter)
            withExtendedLifetime(prepared) {}
            result.note(outcome)
            return result
        } catch {
            return failure(of: error) ?? SandboxedFailure.result(of: error, job)
        }
    }
}

extension JobResult {
    /// Notes what a program used, and what it printed.
    mutating func note(_ outcome: SandboxOutcome) {
        cpuSeconds = outcome.cpuSeconds
        memoryPeakBytes = outcome.memoryPeakBytes
        log = outcome.log.text
        logTruncated = outcome.log.isTruncated
    }
}

/// Whose fault an error is that kept a program from being run or read.
enum SandboxedFailure {
    private static let logger = Logger("runs")

    static func result(of error: any Error, _ job: ClaimedJob) -> JobResult {
        switch error {
        case is CancellationError: return .failed(.infra, "the run was stopped")
        case let obstacle as RunObstacle: return .failed(obstacle.kind, obstacle.reason)
        case let error as EnvironmentError:
            var result = JobResult.failed(error.kind, error.reason)
            result.log = error.log.isEmpty ? nil : error.log
            return result
        case let error as RequirementsFile.Problem: return .failed(.policy, "\(error)")
        case CodeError.wrongBytes: return .failed(.infra, "\(error)")
        case is CodeError: return .failed(.policy, "\(error)")
        default:
            logger.error("a job could not be done", ["job_id": .string("\(job.jobID)"), "error": .string("\(error)")])
            // The error is about our machinery: its words are for the operator, who finds them in the log.
            return .failed(.infra, "the platform itself could not do this run; it is tried again")
        }
    }
}
