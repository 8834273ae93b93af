public import Contracts

/// What went wrong with a request, as the client gets to read it: an `application/problem+json` of RFC 9457 with a stable `code`.
public struct Problem: Error, Sendable, CustomStringConvertible {
    /// The response's status.
    public var status: Status
    /// A stable word for programs, such as `unknown_field`.
    public var code: String
    /// A sentence for people: what is wrong and what would be right. It must hold nothing secret.
    public var detail: String
    /// The field that is at fault: a path in the JSON body such as `inputs[0].interval`, or a parameter's name.
    public var field: String?
    /// Further members of the document.
    public var extra: [String: JSONValue]
    /// Further headers of the response, such as `Retry-After`.
    public var headers: Headers

    /// A problem of one's own.
    public init(
        status: Status,
        code: String,
        detail: String,
        field: String? = nil,
        extra: [String: JSONValue] = [:],
        headers: Headers = Headers()
    ) {
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.extra = extra
        self.headers = headers
    }

    /// 400: the request itself is wrong.
    public static func badRequest(code: String = "bad_request", detail: String, field: String? = nil) -> Problem {
        Problem(status: .badRequest, code: code, detail: detail, field: field)
    }

    /// 401: nobody, or nobody that we believe.
    public static func unauthorized(code: String = "unauthorized", detail: String = "This needs a valid access token or API key.") -> Problem {
        Problem(status: .unauthorized, code: code, detail: detail, headers: ["WWW-Authenticate": "Bearer realm=\"auspex\""])
    }

    /// 403: known, but not allowed.
    public static func forbidden(code: String = "forbidden", detail: String = "You may not do this.") -> Problem {
        Problem(status: .forbidden, code: code, detail: detail)
    }

    /// 404: not there, or not for the caller to know that it is.
    public static func notFound(code: String = "not_found", detail: String = "There is nothing here.", field: String? = nil) -> Problem {
        Problem(status: .notFound, code: code, detail: detail, field: field)
    }

    /// 409: it does not go with the present state.
    public static func conflict(code: String = "conflict", detail: String, field: String? = nil) -> Problem {
        Problem(status: .conflict, code: code, detail: detail, field: field)
    }

    /// 422: well formed, but it makes no sense.
    public static func unprocessable(code: String = "unprocessable", detail: String, field: String? = nil) -> Problem {
        Problem(status: .unprocessable, code: code, detail: detail, field: field)
    }

    /// 429 with `Retry-After`.
    public static func tooManyRequests(
        code: String = "rate_limited",
        detail: String = "Too many requests.",
        retryAfterSeconds: Int = 1
    ) -> Problem {
        Problem(status: .tooManyRequests, code: code, detail: detail, headers: ["Retry-After": String(max(1, retryAfterSeconds))])
    }

    /// 503 with `Retry-After`.
    public static func unavailable(
        code: String = "unavailable",
        detail: String = "This is not available right now.",
        retryAfterSeconds: Int = 1
    ) -> Problem {
        Problem(status: .unavailable, code: code, detail: detail, headers: ["Retry-After": String(max(1, retryAfterSeconds))])
    }

    /// 500 without any detail: what happened is in the log, under the request's id.
    public static let internalError = Problem(
        status: .internalError,
        code: "internal_error",
        detail: "Something went wrong here. It has been logged under the request id."
    )

    /// Status, code and detail.
    public var description: String { "\(status.code) \(code): \(detail)" + (field.map { " (\($0))" } ?? "") }

    /// The document.
    public func json(requestID: String? = nil) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("type", "about:blank")
        json.member("title", status.reasonPhrase.description)
        json.member("status", status.code)
        json.member("code", code)
        json.member("detail", detail)
        if let field { json.member("field", field) }
        if let requestID { json.member("request_id", requestID) }
        for (key, value) in extra.sorted(by: { $0.key < $1.key }) {
            json.member(key, raw: WireJSON.encode(value))
        }
        json.endObject()
        return json.bytes
    }
}

/// An error of one's own that knows what a client should read of it; anything else becomes a 500 without detail.
public protocol ProblemRepresentable: Error {
    /// The problem to answer with.
    var problem: Problem { get }
}
