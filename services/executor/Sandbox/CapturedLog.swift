import Contracts

/// The beginning and the end of what a program prints, within a bound: the middle of a flood tells nobody anything.
struct CapturedLog: Sendable {
    private let capacity: Int
    private var head: [UInt8] = []
    private var tail: [UInt8] = []
    /// How much was printed, in bytes.
    private(set) var totalBytes = 0

    private static let markerBytes = 64
    private var headCapacity: Int { capacity * 3 / 4 }
    private var tailCapacity: Int { capacity - headCapacity - Self.markerBytes }

    /// Keeps at most `capacity` bytes, the marker included.
    init(capacity: Int) {
        precondition(capacity >= 1024)
        self.capacity = capacity
    }

    /// Takes what was printed next.
    mutating func append(_ bytes: some Collection<UInt8>) {
        totalBytes += bytes.count
        var rest = bytes[...]
        if head.count < headCapacity {
            let taken = rest.prefix(headCapacity - head.count)
            head += taken
            rest = rest.dropFirst(taken.count)
        }
        if rest.isEmpty { return }
        tail += rest.suffix(tailCapacity)
        // Trimmed in large steps: a print at a time must not move the whole tail.
        if tail.count > 4 * tailCapacity { tail.removeFirst(tail.count - tailCapacity) }
    }

    /// Whether something was left out.
    var isTruncated: Bool { totalBytes > headCapacity + tailCapacity }

    /// What was kept, as text that any store can take and any terminal can show: bytes that are no UTF-8 are replaced, controls made visible.
    var text: String {
        let kept = tail.suffix(tailCapacity)
        var bytes = head
        if isTruncated {
            bytes += "\n[… \(totalBytes - head.count - kept.count) bytes left out …]\n".utf8
        }
        bytes += kept
        // A replacement is longer than the byte that it stands for.
        return HarmlessText.clean(String(decoding: bytes, as: UTF8.self)).prefix(utf8Bytes: capacity)
    }
}
