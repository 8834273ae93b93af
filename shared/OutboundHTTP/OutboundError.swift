internal import CCurl

/// Why there is no answer, or why a connection ended.
public enum OutboundError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Not a URL of a scheme that is spoken here, or a header that would be more than one line.
    case badRequest(String)
    /// The name (of the host, or of the proxy before it) has no address.
    case nameNotResolved(host: String)
    /// No connection.
    case notConnected(host: String, reason: String)
    /// The other side is not who it should be, or no TLS came about with it.
    case notTrusted(host: String, reason: String)
    /// All of it took too long.
    case timedOut(host: String)
    /// The connection ended before its time.
    case lost(host: String, reason: String)
    /// The answer, or a message, is larger than is taken.
    case tooLarge(host: String, maximumBytes: Int)
    /// The other side does not keep to the protocol.
    case malformed(host: String, reason: String)
    /// The other side wants no WebSocket: its status, what it said, and when one may come again.
    case refused(host: String, status: Int, text: String, retryAfterSeconds: Int?)
    /// Nothing was heard for so long, in spite of a ping.
    case silent(host: String, after: Duration)
    /// The other side ended the WebSocket, with that code (1005 where it gave none).
    case closed(host: String, code: Int, reason: String)
    /// So much waits to be sent that one more message would be of no use.
    case peerDoesNotRead(host: String)
    /// It was ended here.
    case stopped

    /// The error in a line.
    public var description: String {
        switch self {
        case .badRequest(let why): why
        case .nameNotResolved(let host): "the name \(host) has no address"
        case .notConnected(let host, let reason): "no connection to \(host): \(reason)"
        case .notTrusted(let host, let reason): "no trusted connection to \(host): \(reason)"
        case .timedOut(let host): "\(host) did not answer in time"
        case .lost(let host, let reason): "the connection to \(host) was lost: \(reason)"
        case .tooLarge(let host, let maximumBytes): "\(host) sent more than \(maximumBytes) bytes at once"
        case .malformed(let host, let reason): "\(host) does not keep to the protocol: \(reason)"
        case .refused(let host, let status, let text, _): "\(host) refused a WebSocket with status \(status)\(text.isEmpty ? "" : ": \(text)")"
        case .silent(let host, let after): "\(host) was silent for \(after)"
        case .closed(let host, let code, let reason): "\(host) closed the connection (\(code))\(reason.isEmpty ? "" : ": \(reason)")"
        case .peerDoesNotRead(let host): "\(host) does not read what it is sent"
        case .stopped: "the connection was ended here"
        }
    }

    /// What a code of libcurl means; `detail` is what it says besides.
    init(_ code: CURLcode, host: String, detail: String) {
        let reason = detail.isEmpty ? String(cString: curl_easy_strerror(code)) : detail
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST: self = .nameNotResolved(host: host)
        case CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT, CURLE_PROXY: self = .notConnected(host: host, reason: reason)
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM, CURLE_SSL_ISSUER_ERROR,
            CURLE_SSL_INVALIDCERTSTATUS:
            self = .notTrusted(host: host, reason: reason)
        case CURLE_OPERATION_TIMEDOUT: self = .timedOut(host: host)
        case CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING, CURLE_UNSUPPORTED_PROTOCOL: self = .malformed(host: host, reason: reason)
        case CURLE_URL_MALFORMAT: self = .badRequest(reason)
        default: self = .lost(host: host, reason: reason)
        }
    }
}
