internal import CRedis

/// An answer of Redis.
public enum RedisValue: Sendable, Hashable {
    /// Nothing is there.
    case none
    /// A number.
    case integer(Int64)
    /// A value, byte for byte.
    case bytes([UInt8])
    /// A short word such as `OK`.
    case status(String)
    /// Several answers.
    case array([RedisValue])
    /// A refusal inside an array or script.
    case error(String)

    /// The bytes, if it is a value or a status.
    public var bytes: [UInt8]? {
        switch self {
        case .bytes(let bytes): bytes
        case .status(let text): Array(text.utf8)
        default: nil
        }
    }

    /// The number, also when it came as digits.
    public var integer: Int64? {
        switch self {
        case .integer(let number): number
        case .bytes(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        default: nil
        }
    }

    /// The answers in an array.
    public var array: [RedisValue]? {
        guard case .array(let values) = self else { return nil }
        return values
    }

    init(_ reply: UnsafePointer<redisReply>) {
        let text = { UnsafeRawBufferPointer(start: reply.pointee.str, count: reply.pointee.len) }
        switch reply.pointee.type {
        case REDIS_REPLY_INTEGER: self = .integer(reply.pointee.integer)
        case REDIS_REPLY_STRING: self = .bytes(Array(text()))
        case REDIS_REPLY_STATUS: self = .status(String(decoding: text(), as: UTF8.self))
        case REDIS_REPLY_ERROR: self = .error(String(decoding: text(), as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            self = .array((0..<reply.pointee.elements).map { reply.pointee.element[$0].map { RedisValue($0) } ?? .none })
        default: self = .none
        }
    }
}
