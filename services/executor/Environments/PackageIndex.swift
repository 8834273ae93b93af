import FoundationEssentials

/// Where packages come from: the machine's own pip settings, so that Auspex asks the index that pip would ask.
struct PackageIndex: Sendable, Hashable {
    /// The index, or nil for the installer's own.
    var url: String?
    /// Further indexes.
    var extraURLs: [String] = []
    /// Hosts of the files that the indexes link to, where those are others: `host` or `host:port`.
    var fileHosts: [String] = []
    /// The file of certificate authorities.
    var certificates: String?
    /// Proxy variables: by these the executor's own proxy reaches the world.
    var proxies: [String: String] = [:]

    /// What an operator says about packages, before what the machine says.
    struct Choice: Sendable, Hashable {
        var url: String?
        var fileHosts: [String] = []
    }

    /// Reads `PIP_…`, `UV_…` and proxy variables, then pip's configuration files in pip's order.
    init(environment: [String: String], choice: Choice = Choice(), readFile: (String) -> String?) {
        var settings: [String: String] = [:]
        let home = environment["HOME"] ?? ""
        let files =
            environment["PIP_CONFIG_FILE"].map { [$0] }
            ?? ["/etc/pip.conf", "/etc/xdg/pip/pip.conf", home + "/.pip/pip.conf", home + "/.config/pip/pip.conf"]
        for file in files { settings.merge(Self.parse(readFile(file) ?? "")) { $1 } }
        url = environment["UV_DEFAULT_INDEX"] ?? environment["PIP_INDEX_URL"] ?? settings["index-url"]
        let extra = environment["UV_INDEX"] ?? environment["PIP_EXTRA_INDEX_URL"] ?? settings["extra-index-url"] ?? ""
        extraURLs = extra.split { $0 == " " || $0 == "\n" || $0 == "\t" }.map(String.init)
        let usual = "/etc/ssl/certs/ca-certificates.crt"
        certificates =
            [environment["SSL_CERT_FILE"], environment["PIP_CERT"], settings["cert"], usual].compactMap { $0 }.first { readFile($0) != nil }
        fileHosts = choice.fileHosts
        if let chosen = choice.url { (url, extraURLs) = (chosen, []) }
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            if let value = environment[name] ?? environment[name.lowercased()] { proxies[name] = value }
        }
    }

    /// The `[global]` and `[install]` settings of a pip configuration file.
    private static func parse(_ text: String) -> [String: String] {
        var settings: [String: String] = [:]
        var section = ""
        var lastKey: String?
        for line in text.split(whereSeparator: \.isNewline) {
            let trimmed = line.drop { $0 == " " || $0 == "\t" }
            if trimmed.first == "#" || trimmed.first == ";" { continue }
            if trimmed.first == "[" {
                section = String(trimmed.dropFirst().prefix { $0 != "]" })
                lastKey = nil
            } else if trimmed.count < line.count, let key = lastKey {
                settings[key, default: ""] += " " + trimmed
            } else if let equals = trimmed.firstIndex(of: "="), section == "global" || section == "install" {
                let key = trimmed[..<equals].filter { $0 != " " && $0 != "\t" }.lowercased()
                settings[key] = String(trimmed[trimmed.index(after: equals)...].drop { $0 == " " || $0 == "\t" })
                lastKey = key
            }
        }
        return settings
    }
}
