import Contracts
import Testing

/// Bounds on strangers' text count bytes, whatever characters it is made of.
@Suite struct TextBoundTests {
    private static let accents = "a" + String(repeating: "\u{301}", count: 100_000)
    private static let families = String(repeating: "\u{1F468}\u{200D}\u{1F469}\u{200D}", count: 50_000)

    @Test(arguments: [accents, families, String(repeating: "x", count: 5000), String(repeating: "\u{10348}", count: 3000)])
    func atMostSoManyBytesAndWholeScalars(text: String) {
        for limit in [0, 1, 2, 3, 4, 7, 4096] {
            let kept = text.prefix(utf8Bytes: limit)
            #expect(kept.utf8.count <= limit && kept.utf8.count > limit - 4)
            #expect(text.utf8.starts(with: kept.utf8) && !kept.unicodeScalars.contains("\u{FFFD}"))
        }
    }

    @Test func shortTextStays() {
        #expect("d\u{e9}j\u{e0}".prefix(utf8Bytes: 6) == "d\u{e9}j\u{e0}")
        #expect("d\u{e9}j\u{e0}"[...].prefix(utf8Bytes: 5) == "d\u{e9}j")
        #expect(FinishedJob.message("a\0b") == "a?b")
        #expect(FinishedJob.message("50 %\r100 %\r\n\u{1b}[2J\u{202e}gnp\u{9b}m\tö\u{200b}") == "50 %\n100 %\n␛[2J�gnp�m\tö�", "shown, not obeyed")
        #expect(
            FinishedJob.plain(String(repeating: "\u{7f}", count: 100), maximumBytes: 100).utf8.count <= 100,
            "pictures are longer than what they show"
        )
    }

    @Test func anEventAboutTheWorstMessageTravels() throws {
        for text in [Self.accents, Self.families, String(repeating: "\u{1}", count: 100_000)] {
            let event = JobCompleted(
                jobID: JobID.make(),
                kind: .signalRun,
                accountID: AccountID.make(),
                outcome: .failed,
                failureKind: .exception,
                errorMessage: FinishedJob.message(text),
                attempt: 1,
                attemptID: AttemptID.make(),
                finishedAt: Timestamp(seconds: 0)
            )
            let time = Timestamp(seconds: 0)
            #expect(try Envelope(event, subjectVersion: 1, occurredAt: time, recordedAt: time).encoded().count < 32_768)
        }
    }
}
