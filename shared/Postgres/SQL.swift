/// A statement with its values apart from its text: what is interpolated becomes a bound parameter, so injection cannot be written.
///
///     "SELECT email FROM users WHERE id = \(userID)"
///
/// Raw text has to say that it is: `\(unsafe: text)`; a name is quoted by `\(identifier: name)`; another `SQL` value is spliced in with
/// its parameters renumbered.
public struct SQL: Sendable, ExpressibleByStringInterpolation {
    /// The text as the server sees it, with `$1`, `$2`… where values go.
    public private(set) var text: String
    var binds: Binds
    var isPrepared = true

    /// For the beginning of a transaction whose commit need not wait for the disk: a crash of the server may forget it.
    public static let withoutFlush: SQL = "SELECT set_config('synchronous_commit', 'off', true)"

    /// For the beginning of a transaction whose statements look up what they are given by its key, a few at a time: their plans are made once on each
    /// connection. Left to itself the server makes a plan anew for each array, which costs as much as the statement does.
    public static let plannedOnce: SQL = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"

    /// A statement without values.
    public init(stringLiteral value: String) {
        text = value
        binds = Binds()
    }

    /// A statement made of text and values.
    public init(stringInterpolation interpolation: Interpolation) {
        text = interpolation.text
        binds = interpolation.binds
    }

    /// A statement whose text was put together at run time; never put input of a stranger into it.
    public init(unsafe text: String) {
        self.text = text
        binds = Binds()
    }

    /// The same statement, sent without keeping it prepared on the connection: for text that hardly ever comes again.
    public var unprepared: SQL {
        var copy = self
        copy.isPrepared = false
        return copy
    }

    /// Adds another piece, its parameters renumbered.
    public mutating func append(_ other: SQL) {
        text += renumber(other.text, by: binds.count)
        binds.append(other.binds)
    }

    /// Two pieces, one after the other.
    public static func + (left: SQL, right: SQL) -> SQL {
        var sum = left
        sum.append(right)
        return sum
    }

    /// Collects the text and the values of an interpolated statement.
    public struct Interpolation: StringInterpolationProtocol {
        var text: String
        var binds: Binds

        /// Room for the pieces.
        public init(literalCapacity: Int, interpolationCount: Int) {
            text = ""
            text.reserveCapacity(literalCapacity + interpolationCount * 3)
            binds = Binds(expected: interpolationCount)
        }

        /// Takes text as written in the source.
        public mutating func appendLiteral(_ literal: String) { text += literal }

        /// Binds a value.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value) {
            binds.append(value)
            appendPlaceholder()
        }

        /// Binds a value that may be null.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            if let value { binds.append(value) } else { binds.appendNull(Value.postgresType) }
            appendPlaceholder()
        }

        /// Takes text as it is: only for what the program itself wrote.
        public mutating func appendInterpolation(unsafe raw: String) { text += raw }

        /// Writes a quoted name of a table, column or channel.
        public mutating func appendInterpolation(identifier name: String) { text += quotedIdentifier(name) }

        /// Splices another piece in.
        public mutating func appendInterpolation(_ piece: SQL) {
            text += renumber(piece.text, by: binds.count)
            binds.append(piece.binds)
        }

        private mutating func appendPlaceholder() {
            text += "$"
            text += String(binds.count)
        }
    }
}

extension Sequence where Element == SQL {
    /// The pieces in a row with `separator` between them.
    public func joined(separator: SQL) -> SQL {
        var result: SQL = ""
        for (index, piece) in enumerated() {
            if index > 0 { result.append(separator) }
            result.append(piece)
        }
        return result
    }
}

/// A name in double quotes, as the server wants names that may hold anything.
func quotedIdentifier(_ name: String) -> String {
    var quoted = "\""
    for character in name.unicodeScalars where character != "\0" {
        if character == "\"" { quoted.unicodeScalars.append(character) }
        quoted.unicodeScalars.append(character)
    }
    return quoted + "\""
}

/// Raises every `$n` outside of quotes by `offset`.
private func renumber(_ text: String, by offset: Int) -> String {
    guard offset > 0, text.utf8.contains(UInt8(ascii: "$")) else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.utf8.count + 8)
    var quote: UInt8?
    var number: Int?
    func flush(_ number: inout Int?) {
        if let value = number { result.append(contentsOf: Array(String(value + offset).utf8)) }
        number = nil
    }
    var previous: UInt8 = 0
    for byte in text.utf8 {
        if let open = quote {
            if byte == open { quote = nil }
            result.append(byte)
        } else if byte >= 0x30 && byte <= 0x39, previous == UInt8(ascii: "$") || number != nil {
            number = (number ?? 0) * 10 + Int(byte - 0x30)
        } else {
            flush(&number)
            if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") { quote = byte }
            result.append(byte)
        }
        previous = byte
    }
    flush(&number)
    return String(decoding: result, as: UTF8.self)
}
