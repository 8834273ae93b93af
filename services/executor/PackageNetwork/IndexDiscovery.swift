import Contracts
import FoundationEssentials
import OutboundHTTP
import ServiceRuntime

/// Finds out what nobody has set about the package index: which one the installer asks by itself, and on which hosts the index has its files.
///
/// Asked once a process, before the first build; what could not be found out is asked again before the next.
actor IndexDiscovery {
    private let index: PackageIndex
    /// What the installer says of its options; by this it names its index.
    private let installerHelp: @Sendable () async throws -> String
    /// The page of a project at an index, as a browser would get it; nil when there is none.
    private let page: @Sendable (String) async throws -> String?
    private var known: PackageRoutes?

    /// Every mirror of an index has this project. It is not chosen by whoever asks for packages, so nobody but the index says where its files are.
    private static let project = "pip"

    /// What there is to be found out of an index.
    init(
        index: PackageIndex,
        installerHelp: @escaping @Sendable () async throws -> String,
        page: @escaping @Sendable (String) async throws -> String?
    ) {
        self.index = index
        self.installerHelp = installerHelp
        self.page = page
    }

    /// Where builds may connect to.
    func routes() async throws -> PackageRoutes {
        if let known { return known }
        var found = index
        if found.url == nil {
            guard let usual = Self.defaultIndex(in: try await installerHelp()) else {
                throw EnvironmentError(
                    kind: .infra,
                    reason: "the installer does not say which package index it asks: AUSPEX_PACKAGE_INDEX has to name one"
                )
            }
            found.url = usual
        }
        var isWhole = true
        for url in [found.url].compactMap(\.self) + found.extraURLs {
            do {
                let text = try await page(url + (url.hasSuffix("/") ? "" : "/") + Self.project + "/")
                found.fileHosts += Self.hosts(of: text ?? "").sorted()
            } catch {
                // The build will say which host it misses.
                isWhole = false
            }
        }
        let routes = PackageRoutes(found)
        if isWhole { known = routes }
        return routes
    }

    /// The index in the words of `uv … --help`: "(by default: <https://…>)".
    static func defaultIndex(in help: String) -> String? {
        guard let mark = help.firstRange(of: "(by default: <") else { return nil }
        let url = help[mark.upperBound...].prefix { $0 != ">" && !$0.isWhitespace }
        return IndexURL(String(url)).map { _ in String(url) }
    }

    /// The hosts to which a page of an index links by whole addresses with encryption; others than these are the index's own.
    static func hosts(of page: String) -> Set<String> {
        var hosts: Set<String> = []
        var rest = page[...]
        while let mark = rest.firstRange(of: "href=\"https://") {
            rest = rest[mark.upperBound...]
            let authority = String(rest.prefix { !"/\"?#".contains($0) })
            if Endpoint(authority: authority, defaultPort: 443) != nil { hosts.insert(authority) }
        }
        return hosts
    }

    /// Asks by this machine's own way to the world.
    static func asking(_ index: PackageIndex, on loop: EventLoop) -> @Sendable (String) async throws -> String? {
        var configuration = OutboundConfiguration()
        configuration.authoritiesFile = index.certificates
        let client = OutboundClient(loop: loop, configuration: configuration)
        return { url in
            guard let parts = IndexURL(url) else { return nil }
            var headers = [(name: "Accept", value: "text/html")]
            if let credentials = parts.credentials {
                headers.append((name: "Authorization", value: "Basic " + Data(PackageRoutes.withoutPercents(credentials)).base64EncodedString()))
            }
            let plain = (parts.isEncrypted ? "https://" : "http://") + parts.endpoint.description + parts.target
            let answer = try await client.send(OutboundRequest(url: plain, headers: headers, deadline: .seconds(20)))
            if answer.status >= 500 || answer.status == 429 {
                throw EnvironmentError(kind: .infra, reason: "the package index answered \(answer.status)")
            }
            return answer.status == 200 ? String(decoding: answer.body, as: UTF8.self) : nil
        }
    }
}
