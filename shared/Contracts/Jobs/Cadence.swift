/// When a signal runs.
public enum Cadence: Sendable, Hashable {
    /// Every so many seconds of absolute time.
    case interval(seconds: Int)
    /// By a cron expression in an IANA zone.
    case cron(expression: String, zone: String)
    /// When a bar of an instrument closes.
    case barClose(instrument: String, interval: String)
    /// Within the sessions of an instrument's market, by its calendar.
    case session(instrument: String, moment: SessionMoment)
}

/// Which moments of a session are due.
public enum SessionMoment: Sendable, Hashable {
    /// The open and every so many seconds after it, before the close.
    case every(seconds: Int)
    /// Once, so many seconds after the open, in a session that lasts longer.
    case afterOpen(seconds: Int)
    /// Once, so many seconds before the close, in a session that lasts as long.
    case beforeClose(seconds: Int)
}

extension Cadence {
    /// The longest interval between two runs, and the longest bar that can set one off: 366 days. Whoever accepts a cadence holds to it.
    public static let maximumIntervalSeconds = 366 * 86_400
}

extension Cadence: Codable {
    private enum CodingKeys: CodingKey {
        case kind, seconds, expression, zone, instrument, interval, everySeconds, afterOpenSeconds, beforeCloseSeconds
    }
    private enum Kind: String, Codable {
        case interval, cron, session
        case barClose = "bar_close"
    }

    /// Reads `{"kind": "interval" | "cron" | "bar_close" | "session", …}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(Kind.self, forKey: .kind) {
        case .interval:
            self = .interval(seconds: try container.decode(Int.self, forKey: .seconds))
        case .cron:
            self = .cron(expression: try container.decode(String.self, forKey: .expression), zone: try container.decode(String.self, forKey: .zone))
        case .barClose:
            self = .barClose(
                instrument: try container.decode(String.self, forKey: .instrument),
                interval: try container.decode(String.self, forKey: .interval)
            )
        case .session:
            let moment: SessionMoment
            if let seconds = try container.decodeIfPresent(Int.self, forKey: .everySeconds) {
                moment = .every(seconds: seconds)
            } else if let seconds = try container.decodeIfPresent(Int.self, forKey: .afterOpenSeconds) {
                moment = .afterOpen(seconds: seconds)
            } else {
                moment = .beforeClose(seconds: try container.decode(Int.self, forKey: .beforeCloseSeconds))
            }
            self = .session(instrument: try container.decode(String.self, forKey: .instrument), moment: moment)
        }
    }

    /// Writes the same.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .interval(let seconds):
            try container.encode(Kind.interval, forKey: .kind)
            try container.encode(seconds, forKey: .seconds)
        case .cron(let expression, let zone):
            try container.encode(Kind.cron, forKey: .kind)
            try container.encode(expression, forKey: .expression)
            try container.encode(zone, forKey: .zone)
        case .barClose(let instrument, let interval):
            try container.encode(Kind.barClose, forKey: .kind)
            try container.encode(instrument, forKey: .instrument)
            try container.encode(interval, forKey: .interval)
        case .session(let instrument, let moment):
            try container.encode(Kind.session, forKey: .kind)
            try container.encode(instrument, forKey: .instrument)
            switch moment {
            case .every(let seconds): try container.encode(seconds, forKey: .everySeconds)
            case .afterOpen(let seconds): try container.encode(seconds, forKey: .afterOpenSeconds)
            case .beforeClose(let seconds): try container.encode(seconds, forKey: .beforeCloseSeconds)
            }
        }
    }
}
