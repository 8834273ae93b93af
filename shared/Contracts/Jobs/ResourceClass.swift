/// Which slots a job competes for; it names the wake-up queue `jobs.<class>` as well.
public enum ResourceClass: String, Sendable, Hashable, Codable, CaseIterable {
    /// Scheduled signal runs: slots that no other kind may use.
    case signal
    /// 1 CPU, 512 MB, 60 s.
    case small
    /// 1 CPU, 4 GB, 10 min.
    case standard
    /// More of everything.
    case large
    /// With a GPU.
    case gpu
    /// Work of the market data service.
    case marketdata
    /// Work of the signals service.
    case signals
}
