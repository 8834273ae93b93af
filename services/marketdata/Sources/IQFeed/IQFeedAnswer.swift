import LineConnections

/// The answer to one history request while its lines come in: what kind a line is, is decided by its shape.
///
/// The rows are collected as a file of the same answer would hold them, so that one reader reads both.
struct IQFeedAnswer {
    enum Step: Equatable {
        case more
        /// The end line came: the rows, ended as a file is.
        case whole([UInt8])
        /// There is no data.
        case empty
        case failed(SourceError)
    }

    private let version: IQFeedVersion
    private let maximumBytes: Int
    private var rows: [UInt8] = []

    static let endLine = Array("!ENDMSG!".utf8)
    private static let mark = Array("LH,".utf8)

    init(version: IQFeedVersion, maximumBytes: Int) {
        self.version = version
        self.maximumBytes = maximumBytes
    }

    /// The bytes collected so far.
    var byteCount: Int { rows.count }

    /// Takes a line without its id.
    mutating func take(_ line: UnsafeBufferPointer<UInt8>) -> Step {
        if line.starts(with: Self.endLine) {
            guard !rows.isEmpty else { return .empty }
            rows.append(contentsOf: Self.endLine)
            rows.append(contentsOf: [0x2C, 0x0D, 0x0A])
            return .whole(rows)
        }
        if Self.isError(line) {
            let error = Self.error(line)
            guard error != nil else { return rows.isEmpty ? .empty : .failed(.broken("it says that there is no data after it gave some")) }
            return .failed(error ?? .broken(""))
        }
        var row = line[...]
        if version.marksRows {
            guard row.starts(with: Self.mark) else { return .failed(.broken("a row without LH in protocol \(version.rawValue)")) }
            row = row.dropFirst(Self.mark.count)
        }
        // A row of history begins with its date.
        guard let first = row.first, first >= 0x30, first <= 0x39 else { return .failed(.broken("a line that is no row of history")) }
        guard rows.count + row.count + 2 <= maximumBytes else { return .failed(.tooLarge(maximumBytes: maximumBytes)) }
        rows.append(contentsOf: row)
        rows.append(0x0D)
        rows.append(0x0A)
        return .more
    }

    /// Whether a line without its id is an error: an `E` as a field of its own.
    static func isError(_ line: UnsafeBufferPointer<UInt8>) -> Bool { line.first == 0x45 && (line.count == 1 || line[1] == 0x2C) }

    /// What an error line means; nothing for `!NO_DATA!`.
    static func error(_ line: UnsafeBufferPointer<UInt8>) -> SourceError? {
        let text = LineBatch.text(line.dropFirst(2).prefix { $0 != 0x2C }.prefix(200))
        if text == "!NO_DATA!" { return nil }
        if text == "!SYNTAX_ERROR!" { return .refused(.syntax, text) }
        let lowered = text.lowercased()
        if lowered.hasPrefix("unauthorized") { return .refused(.unauthorized, text) }
        // The client program lost its own way to the vendor's servers: that passes, and is never "no data".
        if lowered.contains("socket") || lowered.contains("could not connect") || lowered.contains("server error") { return .unavailable(text) }
        return .refused(.other, text)
    }
}
