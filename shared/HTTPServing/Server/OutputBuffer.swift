internal import Glibc

/// Memory of a loop in which it writes the head of each answer, so that an answer allocates nothing.
///
/// Used only on its loop.
final class OutputBuffer {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity = 16 * 1024

    init() { base = .allocate(byteCount: capacity, alignment: 16) }

    deinit { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    func clear() {
        count = 0
        if capacity > 256 * 1024 {
            base.deallocate()
            capacity = 16 * 1024
            base = .allocate(byteCount: capacity, alignment: 16)
        }
    }

    @inline(__always)
    private func room(for more: Int) {
        if count + more > capacity { grow(more) }
    }

    private func grow(_ more: Int) {
        let larger = max(capacity * 2, count + more)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        moved.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = moved
        capacity = larger
    }

    func append(_ text: StaticString) {
        room(for: text.utf8CodeUnitCount)
        memcpy(base + count, text.utf8Start, text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        room(for: bytes.count)
        memcpy(base + count, start, bytes.count)
        count += bytes.count
    }

    func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// A header's value: what could end the line, and so begin another header, becomes a blank.
    func append(headerValue text: String) {
        let start = count
        append(text)
        for index in start..<count {
            let byte = base.load(fromByteOffset: index, as: UInt8.self)
            if byte < 0x20 && byte != 0x09 || byte == 0x7F { base.storeBytes(of: 0x20, toByteOffset: index, as: UInt8.self) }
        }
    }

    func append(_ number: Int) {
        if number < 10 {
            room(for: 1)
            base.storeBytes(of: UInt8(0x30 + number), toByteOffset: count, as: UInt8.self)
            count += 1
            return
        }
        var digits = 0
        var rest = number
        while rest > 0 {
            digits += 1
            rest /= 10
        }
        room(for: digits)
        rest = number
        var place = count + digits - 1
        while rest > 0 {
            base.storeBytes(of: UInt8(0x30 + rest % 10), toByteOffset: place, as: UInt8.self)
            rest /= 10
            place -= 1
        }
        count += digits
    }
}
