import Contracts
import Cryptography

/// What a reader of the list over all signals has been given: up to which seq of each signal.
///
/// A moment would not do. Rows of several signals are not committed in the order of their times: one could come in behind the moment and never be seen.
struct FeedMark: Sendable, Hashable {
    /// With more signals the text would be longer than what fits into an address everywhere.
    static let maximumSignals = 500

    var epoch: Int64
    /// When the mark was made: a signal that the reader did not follow then begins with what came after.
    var madeAt: Timestamp
    private var seqs: [UInt64: Int64]

    /// Nil for more signals than fit.
    init?(epoch: Int64, madeAt: Timestamp, seqs: [SignalID: Int64]) {
        guard seqs.count <= Self.maximumSignals else { return nil }
        self.epoch = epoch
        self.madeAt = madeAt
        self.seqs = Dictionary(seqs.map { (Self.short($0.key), $0.value) }, uniquingKeysWith: max)
    }

    /// Up to where the reader has this signal; nil when the mark does not know it.
    subscript(signalID: SignalID) -> Int64? { seqs[Self.short(signalID)] }

    /// The random half of an id is enough to tell an account's signals apart.
    private static func short(_ signalID: SignalID) -> UInt64 { signalID.bytes.suffix(8).reduce(0) { $0 << 8 | UInt64($1) } }

    // MARK: As text

    init?(_ text: String) {
        guard let bytes = Base64URL.decode(text) else { return nil }
        var rest = bytes[...]
        func number() -> Int64? {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 63, by: 7) {
                guard let byte = rest.popFirst() else { return nil }
                value |= UInt64(byte & 0x7F) << shift
                if byte & 0x80 == 0 { return Int64(exactly: value) }
            }
            return nil
        }
        guard let epoch = number(), epoch > 0, let madeAt = number() else { return nil }
        self.epoch = epoch
        self.madeAt = Timestamp(microseconds: madeAt)
        seqs = [:]
        while !rest.isEmpty {
            guard rest.count > 8, seqs.count < Self.maximumSignals else { return nil }
            let short = rest.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            rest = rest.dropFirst(8)
            guard let seq = number() else { return nil }
            seqs[short] = seq
        }
    }

    var text: String {
        var bytes: [UInt8] = []
        func append(_ number: Int64) {
            var rest = UInt64(max(0, number))
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
        append(epoch)
        append(madeAt.microseconds)
        for (short, seq) in seqs.sorted(by: { $0.key < $1.key }) {
            for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: short >> UInt64(shift))) }
            append(seq)
        }
        return Base64URL.encode(bytes)
    }
}
