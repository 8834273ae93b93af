/// Takes a body out of the bytes of a connection, by length or by chunks, never beyond its limit.
struct BodyReader {
    private enum State {
        case counted(remaining: Int)
        case chunkSize
        case chunk(remaining: Int)
        case chunkEnd
        case trailer
        case done
    }

    private var state: State
    private(set) var bytes: [UInt8] = []
    private let limit: Int
    private var trailerBytes = 0

    init(contentLength: Int, limit: Int) throws(MessageFault) {
        guard contentLength <= limit else { throw .bodyTooLarge(limit: limit) }
        self.limit = limit
        state = contentLength == 0 ? .done : .counted(remaining: contentLength)
        // What a client merely promises takes no memory.
        bytes.reserveCapacity(min(contentLength, 64 * 1024))
    }

    init(chunkedUpTo limit: Int) {
        self.limit = limit
        state = .chunkSize
    }

    var isComplete: Bool {
        if case .done = state { return true }
        return false
    }

    mutating func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    /// Takes what it can; returns how many bytes were used. What is left over is the start of something that is not all there.
    mutating func consume(_ input: UnsafeRawBufferPointer) throws(MessageFault) -> Int {
        var index = 0
        while true {
            switch state {
            case .done: return index
            case .counted(let remaining):
                let taken = min(remaining, input.count - index)
                bytes.append(contentsOf: input[index..<index + taken])
                index += taken
                state = taken == remaining ? .done : .counted(remaining: remaining - taken)
                if taken < remaining { return index }
            case .chunkSize:
                guard let (size, used) = try Self.chunkSize(UnsafeRawBufferPointer(rebasing: input[index...])) else { return index }
                guard size <= limit - bytes.count else { throw .bodyTooLarge(limit: limit) }
                index += used
                state = size == 0 ? .trailer : .chunk(remaining: size)
            case .chunk(let remaining):
                let taken = min(remaining, input.count - index)
                bytes.append(contentsOf: input[index..<index + taken])
                index += taken
                state = taken == remaining ? .chunkEnd : .chunk(remaining: remaining - taken)
                if taken < remaining { return index }
            case .chunkEnd:
                guard input.count - index >= 2 else {
                    if input.count - index == 1, input[index] != 0x0D { throw .malformedChunk }
                    return index
                }
                guard input[index] == 0x0D, input[index + 1] == 0x0A else { throw .malformedChunk }
                index += 2
                state = .chunkSize
            case .trailer:
                guard let lineFeed = input[index...].firstIndex(of: 0x0A) else {
                    if input.count - index + trailerBytes > 4096 { throw .headersTooLarge }
                    return index
                }
                guard lineFeed > index, input[lineFeed - 1] == 0x0D else { throw .malformedChunk }
                if lineFeed - 1 == index {
                    state = .done
                } else {
                    // Trailers are checked and dropped: nothing here has a use for them.
                    do { _ = try HeaderLine.parse(input, index..<lineFeed - 1) } catch { throw .malformedChunk }
                    trailerBytes += lineFeed - index
                    if trailerBytes > 4096 { throw .headersTooLarge }
                }
                index = lineFeed + 1
            }
        }
    }

    /// The size in a chunk's first line, and the line's length; nil when it is not all there.
    private static func chunkSize(_ input: UnsafeRawBufferPointer) throws(MessageFault) -> (Int, used: Int)? {
        var size = 0
        var digits = 0
        var index = 0
        while index < input.count, let digit = input[index].hexValue {
            digits += 1
            guard digits <= 8 else { throw .malformedChunk }
            size = size << 4 | Int(digit)
            index += 1
        }
        guard index < input.count else { return nil }
        guard digits > 0 else { throw .malformedChunk }
        if input[index] == 0x3B || input[index] == 0x20 || input[index] == 0x09 {
            // An extension: skipped, but it may not hide a line end of another kind.
            while index < input.count, input[index] != 0x0D {
                if input[index] == 0x0A || index > 256 { throw .malformedChunk }
                index += 1
            }
        }
        guard index < input.count else { return nil }
        guard input[index] == 0x0D else { throw .malformedChunk }
        guard index + 1 < input.count else { return nil }
        guard input[index + 1] == 0x0A else { throw .malformedChunk }
        return (size, index + 2)
    }
}
