import Contracts

/// What came of a run of the converter.
enum ConversionVerdict: Sendable {
    /// The table, without its parts, and the packed text.
    case table(TableConversionResult.Table, ArraySlice<UInt8>)
    /// The file cannot be used.
    case refused(TableConversionResult.Refusal)
    /// Something of ours went wrong, which is tried again.
    case failure(String)

    private struct Report: Decodable {
        var rows: Int64?
        var notes: [String]?
        var item: TableConversionResult.Item?
        var refused: TableConversionResult.Refusal?
    }

    private static let maximumNotes = 20

    /// Reads the verdict off the outcome of the sandbox. What a file does to its reader (takes all memory, all time, or crashes it) is the file's fault:
    /// another attempt would end the same.
    init(outcome: SandboxOutcome, limits: SandboxLimits) {
        if let stopped = Self.stopped(outcome, limits) {
            self = stopped
            return
        }
        let seconds = limits.wallTime.wholeMicroseconds / 1_000_000
        // The converter's first byte is a line end: without it the file has not been looked at.
        guard outcome.result.first == UInt8(ascii: "\n") else {
            self = .failure("the converter did not start (exit code \(outcome.exitCode)): \(outcome.log.text.prefix(utf8Bytes: 500))")
            return
        }
        let rest = outcome.result.dropFirst()
        guard outcome.exitCode == 0, let end = rest.firstIndex(of: UInt8(ascii: "\n")),
            let report = try? WireJSON.decode(Report.self, from: Array(rest[..<end]))
        else {
            let crashed = outcome.exitCode > 128 ? "signal \(outcome.exitCode - 128)" : "exit code \(outcome.exitCode)"
            self = .refused(.init(code: "damaged_file", detail: "The file breaks the program that reads it (\(crashed), within \(seconds) s)."))
            return
        }
        if let refused = report.refused {
            let isWord = (1...40).contains(refused.code.utf8.count) && refused.code.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == 0x5F }
            self = .refused(.init(code: isWord ? refused.code : "damaged_file", detail: FinishedJob.message(refused.detail)))
        } else if let rows = report.rows, rest[end...].count > 1 {
            let notes = (report.notes ?? []).prefix(Self.maximumNotes).map { String($0.prefix(utf8Bytes: 400)) }
            self = .table(.init(rows: rows, notes: notes, item: report.item.map(Self.bounded), parts: []), rest[(end + 1)...])
        } else {
            self = .failure("the converter's report cannot be read")
        }
    }

    /// What says so much comes from inside the sandbox, where a file may have done what it likes: none of it is taken at any length.
    private static func bounded(_ item: TableConversionResult.Item) -> TableConversionResult.Item {
        func short(_ text: String) -> String { String(text.prefix(utf8Bytes: 255)) }
        return .init(name: short(item.name), pystore: item.pystore, symbol: item.symbol.map(short), interval: item.interval.map(short))
    }

    private static func stopped(_ outcome: SandboxOutcome, _ limits: SandboxLimits) -> ConversionVerdict? {
        func refused(_ code: String, _ detail: String) -> ConversionVerdict { .refused(.init(code: code, detail: detail)) }
        let memory = refused("too_large", "Reading the file takes more than the \(limits.memoryBytes >> 20) MiB that a conversion may have.")
        switch outcome.killer {
        case .deadline: return refused("too_large", "Reading the file takes longer than \(limits.wallTime.wholeMicroseconds / 1_000_000) s.")
        case .resultFlood: return refused("too_large", "The table takes more than \(limits.resultBytes >> 20) MiB when packed.")
        case .logFlood: return refused("damaged_file", "The file makes the program that reads it say too much.")
        case .outside: return .failure("the conversion was ended from outside")
        case .order, nil: break
        }
        if outcome.outOfMemory { return memory }
        switch outcome.exitCode {
        case 128 + 24: return refused("too_large", "Reading the file takes more processor time than a conversion may have.")
        case 128 + 31: return refused("damaged_file", "The file makes the program that reads it do what is not allowed (SIGSYS).")
        // Without cgroups the kernel or the container killed it, and memory is what they kill for.
        case 128 + 9 where outcome.killer == nil: return memory
        default: return nil
        }
    }
}
