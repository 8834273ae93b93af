public import Contracts
public import FoundationEssentials

extension UUID: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `uuid`
    public static var postgresType: PostgresType { .uuid }
    /// Sixteen bytes.
    public func encode(into buffer: inout PostgresBuffer) { withUnsafeBytes(of: uuid) { buffer.append(contentsOf: $0) } }
    /// Sixteen bytes.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        guard value.type == .uuid, value.bytes.count == 16 else { throw value.mismatch(UUID.self) }
        self.init(uuid: value.bytes.loadUnaligned(as: uuid_t.self))
    }
}

extension ID: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `uuid`
    public static var postgresType: PostgresType { .uuid }
    /// Sixteen bytes.
    public func encode(into buffer: inout PostgresBuffer) { uuid.encode(into: &buffer) }
    /// Sixteen bytes.
    public init(postgres value: PostgresValue) throws(PostgresError) { self.init(uuid: try UUID(postgres: value)) }
}

extension SHA256Digest: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `bytea`
    public static var postgresType: PostgresType { .bytes }
    /// Thirty-two bytes.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(contentsOf: bytes) }
    /// Thirty-two bytes.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        guard value.type == .bytes, let digest = SHA256Digest(bytes: value.bytes) else { throw value.mismatch(SHA256Digest.self) }
        self = digest
    }
}
