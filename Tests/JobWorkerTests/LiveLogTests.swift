import Contracts
import Testing

@testable import JobWorker

/// What a job prints on its way to the scheduler.
struct LiveLogTests {
    private func all(_ log: LiveLog) -> [LogChunk] {
        var chunks: [LogChunk] = []
        while let chunk = log.next() {
            chunks.append(chunk)
            log.arrived(chunk)
        }
        return chunks
    }

    @Test func aPieceComesAgainUntilItHasArrived() throws {
        let log = LiveLog()
        #expect(log.next() == nil && !log.hasNews)
        log.append("one\n")
        let first = try #require(log.next())
        log.append("two\n")
        #expect(log.next() == first)
        log.arrived(LogChunk(offset: 99, text: "another"))
        #expect(log.next() == first)
        log.arrived(first)
        #expect(log.next() == LogChunk(offset: 4, text: "two\n"))
    }

    @Test func nothingInALogCanSpoilARenewal() {
        let log = LiveLog()
        log.append("a\0b")
        #expect(log.next()?.text == "a?b")
    }

    @Test func theBeginningComesWholeAndInPiecesBetweenCharacters() {
        let log = LiveLog()
        let text = String(repeating: "€", count: 12_000)
        log.append(text)
        let chunks = all(log)
        #expect(chunks.map(\.text).joined() == text)
        #expect(chunks.allSatisfy { $0.text.utf8.count <= LogChunk.maximumBytes && !$0.text.contains("\u{FFFD}") })
        #expect(zip(chunks, chunks.dropFirst()).allSatisfy { $0.end == $1.offset })
    }

    @Test func aFloodIsSkippedBehindTheBeginning() throws {
        let log = LiveLog()
        for _ in 0..<1_000 { log.append(String(repeating: "ä", count: 1_000)) }
        let chunks = all(log)
        let last = try #require(chunks.last)
        #expect(last.end == 2_000_000, "the newest is there to its end")
        let head = chunks.dropLast()
        #expect(head.reduce(0) { $0 + $1.text.utf8.count } == LogChunk.headBytes)
        #expect(last.offset > Int64(LogChunk.headBytes) && last.text.utf8.count <= LogChunk.maximumBytes)
        #expect(chunks.allSatisfy { $0.text.allSatisfy { $0 == "ä" } })
        log.append("end")
        #expect(all(log) == [LogChunk(offset: 2_000_000, text: "end")])
    }
}
