import Contracts
import Cryptography
import ServiceRuntime

/// `auth keys …`: makes the key files of an installation, and looks after the keys that sign access tokens.
enum KeysCommand {
    static let usage = """
        auth keys make-service --name SERVICE --out FILE     a service's own key, mode 0600
        auth keys jwks FILE... --out FILE                    services.jwks of service key files
        auth keys make-master --out FILE [--add-version]     the master key file, mode 0600; or one more version in it
        auth keys rewrap                                     seals all token keys under the highest master key version
        auth keys rotate                                     publishes a successor of the signing key now
        """

    static let subcommand = Subcommand<AuthSettings>(name: "keys", help: "makes and changes keys") { words, settings in
        try await run(words, settings)
    }

    private static func run(_ words: [String], _ settings: () throws -> AuthSettings) async throws -> Int32 {
        let rest = Array(words.dropFirst())
        switch words.first {
        case "make-service": try makeService(rest)
        case "jwks": try makeServiceSet(rest)
        case "make-master": try makeMaster(rest)
        case "rewrap":
            let count = try await CommandEnvironment.with(settings()) { try await $0.tokenKeys.rewrap() }
            print("\(count) token keys sealed anew")
        case "rotate":
            try await CommandEnvironment.with(settings()) { try await $0.tokenKeys.refresh(rotateNow: true) }
            print("a successor is published; it signs when every cache can have it")
        default:
            print(usage)
            return words.isEmpty || words.first == "--help" ? 0 : 64
        }
        return 0
    }

    /// The first line of a service key file: PEM readers pass over what stands before the key.
    private static let serviceLine = "auspex-service: "

    static func makeService(_ words: [String]) throws {
        let arguments = try CommandArguments(words, values: ["name", "out"])
        let name = try arguments.required("name")
        guard !name.isEmpty, name.utf8.allSatisfy({ (0x61...0x7a).contains($0) || $0 == UInt8(ascii: "-") }) else {
            throw CommandError.usage("a service's name has lower-case letters and dashes only")
        }
        let text = serviceLine + name + "\n" + (try SigningKey.generate().pem())
        try SecretFile.write(Array(text.utf8), to: try arguments.required("out"))
    }

    static func makeServiceSet(_ words: [String]) throws {
        let arguments = try CommandArguments(words, values: ["out"])
        let out = try arguments.required("out")
        guard !arguments.words.isEmpty else { throw CommandError.usage("name the service key files") }
        var keys: [JWK] = []
        for path in arguments.words {
            let text = String(decoding: try SecretFile.read(path), as: UTF8.self)
            guard let line = text.split(separator: "\n").first, line.hasPrefix(serviceLine) else {
                throw CommandError.refused("\(path) does not begin with '\(serviceLine)NAME'; make it by 'auth keys make-service'")
            }
            keys.append(try SigningKey(pem: text).verifyingKey.jwk(service: String(line.dropFirst(serviceLine.count))))
        }
        let set = JWKSet(keys: keys)
        _ = try ServiceKeys(set)
        try SecretFile.write(try set.json() + [UInt8(ascii: "\n")], to: out, replacing: true)
    }

    static func makeMaster(_ words: [String]) throws {
        let arguments = try CommandArguments(words, values: ["out"], flags: ["add-version"])
        let out = try arguments.required("out")
        let adding = arguments.flags.contains("add-version")
        let file = adding ? try MasterKeyFile(path: out).addingVersion() : MasterKeyFile.generate()
        try SecretFile.write(Array(file.text.utf8), to: out, replacing: adding)
    }
}
