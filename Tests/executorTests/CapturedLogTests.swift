import Testing

@testable import executor

/// The beginning and the end of an output, within a bound.
@Suite struct CapturedLogTests {
    @Test func aShortLogIsWhole() {
        var log = CapturedLog(capacity: 1024)
        log.append("one\n".utf8)
        log.append("two\n".utf8)
        #expect(log.text == "one\ntwo\n" && !log.isTruncated)
    }

    @Test(arguments: [1, 7, 100, 5000])
    func aLongLogKeepsBothEnds(pieceBytes: Int) {
        var log = CapturedLog(capacity: 1024)
        let all = (0..<2000).map { "line \($0)\n" }.joined()
        var rest = Array(all.utf8)[...]
        while !rest.isEmpty {
            log.append(rest.prefix(pieceBytes))
            rest = rest.dropFirst(pieceBytes)
        }
        #expect(log.totalBytes == all.utf8.count && log.isTruncated)
        #expect(log.text.utf8.count <= 1024)
        #expect(log.text.hasPrefix("line 0\n") && log.text.hasSuffix("line 1999\n"))
        let left = all.utf8.count - 768 - (1024 - 768 - 64)
        #expect(log.text.contains("[… \(left) bytes left out …]"))
    }

    @Test func whatIsNoTextBecomesText() {
        var log = CapturedLog(capacity: 1024)
        log.append([0x61, 0, 0xFF, 0x62])
        #expect(log.text == "a?\u{FFFD}b")
        var noise = CapturedLog(capacity: 1024)
        noise.append([UInt8](repeating: 0xFF, count: 5000))
        #expect(noise.text.utf8.count <= 1024)
    }
}
