extension StringProtocol {
    /// The longest beginning that has at most `limit` bytes as UTF-8, cut between scalars.
    ///
    /// Whatever bounds a stranger's text counts bytes: one character of `prefix(_:)` may be made of any number of scalars.
    public func prefix(utf8Bytes limit: Int) -> String {
        let bytes = Substring(self).utf8
        guard bytes.count > limit else { return String(self) }
        var end = bytes.index(bytes.startIndex, offsetBy: Swift.max(0, limit))
        while end > bytes.startIndex, bytes[end] & 0xC0 == 0x80 { end = bytes.index(before: end) }
        return String(decoding: bytes[..<end], as: UTF8.self)
    }
}
