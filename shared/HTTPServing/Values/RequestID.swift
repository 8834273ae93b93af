/// Makes and checks the ids that name a request in logs and answers.
enum RequestID {
    static func make() -> String {
        let digits: StaticString = "0123456789abcdef"
        var generator = SystemRandomNumberGenerator()
        var high = generator.next()
        var low = generator.next()
        return String(unsafeUninitializedCapacity: 32) { buffer in
            for index in 0..<16 {
                buffer[index] = digits.utf8Start[Int(high & 15)]
                buffer[16 + index] = digits.utf8Start[Int(low & 15)]
                high >>= 4
                low >>= 4
            }
            return 32
        }
    }

    /// A client's id is taken over only if it can do no harm in a log.
    static func accepted(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x61 && $0 <= 0x7A) || $0 == 0x2D || $0 == 0x5F || $0 == 0x2E
            }
    }
}
