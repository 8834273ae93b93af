/// One word of a command: text or bytes.
public struct RedisArgument: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    let bytes: [UInt8]

    /// Text, as UTF-8.
    public init(_ text: String) { bytes = Array(text.utf8) }

    /// Bytes as they are.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// A number, in digits.
    public init(_ number: Int) { bytes = Array(String(number).utf8) }

    /// Text written in the source.
    public init(stringLiteral value: String) { self.init(value) }

    /// A number written in the source.
    public init(integerLiteral value: Int) { self.init(value) }
}

extension [RedisArgument] {
    /// The shape that hiredis takes: pointers and lengths into one copy of all the bytes.
    func withPointers<R>(
        _ body: (Int32, UnsafeMutablePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int>?) -> R
    ) -> R {
        var joined: [UInt8] = []
        joined.reserveCapacity(reduce(0) { $0 + $1.bytes.count } + 1)
        var offsets: [Int] = []
        let lengths = map(\.bytes.count)
        for argument in self {
            offsets.append(joined.count)
            joined += argument.bytes
        }
        joined.append(0)
        return joined.withUnsafeBytes { bytes in
            let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            var pointers = offsets.map { offset in base.map { $0 + offset } }
            return pointers.withUnsafeMutableBufferPointer { pointers in
                lengths.withUnsafeBufferPointer { lengths in body(Int32(count), pointers.baseAddress, lengths.baseAddress) }
            }
        }
    }
}
