import Contracts

/// Reads a schedule of the kind `session`: an instrument, and one key that says which moments of its sessions are due.
enum SessionCadenceReader {
    private static let keys: [(name: String, range: ClosedRange<Int>, expected: String, moment: @Sendable (Int) -> SessionMoment)] = [
        ("every_seconds", 1...86_400, "seconds between two runs within a session", { .every(seconds: $0) }),
        ("after_open_seconds", 0...86_400, "seconds after the open", { .afterOpen(seconds: $0) }),
        ("before_close_seconds", 0...86_400, "seconds before the close", { .beforeClose(seconds: $0) }),
    ]

    static func read(_ reader: inout ManifestReader) -> Cadence? {
        let instrument = ManifestParser.instrument("instrument", &reader)
        var moments: [SessionMoment] = []
        for key in keys where reader.value(key.name, optional: true, expected: key.expected) != nil {
            moments.append(key.moment(reader.integer(key.name, range: key.range, expected: key.expected)))
        }
        guard let moment = moments.first, moments.count == 1 else {
            reader.report("kind", "\"session\" needs one of \(keys.map(\.name).joined(separator: ", "))")
            return nil
        }
        return .session(instrument: instrument, moment: moment)
    }
}
