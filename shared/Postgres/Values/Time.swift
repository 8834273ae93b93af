public import Contracts

/// Microseconds between 1970, where our clock starts, and 2000, where the server's does.
private let serverEpoch: Int64 = 946_684_800_000_000

extension Timestamp: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `timestamptz`
    public static var postgresType: PostgresType { .timestamp }
    /// Microseconds since 2000.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(microseconds - serverEpoch) }
    /// `timestamptz`, or `timestamp` and `date` read as UTC.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        switch value.type {
        case .timestamp, .localTimestamp: self.init(microseconds: try value.integer(Int64.self) &+ serverEpoch)
        case .date: self.init(microseconds: Int64(try value.integer(Int32.self)) * 86_400_000_000 &+ serverEpoch)
        default: throw value.mismatch(Timestamp.self)
        }
    }
}
