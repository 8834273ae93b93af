internal import Glibc

// Small comparisons on raw bytes, so that the path of a request makes no strings that nobody reads.

extension UnsafeRawBufferPointer {
    func matches(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount, let base = baseAddress else { return count == text.utf8CodeUnitCount }
        return memcmp(base, text.utf8Start, count) == 0
    }

    /// Equality without regard to the case of ASCII letters; `text` is lower case already.
    func matchesIgnoringCase(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        let other = UnsafeBufferPointer(start: text.utf8Start, count: count)
        for index in 0..<count where self[index].lowercasedASCII != other[index] { return false }
        return true
    }

    var text: String { String(decoding: self, as: UTF8.self) }
}

extension UInt8 {
    var lowercasedASCII: UInt8 { self >= 0x41 && self <= 0x5A ? self | 0x20 : self }

    /// The value of a hex digit, or nil.
    var hexValue: UInt8? {
        switch self {
        case 0x30...0x39: self - 0x30
        case 0x41...0x46: self - 0x41 + 10
        case 0x61...0x66: self - 0x61 + 10
        default: nil
        }
    }

    /// `tchar` of RFC 9110: what a method or a header name may be made of.
    var isTokenCharacter: Bool { tokenCharacters[Int(self)] }
}

private let tokenCharacters: [Bool] = {
    var table = [Bool](repeating: false, count: 256)
    for byte in "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8 { table[Int(byte)] = true }
    return table
}()
