/// The server's number for a type.
public struct PostgresType: RawRepresentable, Sendable, Hashable {
    /// The object id in `pg_type`.
    public let rawValue: UInt32

    /// A type by its object id.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The server finds the type out by itself; such a value travels as text.
    public static let inferred = PostgresType(rawValue: 0)
    /// `boolean`
    public static let boolean = PostgresType(rawValue: 16)
    /// `bytea`
    public static let bytes = PostgresType(rawValue: 17)
    /// `name`, the type of names in the catalogue
    public static let name = PostgresType(rawValue: 19)
    /// `bigint`
    public static let integer64 = PostgresType(rawValue: 20)
    /// `smallint`
    public static let integer16 = PostgresType(rawValue: 21)
    /// `integer`
    public static let integer32 = PostgresType(rawValue: 23)
    /// `text`
    public static let text = PostgresType(rawValue: 25)
    /// `oid`
    public static let objectID = PostgresType(rawValue: 26)
    /// `json`
    public static let json = PostgresType(rawValue: 114)
    /// `real`
    public static let float = PostgresType(rawValue: 700)
    /// `double precision`
    public static let double = PostgresType(rawValue: 701)
    /// `character(n)`
    public static let paddedText = PostgresType(rawValue: 1042)
    /// `character varying`
    public static let variableText = PostgresType(rawValue: 1043)
    /// `date`
    public static let date = PostgresType(rawValue: 1082)
    /// `timestamp without time zone`
    public static let localTimestamp = PostgresType(rawValue: 1114)
    /// `timestamp with time zone`
    public static let timestamp = PostgresType(rawValue: 1184)
    /// `numeric`
    public static let numeric = PostgresType(rawValue: 1700)
    /// `uuid`
    public static let uuid = PostgresType(rawValue: 2950)
    /// `jsonb`
    public static let binaryJSON = PostgresType(rawValue: 3802)

    /// The type of an array of this one.
    public var array: PostgresType {
        switch self {
        case .boolean: PostgresType(rawValue: 1000)
        case .bytes: PostgresType(rawValue: 1001)
        case .integer16: PostgresType(rawValue: 1005)
        case .integer32: PostgresType(rawValue: 1007)
        case .text: PostgresType(rawValue: 1009)
        case .integer64: PostgresType(rawValue: 1016)
        case .float: PostgresType(rawValue: 1021)
        case .double: PostgresType(rawValue: 1022)
        case .timestamp: PostgresType(rawValue: 1185)
        case .numeric: PostgresType(rawValue: 1231)
        case .uuid: PostgresType(rawValue: 2951)
        case .binaryJSON: PostgresType(rawValue: 3807)
        case .date: PostgresType(rawValue: 1182)
        default: .inferred
        }
    }
}
