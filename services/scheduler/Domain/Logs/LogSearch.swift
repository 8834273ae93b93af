import Contracts

/// What is looked for in logs: a text, whatever the case of its letters.
struct LogSearch: Sendable, Hashable {
    /// The text in lower case.
    let needle: String

    static let lengths = 2...200
    static let maximumLines = 20
    static let maximumLineBytes = 400

    /// A line that was found.
    struct Line: Sendable, Hashable, Encodable {
        /// Its number in the log, from 1.
        let number: Int
        let text: String
    }

    init(_ text: String) {
        needle = text.lowercased()
    }

    /// The first lines that hold the text, each with the text in sight; and how many there are.
    func lines(of log: String) -> (found: [Line], count: Int) {
        var found: [Line] = []
        var count = 0
        var number = 0
        for line in log.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            number += 1
            guard let place = Array(line.lowercased().utf8).firstRange(of: Array(needle.utf8)) else { continue }
            count += 1
            if found.count < Self.maximumLines { found.append(Line(number: number, text: Self.cut(line, around: place))) }
        }
        return (found, count)
    }

    private static func cut(_ line: Substring, around place: Range<Int>) -> String {
        guard line.utf8.count > maximumLineBytes else { return String(line) }
        let start = max(0, min(place.lowerBound - maximumLineBytes / 4, line.utf8.count - maximumLineBytes))
        let rest = Array(line.utf8).dropFirst(start).drop { start > 0 && $0 & 0xC0 == 0x80 }
        let cut = String(decoding: rest, as: UTF8.self).prefix(utf8Bytes: maximumLineBytes)
        return (start > 0 ? "…" : "") + cut + (rest.count > maximumLineBytes ? "…" : "")
    }
}

/// What an account's jobs may leave in logs on one day.
enum LogQuota {
    /// What stands in place of a log that finds no room.
    static func marker(_ limitBytes: Int) -> String {
        "[the log is left out: this account's jobs have left their \(limitBytes) bytes of logs of today; its day begins at 00:00 UTC]\n"
    }

    /// The log as it is stored when `used` bytes have been left before it.
    static func cut(_ text: String, used: Int64, limitBytes: Int) -> (text: String, isCut: Bool) {
        let room = Int64(limitBytes) - used
        if Int64(text.utf8.count) <= room { return (text, false) }
        if room <= 0 { return (marker(limitBytes), true) }
        let words = marker(limitBytes)
        return (text.prefix(utf8Bytes: min(Int(room), FinishedJob.maximumLogBytes - words.utf8.count - 1)) + "\n" + words, true)
    }
}
