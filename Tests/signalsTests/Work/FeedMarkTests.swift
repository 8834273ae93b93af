import Contracts
import Testing

@testable import signals

@Suite("The mark of the list over all signals")
struct FeedMarkTests {
    @Test("As text and back, and short enough for an address")
    func text() throws {
        let seqs = Dictionary(uniqueKeysWithValues: (0..<FeedMark.maximumSignals).map { (SignalID.make(), Int64($0) * 100_000) })
        let mark = try #require(FeedMark(epoch: 3, madeAt: Timestamp(microseconds: 1_760_000_000_123_456), seqs: seqs))
        #expect(FeedMark(mark.text) == mark)
        #expect(mark.text.utf8.count < 8_000)
        #expect(seqs.allSatisfy { mark[$0.key] == $0.value })
        #expect(mark[.make()] == nil)
        var more = seqs
        more[.make()] = 1
        #expect(FeedMark(epoch: 3, madeAt: mark.madeAt, seqs: more) == nil)
    }

    @Test("What is none", arguments: ["", "x", "AA", "AQ", "AQAB", "_____________w", "AQAAAAAAAAAA"])
    func malformed(text: String) { #expect(FeedMark(text) == nil) }
}
