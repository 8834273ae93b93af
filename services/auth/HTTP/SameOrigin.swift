import HTTPServing

/// Whether one of this site's own pages sent a request, so that a cookie in it is the person's own doing.
///
/// The cookies are `SameSite=Strict` already; this holds where a browser does not know that, and for pages of a sister domain.
enum SameOrigin {
    static func holds(for request: Request) -> Bool {
        // `none` is a person at the address bar.
        if let site = request.headers["Sec-Fetch-Site"] { return site == "same-origin" || site == "none" }
        guard let host = request.headers["Host"], let source = request.headers["Origin"] ?? request.headers["Referer"] else { return false }
        guard let authority = authority(of: source) else { return false }
        return authority.lowercased() == host.lowercased()
    }

    /// `host:port` of a URL; nil for `null` and for what is no http URL.
    private static func authority(of url: String) -> String? {
        for scheme in ["https://", "http://"] where url.hasPrefix(scheme) {
            let rest = url.dropFirst(scheme.count)
            return String(rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" })
        }
        return nil
    }
}
