import Cryptography
import Foundation
import Testing

@testable import auth

@Suite("Key files")
struct CommandTests {
    func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "auspex-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    @Test func serviceKeysAndTheirSet() throws {
        try withFolder { folder in
            for name in ["signals", "scheduler"] { try KeysCommand.makeService(["--name", name, "--out", "\(folder)/\(name).pem"]) }
            try KeysCommand.makeServiceSet(["\(folder)/signals.pem", "\(folder)/scheduler.pem", "--out", "\(folder)/services.jwks"])
            let token = try ServiceTokenSource(service: "signals", keyFile: "\(folder)/signals.pem").token(audience: "auth")
            let verifier = try ServiceTokenVerifier(path: "\(folder)/services.jwks")
            #expect(try verifier.verify(token, audience: "auth").service == "signals")
            let mode = try FileManager.default.attributesOfItem(atPath: "\(folder)/signals.pem")[.posixPermissions] as? Int
            #expect(mode == 0o600)
            // Again, for a new key of one of them.
            try KeysCommand.makeServiceSet(["\(folder)/signals.pem", "--out", "\(folder)/services.jwks"])
            #expect(throws: CryptographyError.self) { try KeysCommand.makeService(["--name", "signals", "--out", "\(folder)/signals.pem"]) }
        }
    }

    @Test func masterKeyVersions() throws {
        try withFolder { folder in
            let path = "\(folder)/master.key"
            try KeysCommand.makeMaster(["--out", path])
            let sealed = try MasterKeyBox(path: path).seal([1, 2, 3], context: "x")
            #expect(throws: CryptographyError.self, "an existing file is not overwritten") { try KeysCommand.makeMaster(["--out", path]) }
            try KeysCommand.makeMaster(["--out", path, "--add-version"])
            let box = try MasterKeyBox(path: path)
            #expect(box.currentVersion == 2)
            #expect(try box.open(sealed, context: "x") == [1, 2, 3])
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
    }

    @Test func wrongWordsAreNamed() {
        #expect(throws: CommandError.self) { try KeysCommand.makeService(["--name", "signals"]) }
        #expect(throws: CommandError.self) { try KeysCommand.makeService(["--name", "../x", "--out", "x"]) }
        #expect(throws: CommandError.self) { try KeysCommand.makeServiceSet(["--out", "x"]) }
        #expect(throws: CommandError.self) { try CommandArguments(["--what"], values: ["name"]) }
        #expect(throws: CommandError.self) { try CommandArguments(["--name"], values: ["name"]) }
    }
}
