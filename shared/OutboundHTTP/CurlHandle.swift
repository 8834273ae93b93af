internal import CCurl

/// One transfer's settings, kept as long as it runs. Unchecked because its owner uses it on one loop alone.
final class CurlHandle: @unchecked Sendable {
    let handle: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?
    private let errorText: UnsafeMutablePointer<CChar>

    /// A transfer of a URL; nothing follows redirects, and only http and https are spoken.
    init(_ url: String, configuration: OutboundConfiguration) {
        guard let handle = curl_easy_init() else { preconditionFailure("out of memory for libcurl") }
        self.handle = handle
        errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        auspex_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, errorText)
        set(CURLOPT_URL, url)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        // Signals and threads do not go together.
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        set(CURLOPT_CONNECTTIMEOUT_MS, configuration.connectTimeout.wholeMilliseconds)
        if let file = configuration.authoritiesFile { set(CURLOPT_CAINFO, file) }
        switch configuration.proxy {
        case .environment: break
        case .none: set(CURLOPT_PROXY, "")
        case .url(let proxy): set(CURLOPT_PROXY, proxy)
        }
    }

    deinit {
        curl_easy_cleanup(handle)
        curl_slist_free_all(headers)
        errorText.deallocate()
    }

    /// What the library says about a failure.
    var errorDetail: String { String(cString: errorText) }

    func set(_ option: CURLoption, _ value: Int) { auspex_curl_set_long(handle, option, value) }

    func set(_ option: CURLoption, _ value: String) { auspex_curl_set_text(handle, option, value) }

    func setHeaders(_ fields: [(name: String, value: String)]) {
        for field in fields { headers = curl_slist_append(headers, "\(field.name): \(field.value)") }
        auspex_curl_set_pointer(handle, CURLOPT_HTTPHEADER, headers)
    }
}

extension Duration {
    var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        return max(1, Int(seconds * 1_000 + attoseconds / 1_000_000_000_000_000))
    }
}

/// A header that cannot be taken for two.
func checkHeader(_ name: String, _ value: String) throws(OutboundError) {
    let isName = !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x3A }
    guard isName, value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw .badRequest("the header \(name) is not one line") }
}
