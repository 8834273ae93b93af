import Contracts

/// What came of one run of an author's code.
enum RunVerdict: Sendable {
    /// It returned rows that keep the manifest's promise.
    case rows([PredictionRow], stagesMs: [String: Double])
    /// It failed, with the kind that decides whether it is tried again, and words for its author.
    case failure(FailureKind, String)

    /// Reads the verdict off the outcome of the sandbox.
    ///
    /// The kernel's word comes before the program's: an answer of a run that was killed for memory is not believed.
    init(outcome: SandboxOutcome, limits: SandboxLimits, level: SandboxLevel, check: RowCheck) {
        if let failure = Self.stopped(outcome, limits, level) {
            self = failure
            return
        }
        self = Self.read(outcome, check)
    }

    private static func stopped(_ outcome: SandboxOutcome, _ limits: SandboxLimits, _ level: SandboxLevel) -> RunVerdict? {
        let megabytes = limits.memoryBytes >> 20
        switch outcome.killer {
        case .deadline: return .failure(.timeLimit, "the run took longer than \(limits.wallTime.wholeMicroseconds / 1_000_000) s")
        case .logFlood: return .failure(.policy, "the code printed more than \(limits.floodBytes >> 20) MiB")
        case .resultFlood: return .failure(.invalidOutput, "the result is larger than \(limits.resultBytes >> 10) KiB")
        case .outside: return .failure(.infra, "the run was ended from outside")
        case .order, nil: break
        }
        if outcome.outOfMemory { return .failure(.outOfMemory, "the run needs more memory than the \(megabytes) MiB of its class") }
        switch outcome.exitCode {
        case 128 + 24: return .failure(.timeLimit, "the run used more processor time than its class allows")
        case 128 + 31: return .failure(.policy, "the code made a system call that is not allowed (SIGSYS)")
        // Without cgroups nobody counts: the kernel or the container killed it, and memory is what they kill for.
        case 128 + 9 where level == .reduced && outcome.killer == nil:
            return .failure(.outOfMemory, "the run was killed, most likely because it needs more memory than its class has")
        default: return nil
        }
    }

    private static func read(_ outcome: SandboxOutcome, _ check: RowCheck) -> RunVerdict {
        // The runner's first byte is a line end: without it the author's code has not begun.
        guard outcome.result.first == UInt8(ascii: "\n") else {
            let said = outcome.log.text.prefix(utf8Bytes: 500)
            return .failure(.infra, "the runner did not start (exit code \(outcome.exitCode)): \(said)")
        }
        guard outcome.result.count > 1 else { return .failure(.exception, endedEarly(outcome)) }
        guard let answer = try? WireJSON.parse(Array(outcome.result.dropFirst())) else {
            return .failure(.invalidOutput, "the answer on the result pipe is not one JSON document")
        }
        if let error = answer["error"] { return failure(error) }
        guard let values = answer["rows"]?.array else { return .failure(.invalidOutput, "the answer on the result pipe has no rows") }
        do throws(InvalidOutput) {
            return .rows(try check.rows(values), stagesMs: stages(answer["stages_ms"]))
        } catch {
            return .failure(.invalidOutput, FinishedJob.message(error.description))
        }
    }

    private static func failure(_ error: JSONValue) -> RunVerdict {
        let kinds: [String: FailureKind] = ["exception": .exception, "invalid_output": .invalidOutput, "out_of_memory": .outOfMemory]
        let kind = error["kind"]?.string.flatMap { kinds[$0] } ?? .exception
        return .failure(kind, FinishedJob.message(error["message"]?.string ?? "the code failed without a message"))
    }

    private static func stages(_ value: JSONValue?) -> [String: Double] {
        var stages: [String: Double] = [:]
        for name in ["import", "predict"] {
            if let milliseconds = value?[name]?.double, milliseconds.isFinite, milliseconds >= 0 { stages[name] = milliseconds }
        }
        return stages
    }

    private static func endedEarly(_ outcome: SandboxOutcome) -> String {
        let names = [4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM", 25: "SIGXFSZ"]
        if outcome.exitCode > 128 {
            let signal = outcome.exitCode - 128
            return "the code was ended by signal \(signal)\(names[signal].map { " (\($0))" } ?? "") before it returned"
        }
        return "the code ended the process with exit code \(outcome.exitCode) before it returned"
    }
}
