import Bars
import Contracts
import HTTPServing
import JobWorker
import ServiceRuntime

/// Does `resample_all` jobs: asks the reader for each standard interval of a stretch, which leaves the answers where later questions look for them.
struct ResampleAllHandler: JobHandler {
    let reader: BarReader
    let time: any TimeSource

    var kinds: [String] { [JobKind.resampleAll.rawValue] }

    func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult {
        guard let spec = try? WireJSON.decode(ResampleAllSpec.self, from: job.spec), let wanted = ResampleQuestions(spec) else {
            return .failed(.exception, "the job does not say what to make")
        }
        let end = time.monotonicNanoseconds() + UInt64(max(1, job.timeLimitSeconds)) * 1_000_000_000
        var made: [JSONValue] = []
        var leftOut: [JSONValue] = []
        for (index, interval) in StandardIntervals.all.enumerated() {
            // Nobody waits for this: each interval takes its turn among the heavy reads anew, and what is stopped stops between two.
            guard !Task.isCancelled else { return Self.stopped }
            guard time.monotonicNanoseconds() < end else { return .failed(.timeLimit, "the job took longer than \(job.timeLimitSeconds) s") }
            do {
                for question in wanted.questions(interval) { _ = try await reader.read(question, for: .platform, isAhead: true) }
                made.append(.string(interval.text))
            } catch is CancellationError {
                return Self.stopped
            } catch let error as MarketdataError {
                guard let reason = Self.reason(error) else { return Self.failure(error) }
                leftOut.append(["interval": .string(interval.text), "reason": .string(reason)])
            } catch {
                return .failed(.infra, "\(error)")
            }
            reporter.progress((index + 1) * 100 / StandardIntervals.all.count)
        }
        return .completed(["made": .array(made), "left_out": .array(leftOut)])
    }

    private static let stopped = JobResult.failed(.infra, "the job was stopped")

    /// Why one interval cannot be had while the others can; nil when it is not about the interval.
    private static func reason(_ error: MarketdataError) -> String? {
        switch error {
        case .intervalNotAvailable, .tooManyBaseRows: error.problem.code
        default: nil
        }
    }

    /// A full house may have room in a while; what else the reader refuses, it refuses again.
    private static func failure(_ error: MarketdataError) -> JobResult {
        .failed(error == .tooManyHeavyReads ? .infra : .exception, error.problem.detail)
    }
}
