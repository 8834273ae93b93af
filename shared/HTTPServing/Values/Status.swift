/// An HTTP status code.
public struct Status: Sendable, Hashable, ExpressibleByIntegerLiteral {
    /// The number, 100 to 599.
    public let code: Int

    /// A status by its number.
    public init(_ code: Int) {
        precondition((100...599).contains(code), "an HTTP status has three digits")
        self.code = code
    }

    /// A status written as a number in the source.
    public init(integerLiteral value: Int) { self.init(value) }

    /// 200
    public static let ok = Status(200)
    /// 201
    public static let created = Status(201)
    /// 202
    public static let accepted = Status(202)
    /// 204
    public static let noContent = Status(204)
    /// 302
    public static let found = Status(302)
    /// 303
    public static let seeOther = Status(303)
    /// 304
    public static let notModified = Status(304)
    /// 400
    public static let badRequest = Status(400)
    /// 401
    public static let unauthorized = Status(401)
    /// 402
    public static let paymentRequired = Status(402)
    /// 403
    public static let forbidden = Status(403)
    /// 404
    public static let notFound = Status(404)
    /// 405
    public static let methodNotAllowed = Status(405)
    /// 408
    public static let requestTimeout = Status(408)
    /// 409
    public static let conflict = Status(409)
    /// 410
    public static let gone = Status(410)
    /// 412
    public static let preconditionFailed = Status(412)
    /// 413
    public static let contentTooLarge = Status(413)
    /// 414
    public static let uriTooLong = Status(414)
    /// 415
    public static let unsupportedMediaType = Status(415)
    /// 417
    public static let expectationFailed = Status(417)
    /// 422
    public static let unprocessable = Status(422)
    /// 429
    public static let tooManyRequests = Status(429)
    /// 431
    public static let headersTooLarge = Status(431)
    /// 500
    public static let internalError = Status(500)
    /// 501
    public static let notImplemented = Status(501)
    /// 502
    public static let badGateway = Status(502)
    /// 503
    public static let unavailable = Status(503)
    /// 504
    public static let gatewayTimeout = Status(504)
    /// 505
    public static let versionNotSupported = Status(505)

    /// Whether a response with this status never has a body.
    public var forbidsBody: Bool { code < 200 || code == 204 || code == 304 }

    /// The words that go with the number.
    public var reasonPhrase: StaticString {
        switch code {
        case 100: "Continue"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 425: "Too Early"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}
