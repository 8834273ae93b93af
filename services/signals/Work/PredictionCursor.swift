import Contracts
import Cryptography

/// Where a list of one signal's predictions goes on; it names the ledger's epoch, so that a restored ledger is noticed.
struct PredictionCursor: Sendable, Hashable {
    var epoch: Int64
    var seq: Int64

    init(epoch: Int64, seq: Int64) {
        self.epoch = epoch
        self.seq = seq
    }

    init?(_ text: String) {
        guard let bytes = Base64URL.decode(text) else { return nil }
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let epoch = Int64(parts[0]), let seq = Int64(parts[1]), epoch > 0, seq >= 0 else { return nil }
        self.init(epoch: epoch, seq: seq)
    }

    var text: String { Base64URL.encode(Array("\(epoch).\(seq)".utf8)) }
}

/// Where the list over all signals goes on.
struct FeedCursor: Sendable, Hashable {
    var epoch: Int64
    var position: PredictionPosition

    init(epoch: Int64, position: PredictionPosition) {
        self.epoch = epoch
        self.position = position
    }

    init?(_ text: String) {
        guard let bytes = Base64URL.decode(text) else { return nil }
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, let epoch = Int64(parts[0]), let madeAt = Int64(parts[1]), let signalID = SignalID(String(parts[2])),
            let seq = Int64(parts[3])
        else { return nil }
        self.init(epoch: epoch, position: PredictionPosition(madeAt: Timestamp(microseconds: madeAt), signalID: signalID, seq: seq))
    }

    var text: String {
        Base64URL.encode(Array("\(epoch).\(position.madeAt.microseconds).\(position.signalID).\(position.seq)".utf8))
    }
}
