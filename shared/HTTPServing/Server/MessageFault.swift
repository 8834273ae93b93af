internal import Contracts

/// Why a message could not be read; each is answered with a problem, after which the connection closes.
enum MessageFault: Error, Equatable {
    case malformedRequestLine
    case malformedTarget
    case malformedHeader
    case missingHost
    case malformedLength
    case malformedChunk
    case unknownTransferCoding
    case unknownMethod
    case unsupportedVersion
    case unsupportedExpectation
    case targetTooLong
    case headersTooLarge
    case bodyTooLarge(limit: Int)
    case timedOut
    case overloaded

    var problem: Problem {
        switch self {
        case .malformedRequestLine:
            .badRequest(code: "malformed_request", detail: "The request line is not HTTP/1.1.")
        case .malformedTarget:
            .badRequest(code: "malformed_target", detail: "The path or the query is not well formed: check its percent-encoding.")
        case .malformedHeader: .badRequest(code: "malformed_header", detail: "A header field is not well formed.")
        case .missingHost: .badRequest(code: "malformed_header", detail: "HTTP/1.1 needs exactly one Host header.", field: "Host")
        case .malformedLength:
            .badRequest(code: "malformed_length", detail: "Content-Length and Transfer-Encoding do not say how long the body is.")
        case .malformedChunk: .badRequest(code: "malformed_chunk", detail: "The chunked body is not well formed.")
        case .unknownTransferCoding:
            Problem(status: .notImplemented, code: "unknown_transfer_coding", detail: "Only the transfer coding chunked is known.")
        case .unknownMethod: Problem(status: .notImplemented, code: "unknown_method", detail: "This method is not known.")
        case .unsupportedVersion: Problem(status: .versionNotSupported, code: "unsupported_version", detail: "Only HTTP/1.1 and 1.0 are spoken.")
        case .unsupportedExpectation:
            Problem(status: .expectationFailed, code: "unsupported_expectation", detail: "Only the expectation 100-continue is known.")
        case .targetTooLong: Problem(status: .uriTooLong, code: "target_too_long", detail: "The path with its query is too long.")
        case .headersTooLarge: Problem(status: .headersTooLarge, code: "headers_too_large", detail: "The headers are too large or too many.")
        case .bodyTooLarge(let limit):
            Problem(
                status: .contentTooLarge,
                code: "body_too_large",
                detail: "The body may have \(limit) bytes at most.",
                extra: ["maximum_bytes": .integer(Int64(limit))]
            )
        case .timedOut: Problem(status: .requestTimeout, code: "request_timeout", detail: "The request did not arrive in time.")
        case .overloaded: .unavailable(code: "overloaded", detail: "Too much is being received at once; try again.", retryAfterSeconds: 1)
        }
    }
}
