import CZlib

/// Unpacks zip and gzip bytes in memory, with a limit on what they may grow to.
enum Archive {
    /// One file inside an archive, or the file itself.
    struct Entry: Sendable {
        var name: String
        var bytes: [UInt8]
    }

    static let maximumUnpackedBytes = 512 << 20
    /// How many files a zip may hold of which one is meant.
    static let maximumFiles = 1_000
    /// How many a zip of parts may hold: as many as the program that reads them takes.
    static let maximumParts = 10_000

    /// The plain content: of a gzip file its bytes, of a zip the one entry that is meant (the only one, or the one named by the archive's date).
    static func open(_ bytes: [UInt8], fileName: String) throws(ImportError) -> Entry {
        if bytes.starts(with: [0x1F, 0x8B]) { return Entry(name: fileName, bytes: try inflate(bytes[...], windowBits: 31, expected: nil)) }
        guard bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) else { return Entry(name: fileName, bytes: bytes) }
        let entries = try directory(bytes, maximumFiles: maximumFiles)
        guard let only = entries.first else { throw .badArchive("it is empty") }
        if entries.count == 1 { return Entry(name: only.name, bytes: try extract(only, bytes)) }
        let date = String(fileName.split(separator: "/").last?.prefix { $0.isNumber } ?? "")
        let named = entries.filter { !date.isEmpty && $0.name.hasPrefix(date) }
        guard named.count == 1 else { throw .badArchive("it holds \(entries.count) files and none is named like the archive") }
        return Entry(name: named[0].name, bytes: try extract(named[0], bytes))
    }

    /// The names of a zip's files; none where it is no zip that can be read.
    static func names(_ bytes: [UInt8]) -> [String] {
        guard bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) else { return [] }
        return ((try? directory(bytes, maximumFiles: maximumParts)) ?? []).map(\.name)
    }

    private struct DirectoryEntry {
        var name: String
        var method: Int
        var packedLength: Int
        var plainLength: Int
        var headerOffset: Int
        var checksum: UInt
    }

    private static func directory(_ bytes: [UInt8], maximumFiles: Int) throws(ImportError) -> [DirectoryEntry] {
        var at = bytes.count - 22
        let lowest = max(0, bytes.count - 65_557)
        while at >= lowest, number(bytes, at, 4) != 0x0605_4B50 { at -= 1 }
        guard at >= lowest else { throw .badArchive("its directory is missing") }
        var count = number(bytes, at + 10, 2)
        var position = number(bytes, at + 16, 4)
        // Zip64: the true count and offset stand in a second record that a locator just before this one points to.
        if number(bytes, at - 20, 4) == 0x0706_4B50 {
            let record = number(bytes, at - 12, 4)
            guard number(bytes, record, 4) == 0x0606_4B50 else { throw .badArchive("its directory is damaged") }
            count = number(bytes, record + 32, 4)
            position = number(bytes, record + 48, 4)
        }
        guard (0...maximumFiles).contains(count) else { throw .badArchive("it holds \(count) files, but may hold \(maximumFiles)") }
        var entries: [DirectoryEntry] = []
        for _ in 0..<count {
            guard position >= 0, position + 46 <= bytes.count, number(bytes, position, 4) == 0x0201_4B50 else {
                throw .badArchive("its directory is damaged")
            }
            let nameLength = number(bytes, position + 28, 2)
            guard position + 46 + nameLength <= bytes.count else { throw .badArchive("its directory is damaged") }
            let name = String(decoding: bytes[(position + 46)..<(position + 46 + nameLength)], as: UTF8.self)
            if !name.hasSuffix("/") {
                var entry = DirectoryEntry(
                    name: name,
                    method: number(bytes, position + 10, 2),
                    packedLength: number(bytes, position + 20, 4),
                    plainLength: number(bytes, position + 24, 4),
                    headerOffset: number(bytes, position + 42, 4),
                    checksum: UInt(number(bytes, position + 16, 4))
                )
                let extra = position + 46 + nameLength
                readLongFields(of: &entry, bytes, extra..<min(bytes.count, extra + number(bytes, position + 30, 2)))
                entries.append(entry)
            }
            position += 46 + nameLength + number(bytes, position + 30, 2) + number(bytes, position + 32, 2)
        }
        return entries
    }

    /// Zip64: a length or offset of all ones stands in the extra field instead, in this order, whatever the file's size.
    private static func readLongFields(of entry: inout DirectoryEntry, _ bytes: [UInt8], _ extra: Range<Int>) {
        var at = extra.lowerBound
        while at + 4 <= extra.upperBound {
            let length = number(bytes, at + 2, 2)
            if number(bytes, at, 2) == 1 {
                var field = at + 4
                for path in [\DirectoryEntry.plainLength, \.packedLength, \.headerOffset] where entry[keyPath: path] == 0xFFFF_FFFF {
                    guard field + 8 <= min(at + 4 + length, bytes.count) else { return }
                    // Four bytes are enough for what is accepted; larger values fail the checks that follow.
                    entry[keyPath: path] = number(bytes, field + 4, 4) == 0 ? number(bytes, field, 4) : Int.max / 2
                    field += 8
                }
                return
            }
            at += 4 + length
        }
    }

    private static func extract(_ entry: DirectoryEntry, _ bytes: [UInt8]) throws(ImportError) -> [UInt8] {
        let header = entry.headerOffset
        guard header >= 0, header + 30 <= bytes.count, number(bytes, header, 4) == 0x0403_4B50 else { throw .badArchive("\(entry.name) is damaged") }
        let start = header + 30 + number(bytes, header + 26, 2) + number(bytes, header + 28, 2)
        guard entry.packedLength >= 0, entry.packedLength <= bytes.count - start, start <= bytes.count else {
            throw .badArchive("\(entry.name) is cut off")
        }
        guard entry.plainLength <= maximumUnpackedBytes else { throw .badArchive("\(entry.name) is larger than 512 MiB") }
        let packed = bytes[start..<(start + entry.packedLength)]
        let plain: [UInt8]
        switch entry.method {
        case 0: plain = Array(packed)
        case 8: plain = try inflate(packed, windowBits: -15, expected: entry.plainLength)
        default: throw .badArchive("\(entry.name) is packed by method \(entry.method); deflate would be right")
        }
        let checksum = plain.withUnsafeBytes { crc32_z(0, $0.bindMemory(to: UInt8.self).baseAddress, $0.count) }
        guard plain.count == entry.plainLength, UInt(checksum) == entry.checksum else {
            throw .badArchive("\(entry.name) does not match its checksum")
        }
        return plain
    }

    private static func inflate(_ packed: ArraySlice<UInt8>, windowBits: Int32, expected: Int?) throws(ImportError) -> [UInt8] {
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .badArchive("zlib does not start")
        }
        defer { inflateEnd(&stream) }
        var plain: [UInt8] = []
        plain.reserveCapacity(expected ?? packed.count * 4)
        var buffer = [UInt8](repeating: 0, count: 256 * 1_024)
        var outcome: Int32 = Z_OK
        var input = Array(packed)
        let inputCount = input.count
        input.withUnsafeMutableBufferPointer { source in
            stream.next_in = source.baseAddress
            stream.avail_in = UInt32(inputCount)
            while true {
                let produced = buffer.withUnsafeMutableBufferPointer { target in
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(target.count)
                    outcome = CZlib.inflate(&stream, Z_NO_FLUSH)
                    return target.count - Int(stream.avail_out)
                }
                plain.append(contentsOf: buffer[0..<produced])
                if outcome == Z_STREAM_END, windowBits == 31, stream.avail_in > 0 {
                    // A gzip file may be several members one after the other.
                    outcome = inflateReset(&stream)
                    continue
                }
                if outcome != Z_OK || plain.count > maximumUnpackedBytes { return }
            }
        }
        if plain.count > maximumUnpackedBytes { throw .badArchive("it is larger than 512 MiB when unpacked") }
        guard outcome == Z_STREAM_END else { throw .badArchive("it is damaged or cut off") }
        return plain
    }

    private static func number(_ bytes: [UInt8], _ at: Int, _ width: Int) -> Int {
        guard at >= 0, at + width <= bytes.count else { return -1 }
        var value = 0
        for index in (at..<at + width).reversed() { value = value << 8 | Int(bytes[index]) }
        return value
    }
}
