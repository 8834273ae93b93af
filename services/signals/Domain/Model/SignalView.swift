import Contracts

/// What every answer about a signal's predictions stands on, read together.
struct SignalView: Sendable {
    var signal: Signal
    var head: SignalHead
    var cadence: CadenceRecord?
    /// Of the newest seal that covers a prediction of this signal.
    var root: SHA256Digest?
    var epoch: Int64
}
