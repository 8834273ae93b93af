public import Bars
public import Postgres

/// Days between 1970, where our count starts, and 2000, where the server's does.
private let serverEpoch = 10_957

/// A day is the server's `date`.
extension CivilDay: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `date`
    public static var postgresType: PostgresType { .date }

    /// Days since 2000.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(Int32(number - serverEpoch)) }

    /// A `date` column only.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        guard value.type == .date, value.bytes.count == 4 else { throw value.mismatch(CivilDay.self) }
        self.init(number: Int(Int32(bigEndian: value.bytes.loadUnaligned(as: Int32.self))) + serverEpoch)
    }
}

extension PriceSide: PostgresEncodable, PostgresDecodable {}
extension SeriesOrigin: PostgresEncodable, PostgresDecodable {}
extension AssetClass: PostgresEncodable, PostgresDecodable {}
extension VolumeUnit: PostgresEncodable, PostgresDecodable {}
extension Replay.State: PostgresEncodable, PostgresDecodable {}
