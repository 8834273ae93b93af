import Contracts

/// What one attempt printed, as far as it is known: pieces in their order, with gaps where something is left out.
struct AttemptLog: Sendable, Hashable {
    let attemptID: AttemptID?
    let attempt: Int
    var pieces: [LogChunk]
    /// Whether the attempt's end has told the whole log.
    let isFinal: Bool
    let storedAt: Timestamp
    /// Whether its end says that something is left out, wherever that is.
    var isCut = false

    init(attemptID: AttemptID?, attempt: Int, pieces: [LogChunk], isFinal: Bool, storedAt: Timestamp) {
        self.attemptID = attemptID
        self.attempt = attempt
        self.pieces = pieces
        self.isFinal = isFinal
        self.storedAt = storedAt
    }

    /// Reads the log of an attempt that has ended. Its text has a marker where something was left out; in pieces it has a gap there instead.
    init(attemptID: AttemptID?, log: JobLog) {
        self.init(
            attemptID: attemptID,
            attempt: log.attempt,
            pieces: log.isTruncated ? Self.apart(log.text) : [LogChunk(offset: 0, text: log.text)].filter { !$0.text.isEmpty },
            isFinal: true,
            storedAt: log.storedAt
        )
        isCut = log.isTruncated
    }

    /// What stands for the attempt in a reader's place.
    var placeID: AttemptID { attemptID ?? LogPlace.beforeAll }

    /// Where it ends, in bytes of all that was printed.
    var end: Int64 { pieces.last?.end ?? 0 }

    /// How many bytes are left out.
    var leftOutBytes: Int64 { end - pieces.reduce(0) { $0 + Int64($1.text.utf8.count) } }

    /// The pieces behind a place. What a client has seen is not sent again, and no piece is longer than those that travel.
    func pieces(after place: Int64) -> [LogChunk] {
        pieces.compactMap { $0.behind(place) }.flatMap { Self.divided($0) }
    }

    /// The whole as one text of at most ``FinishedJob/maximumLogBytes``, with a marker in each gap: the beginning and the end, as the end of an attempt tells it.
    var text: String {
        let most = FinishedJob.maximumLogBytes
        let kept = pieces.reduce(0) { $0 + $1.text.utf8.count }
        var parts = pieces
        if kept > most - LogGap.maximumBytes, isFinal == false {
            // Of the newest only what finds room.
            let head = parts.prefix { $0.end <= LogChunk.headBytes }
            let tail = parts.dropFirst(head.count).map(\.text).joined()
            let room = most - LogGap.maximumBytes - head.reduce(0) { $0 + $1.text.utf8.count }
            let end = String(decoding: Self.newest(Array(tail.utf8), room), as: UTF8.self)
            parts = Array(head) + [LogChunk(offset: self.end - Int64(end.utf8.count), text: end)]
        }
        var text = ""
        var place: Int64 = 0
        for piece in parts {
            if piece.offset > place { text += LogGap.marker(piece.offset - place) }
            text += piece.text
            place = piece.end
        }
        return text.prefix(utf8Bytes: most)
    }

    private static func newest(_ bytes: [UInt8], _ count: Int) -> ArraySlice<UInt8> {
        bytes.suffix(max(0, count)).drop { $0 & 0xC0 == 0x80 }
    }

    private static func apart(_ text: String) -> [LogChunk] {
        guard let gap = LogGap(in: text) else { return [LogChunk(offset: 0, text: text)] }
        let head = String(text[..<gap.range.lowerBound])
        let tail = String(text[gap.range.upperBound...])
        let place = Int64(head.utf8.count) + gap.bytes
        return [LogChunk(offset: 0, text: head), LogChunk(offset: place, text: tail)].filter { !$0.text.isEmpty }
    }

    private static func divided(_ piece: LogChunk) -> [LogChunk] {
        var parts: [LogChunk] = []
        var rest = piece
        while rest.text.utf8.count > LogChunk.maximumBytes {
            let first = LogChunk(offset: rest.offset, text: rest.text.prefix(utf8Bytes: LogChunk.maximumBytes))
            guard let behind = rest.behind(first.end) else { break }
            parts.append(first)
            rest = behind
        }
        return parts + [rest]
    }
}

extension LogChunk {
    /// What of the piece lies behind a place, from the next whole character on; nil when nothing does.
    func behind(_ place: Int64) -> LogChunk? {
        if offset >= place { return self }
        if end <= place { return nil }
        let rest = Array(text.utf8).dropFirst(Int(place - offset)).drop { $0 & 0xC0 == 0x80 }
        return rest.isEmpty ? nil : LogChunk(offset: end - Int64(rest.count), text: String(decoding: rest, as: UTF8.self))
    }
}

/// The line in a log's text that says how much is left out there.
struct LogGap {
    let range: Range<String.Index>
    let bytes: Int64

    static let maximumBytes = 64
    private static let opening = "\n[… "
    private static let closing = " bytes left out …]\n"

    static func marker(_ bytes: Int64) -> String { "\(opening)\(bytes)\(closing)" }

    /// The last such line of a text: an author who prints one of his own puts off nobody but himself.
    init?(in text: String) {
        guard let close = text.ranges(of: Self.closing).last, let open = text[..<close.lowerBound].ranges(of: Self.opening).last,
            let bytes = Int64(text[open.upperBound..<close.lowerBound]), bytes >= 0
        else { return nil }
        range = open.lowerBound..<close.upperBound
        self.bytes = bytes
    }
}
