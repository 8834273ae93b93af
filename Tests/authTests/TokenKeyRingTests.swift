import Contracts
import Cryptography
import ServiceRuntime
import TestSupport
import Testing

@testable import auth

@Suite("Token key ring", .serialized)
struct TokenKeyRingTests {
    @Test(arguments: StoreKind.available)
    func replicasSignWithOneKeyAndRotateTogether(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let box = MasterKeyBox(.generate())
            let rotation = KeyRotation(publishLeadSeconds: 600, signingPeriodSeconds: 10_000, verifyingPeriodSeconds: 960)
            // The fixture's own ring has made a key under another box; it is moved out of the way.
            try await auth.store.transaction { transaction in
                for var key in try await transaction.tokenKeys() {
                    key.move(to: .gone, at: auth.time.now())
                    try await transaction.update(key)
                }
            }
            let rings = (0..<2).map { _ in TokenKeyRing(store: auth.store, box: box, rotation: rotation, time: auth.time) }
            for ring in rings { try await ring.refresh() }
            let first = try rings[0].signingKey().keyID
            #expect(try rings[1].signingKey().keyID == first)

            auth.time.advance(by: .seconds(10_000))
            try await rings[0].refresh()
            #expect(try rings[0].signingKey().keyID == first, "the successor is only published")
            try await rings[1].refresh()
            let listed = try JWKSet(json: rings[1].document).keys.compactMap(\.keyID)
            #expect(listed.count == 2 && listed.contains(first))

            auth.time.advance(by: .seconds(600))
            try await rings[1].refresh()
            let second = try rings[1].signingKey().keyID
            #expect(second != first && listed.contains(second))
            #expect(rings[1].verifyingKey(first) != nil, "tokens of the first key still verify")
            #expect(try rings[0].signingKey().keyID == first, "until it looks again")
            try await rings[0].refresh()
            #expect(try rings[0].signingKey().keyID == second)

            auth.time.advance(by: .seconds(960))
            try await rings[0].refresh()
            #expect(rings[0].verifyingKey(first) == nil)
            #expect(try JWKSet(json: rings[0].document).keys.compactMap(\.keyID) == [second])
        }
    }

    @Test(arguments: StoreKind.available)
    func keysAreSealedAndMoveToANewMasterKey(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let old = MasterKeyFile.generate()
            let oldBox = MasterKeyBox(old)
            try await auth.store.transaction { transaction in
                for var key in try await transaction.tokenKeys() {
                    key.move(to: .gone, at: auth.time.now())
                    try await transaction.update(key)
                }
                try await transaction.insert(try TokenKey.make(state: .signing, box: oldBox, now: auth.time.now()))
            }
            let newBox = MasterKeyBox(old.addingVersion())
            let ring = TokenKeyRing(store: auth.store, box: newBox, time: auth.time)
            try await ring.refresh()
            let before = try ring.signingKey().keyID
            #expect(try await ring.rewrap() == 1)
            #expect(try await ring.rewrap() == 0)
            let sealed = try #require(try await auth.store.transaction { try await $0.tokenKeys().first?.sealedPrivateKey })
            #expect(MasterKeyBox.version(of: sealed) == 2)
            try await ring.refresh()
            #expect(try ring.signingKey().keyID == before)
            await #expect(throws: CryptographyError.unknownMasterKeyVersion(2)) {
                try await TokenKeyRing(store: auth.store, box: oldBox, time: auth.time).refresh()
            }
        }
    }

    @Test func withoutKeysNobodyLogsIn() async throws {
        try await withAuth { (auth) async throws in
            let ring = TokenKeyRing(store: auth.store, box: MasterKeyBox(.generate()), time: auth.time)
            #expect(throws: AuthError.notReady) { try ring.signingKey() }
            #expect(try JWKSet(json: ring.document).keys.isEmpty)
        }
    }

    @Test func theListIsHeldForHalfThePublishLead() async throws {
        try await withAuth { auth in
            let answer = try await auth.client.get("/.well-known/jwks.json")
            #expect(answer.headers["cache-control"] == "public, max-age=300")
            #expect(KeyRotation().publishLeadSeconds >= 2 * Int64(TokenKeyRing.documentMaxAgeSeconds))
            #expect(!answer.text.contains("\"d\""))
        }
    }
}
