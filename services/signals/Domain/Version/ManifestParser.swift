import Contracts
import Schedules

/// Turns `auspex.toml` into a ``Contracts/Manifest``, or into the list of everything that is wrong with it.
enum ManifestParser {
    static let maximumInputs = 20
    /// As many bars as marketdata gives in one answer.
    static let maximumLookback = 50_000
    static let maximumHorizonSeconds = 366 * 86_400
    /// The manifest travels inside an event, which has at most 64 KiB.
    static let maximumParameterBytes = 8 * 1024

    enum Outcome: Sendable {
        case manifest(Manifest)
        case problems([UploadProblem])
    }

    static func parse(_ bytes: [UInt8]) -> Outcome {
        let members: [String: JSONValue]
        do {
            members = try TOMLText.parse(bytes).object ?? [:]
        } catch {
            let place = error.line > 0 ? ":\(error.line):\(error.column)" : ""
            return .problems([UploadProblem(code: "bad_toml", field: "\(ProjectFile.manifest)\(place)", message: error.message)])
        }
        var reader = ManifestReader(members)
        let manifest = read(&reader)
        reader.refuseUnknownKeys()
        guard let manifest, reader.problems.isEmpty else { return .problems(reader.problems) }
        return .manifest(manifest)
    }

    private static func read(_ reader: inout ManifestReader) -> Manifest? {
        let name = reader.string("name", expected: "a name of 1 to 120 characters") { !$0.isEmpty && $0.count <= 120 }
        let entryPoint = reader.string("entry_point", default: "app:predict", expected: "module:function, such as \"app:predict\"") {
            isEntryPoint($0)
        }
        let python = reader.string("python", default: "3.11", expected: "a Python such as \"3.11\", \"3.11.2\" or \"pypy3.9\"") {
            WorkerPython.isName($0)
        }
        let resourceClass = reader.word("class", default: ResourceClass.small, among: [.small, .standard, .large, .gpu])
        let deadline = reader.integer("deadline_seconds", default: 60, range: 1...86_400, expected: "seconds after the due time")
        let schedule = reader.table("schedule", expected: "when the signal runs") { table in
            // Both are read, so that the faults of both are told.
            let cadence = readSchedule(&table)
            let policy = SchedulePolicyReader.read(&table, of: cadence, deadlineSeconds: deadline)
            return cadence.map { (cadence: $0, policy: policy) }
        }
        let inputs = reader.tables("inputs", maximum: maximumInputs, expected: "the bars that the signal reads") { readInput(&$0) }
        let output = reader.table("output", expected: "what the signal predicts") { readOutput(&$0) }
        let parameters = reader.value("parameters", optional: true, expected: "a table of the author's own") ?? .object([:])
        if WireJSON.encode(parameters).count > maximumParameterBytes {
            reader.report("parameters", "has at most \(maximumParameterBytes) bytes as JSON")
        }
        if parameters.object == nil { reader.report("parameters", "must be a table") }
        for fault in DeclaredParameters.faults(in: parameters) { reader.report("parameters.\(fault.field)", fault.reason) }
        guard let schedule, let output, let resourceClass else { return nil }
        return Manifest(
            name: name,
            entryPoint: entryPoint,
            python: python,
            class: resourceClass,
            deadlineSeconds: deadline,
            schedule: schedule.cadence,
            policy: schedule.policy,
            inputs: inputs,
            output: output,
            parameters: parameters
        )
    }

    private enum ScheduleKind: String, CaseIterable { case interval, cron, barClose = "bar_close", session }

    private static func readSchedule(_ reader: inout ManifestReader) -> Cadence? {
        switch reader.word("kind", among: ScheduleKind.allCases) {
        case .interval:
            return .interval(seconds: reader.integer("seconds", range: 1...Cadence.maximumIntervalSeconds, expected: "seconds between two runs"))
        case .cron:
            let expression = reader.string("expression", expected: "a cron expression such as \"30 2 * * mon-fri\"") { !$0.isEmpty }
            let zone = reader.string("zone", default: "UTC", expected: "an IANA time zone, such as \"Europe/Berlin\"") { !$0.isEmpty }
            // Each by itself, so that both faults are told.
            if !expression.isEmpty { check(.cron(expression: expression, zone: "UTC"), "expression", &reader) }
            check(.cron(expression: "@daily", zone: zone), "zone", &reader)
            return .cron(expression: expression, zone: zone)
        case .barClose:
            let (instrument, interval) = (instrument("instrument", &reader), interval("interval", &reader))
            if !interval.isEmpty { check(.barClose(instrument: "any", interval: interval), "interval", &reader) }
            return .barClose(instrument: instrument, interval: interval)
        case .session: return SessionCadenceReader.read(&reader)
        case nil: return nil
        }
    }

    /// Holds a cadence to the rules by which it will be armed.
    private static func check(_ cadence: Cadence, _ key: String, _ reader: inout ManifestReader) {
        do throws(ScheduleError) { _ = try ScheduleGrid(cadence) } catch { reader.report(key, error.description) }
    }

    private static func readInput(_ reader: inout ManifestReader) -> ManifestInput? {
        ManifestInput(
            instrument: instrument("instrument", &reader),
            interval: interval("interval", &reader),
            lookback: reader.integer("lookback", default: 100, range: 1...maximumLookback, expected: "bars to look back")
        )
    }

    private static func readOutput(_ reader: inout ManifestReader) -> ManifestOutput? {
        let kind = reader.word("kind", among: OutputKind.allCases)
        let symbol = instrument("instrument", &reader)
        let horizon = reader.integer("horizon_seconds", range: 1...maximumHorizonSeconds, expected: "seconds ahead")
        let rows = reader.integer("maximum_rows", default: 1, range: 1...1_000, expected: "rows per run at most")
        guard let kind else { return nil }
        return ManifestOutput(kind: kind, instrument: symbol, horizonSeconds: horizon, maximumRows: rows)
    }

    static func instrument(_ key: String, _ reader: inout ManifestReader) -> String {
        reader.string(key, expected: "an instrument's symbol, such as \"BTCUSD\"") { isSymbol($0) }
    }

    private static func interval(_ key: String, _ reader: inout ManifestReader) -> String {
        reader.string(key, expected: "a bar length such as \"15s\", \"1m\", \"4h\" or \"1d\"") {
            BarInterval($0).map { $0.seconds <= BarInterval.maximumSeconds } ?? false
        }
    }

    /// Symbols, also those of replays (`BTCUSD@replay-1`).
    static func isSymbol(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 64
            && text.utf8.allSatisfy { byte in
                isAlphanumeric(byte) || "._-@/:".utf8.contains(byte)
            }
    }

    private static func isEntryPoint(_ text: String) -> Bool {
        let halves = text.split(separator: ":", omittingEmptySubsequences: false)
        guard halves.count == 2, text.utf8.count <= 200 else { return false }
        return halves[0].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { isIdentifier($0) } && isIdentifier(halves[1])
    }

    private static func isIdentifier(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, !(48...57).contains(first) else { return false }
        return text.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "_") }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
    }
}
