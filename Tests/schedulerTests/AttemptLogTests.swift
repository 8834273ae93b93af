import Contracts
import Testing

@testable import scheduler

/// A log in pieces and as a text.
struct AttemptLogTests {
    private func log(_ pieces: [LogChunk], isFinal: Bool = false) -> AttemptLog {
        AttemptLog(attemptID: .make(), attempt: 1, pieces: pieces, isFinal: isFinal, storedAt: .now())
    }

    @Test func theTextOfAnEndedAttemptIsWhatItTold() {
        let told = "head\n" + LogGap.marker(1_000) + "tail\n"
        let log = AttemptLog(attemptID: .make(), log: JobLog(attempt: 1, text: told, isTruncated: true, storedAt: .now()))
        #expect(log.pieces == [LogChunk(offset: 0, text: "head\n"), LogChunk(offset: 1_005, text: "tail\n")])
        #expect(log.text == told && log.leftOutBytes == 1_000)
        #expect(log.pieces(after: 3) == [LogChunk(offset: 3, text: "d\n"), LogChunk(offset: 1_005, text: "tail\n")])
        #expect(log.pieces(after: 500) == [LogChunk(offset: 1_005, text: "tail\n")])
        #expect(log.pieces(after: 1_010) == [])
    }

    @Test func whatIsCutWithoutAMarkerStaysInOnePiece() {
        let log = AttemptLog(attemptID: nil, log: JobLog(attempt: 1, text: "left [… x bytes left out …]\n", isTruncated: true, storedAt: .now()))
        #expect(log.pieces.count == 1)
    }

    @Test func aPieceIsContinuedBetweenCharacters() {
        #expect(LogChunk(offset: 10, text: "€€").behind(11) == LogChunk(offset: 13, text: "€"))
        #expect(LogChunk(offset: 10, text: "€").behind(12) == nil)
    }

    @Test func longPiecesTravelInParts() {
        let pieces = log([LogChunk(offset: 0, text: String(repeating: "€", count: 10_000))]).pieces(after: 0)
        #expect(pieces.count == 2 && pieces.allSatisfy { $0.text.utf8.count <= LogChunk.maximumBytes })
        #expect(pieces[0].end == pieces[1].offset && pieces[1].end == 30_000)
    }

    @Test func theLinesOfASearchShowTheText() {
        let line = String(repeating: "a", count: 1_000) + "NEEDLE" + String(repeating: "b", count: 1_000)
        let (found, count) = LogSearch("needle").lines(of: "x\n\(line)\r\nneedle")
        #expect(count == 2 && found.map(\.number) == [2, 3])
        #expect(found[0].text.contains("NEEDLE") && found[0].text.utf8.count <= LogSearch.maximumLineBytes + 6)
    }

    @Test func aQuotaLeavesRoomForItsWords() {
        #expect(LogQuota.cut("abc", used: 0, limitBytes: 3).text == "abc")
        #expect(LogQuota.cut("abc", used: 1, limitBytes: 3).text.hasPrefix("ab\n[the log is left out"))
        let long = LogQuota.cut(String(repeating: "x", count: 65_536), used: 0, limitBytes: 65_535)
        #expect(long.isCut && long.text.utf8.count <= FinishedJob.maximumLogBytes)
    }
}
