import Bars
import Contracts

/// The ends of the bars that a replay releases one by one, a stretch at a time.
struct BaseRows: Sendable {
    private let replay: Replay
    private var ends: [Int64] = []
    /// The stretch that was read reaches to this start; nothing follows when there is no more.
    private var nextStart: Int64?
    private var isLoaded = false

    init(replay: Replay) { self.replay = replay }

    /// Reads more when everything read has been released.
    mutating func load(after position: Int64, reader: BarReader, store: any MarketdataStore) async throws {
        if let last = ends.last, last > position { return }
        if isLoaded, nextStart == nil { return }
        // The bar that ends just after the position may have begun before it.
        let from = nextStart ?? position - Int64(replay.baseIntervalSeconds) * 1_000_000
        var request = BarRequest(symbol: replay.sourceSymbol, interval: BarInterval(seconds: replay.baseIntervalSeconds))
        request.start = Timestamp(microseconds: from)
        request.asOf = .distantFuture
        request.limit = 5_000
        let answer = try await reader.read(request, recordedBy: replay.revisionsAsOf, for: .platform)
        ends = answer.bars.ends
        nextStart = answer.nextStart
        isLoaded = true
    }

    /// The end of the first bar that ends after a recorded time.
    func nextEnd(after position: Int64) -> Int64? {
        let at = first(after: position)
        return at < ends.count ? ends[at] : nil
    }

    /// The last end not after a recorded time.
    func lastEnd(upTo position: Int64) -> Int64? {
        let at = first(after: position)
        return at > 0 ? ends[at - 1] : nil
    }

    /// The last end that was read.
    var last: Int64? { ends.last }

    func count(after position: Int64, upTo end: Int64) -> Int { first(after: end) - first(after: position) }

    private func first(after position: Int64) -> Int {
        var low = 0
        var high = ends.count
        while low < high {
            let middle = (low + high) / 2
            if ends[middle] <= position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
