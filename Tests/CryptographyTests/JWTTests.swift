import Contracts
import Cryptography
import Testing

@Suite("Signed tokens")
struct JWTTests {
    let key: SigningKey
    let now = Timestamp(seconds: 1_800_000_000)
    let claims: AccessTokenClaims

    init() throws {
        key = try SigningKey.generate()
        claims = AccessTokenClaims(userID: .make(), accountID: .make(), sessionID: .make(), userVersion: 3, roles: ["provider"], now: now)
    }

    func verify(_ token: String, at time: Timestamp? = nil, audience: String = AccessTokenClaims.audience) throws(JWTError) -> AccessTokenClaims {
        try JWT.verify(
            token,
            keys: { $0 == key.keyID ? key.verifyingKey : nil },
            now: time ?? now,
            audience: audience,
            issuer: AccessTokenClaims.issuer
        )
    }

    /// A token whose header is of the test's making, signed by the true key all the same.
    func token(header: String) throws -> String {
        let genuine = try JWT.sign(claims, with: key).split(separator: ".")
        let input = Base64URL.encode(Array(header.utf8)) + "." + genuine[1]
        return input + "." + Base64URL.encode(try key.signature(for: Array(input.utf8)))
    }

    @Test func aTokenVerifies() throws {
        let token = try JWT.sign(claims, with: key)
        #expect(try verify(token) == claims)
        let payload = try #require(Base64URL.decode(token.split(separator: ".")[1]))
        let text = String(decoding: payload, as: UTF8.self)
        #expect(text.contains(#""account_id":"\#(claims.accountID)""#))
        #expect(text.contains(#""iss":"auspex-auth""#))
        #expect(text.contains(#""exp":1800000900"#))
    }

    @Test(arguments: [
        (#"{"alg":"none","typ":"at+jwt","kid":"KID"}"#, JWTError.algorithmRefused),
        (#"{"alg":"HS256","typ":"at+jwt","kid":"KID"}"#, .algorithmRefused),
        (#"{"alg":"es256","typ":"at+jwt","kid":"KID"}"#, .algorithmRefused),
        (#"{"alg":"RS256","typ":"at+jwt","kid":"KID"}"#, .algorithmRefused),
        (#"{"alg":"ES256","typ":"svc+jwt","kid":"KID"}"#, .wrongType),
        (#"{"alg":"ES256","kid":"KID"}"#, .wrongType),
        (#"{"alg":"ES256","typ":"at+jwt"}"#, .keyIDMissing),
        (#"{"alg":"ES256","typ":"at+jwt","kid":""}"#, .keyIDMissing),
        (#"{"alg":"ES256","typ":"at+jwt","kid":"other"}"#, .unknownKey("other")),
        (#"{"alg":"ES256","typ":"at+jwt","kid":"KID","crit":["exp"]}"#, .criticalExtension),
        (#"{"typ":"at+jwt","kid":"KID"}"#, .malformed),
        ("[]", .malformed),
        ("", .malformed),
    ])
    func hostileHeaders(header: String, refusal: JWTError) throws {
        let named = header.split(separator: "KID", omittingEmptySubsequences: false).joined(separator: key.keyID)
        let forged = try token(header: named)
        #expect(throws: refusal) { try verify(forged) }
    }

    @Test func forgedTokensAreRefused() throws {
        let token = try JWT.sign(claims, with: key)
        let parts = token.split(separator: ".").map(String.init)
        let stranger = try SigningKey.generate()
        let strangers = try JWT.sign(claims, with: stranger).split(separator: ".").map(String.init)
        #expect(throws: JWTError.badSignature) { try verify(parts[0] + "." + strangers[1] + "." + strangers[2]) }
        var richer = claims
        richer.roles = ["admin"]
        let richerParts = try JWT.sign(richer, with: stranger).split(separator: ".").map(String.init)
        #expect(throws: JWTError.badSignature) { try verify(parts[0] + "." + richerParts[1] + "." + parts[2]) }
        #expect(throws: JWTError.unknownKey(stranger.keyID)) { try verify(JWT.sign(claims, with: stranger)) }
        #expect(throws: JWTError.badSignature) { try verify(parts[0] + "." + parts[1] + ".") }
        #expect(throws: JWTError.badSignature) { try verify(parts[0] + "." + parts[1] + "." + Base64URL.encode([UInt8](repeating: 0, count: 64))) }
        for text in ["", ".", "..", "a.b", token + ".x", token + "=", " " + token, String(repeating: "a", count: 20_000)] {
            #expect(throws: JWTError.malformed) { try verify(text) }
        }
    }

    @Test func timesAreChecked() throws {
        let token = try JWT.sign(claims, with: key)
        let end = now + .seconds(AccessTokenClaims.lifetimeSeconds)
        #expect(try verify(token, at: end + .seconds(4)) == claims)
        #expect(throws: JWTError.expired) { try verify(token, at: end + .seconds(5)) }
        #expect(try verify(token, at: now - .seconds(5)) == claims)
        #expect(throws: JWTError.notYetValid) { try verify(token, at: now - .seconds(7)) }
        var endless = claims
        endless.expiresAt = .max
        let endlessToken = try JWT.sign(endless, with: key)
        #expect(throws: JWTError.malformed) { try verify(endlessToken) }
        var early = EarlyClaims(now: 1_800_000_000)
        early.notBefore = 1_800_000_100
        let earlyToken = try JWT.sign(early, with: key)
        let keys: (String) -> VerifyingKey? = { _ in key.verifyingKey }
        #expect(throws: JWTError.notYetValid) { let _: EarlyClaims = try JWT.verify(earlyToken, keys: keys, now: now, audience: "a", issuer: "i") }
        let late: EarlyClaims = try JWT.verify(earlyToken, keys: keys, now: now + .seconds(100), audience: "a", issuer: "i")
        #expect(late.notBefore == 1_800_000_100)
    }

    @Test func audienceAndIssuerAreChecked() throws {
        let token = try JWT.sign(claims, with: key)
        #expect(throws: JWTError.wrongAudience) { try verify(token, audience: "other") }
        var foreign = claims
        foreign.issuer = "somebody"
        let foreignToken = try JWT.sign(foreign, with: key)
        #expect(throws: JWTError.wrongIssuer) { try verify(foreignToken) }
        let lacking = try JWT.sign(["sub": "x"], with: key, type: AccessTokenClaims.tokenType)
        #expect(throws: JWTError.malformed) { try verify(lacking) }
    }
}

private struct EarlyClaims: TokenClaims {
    static let tokenType = "early+jwt"
    var issuer = "i"
    var audience = "a"
    var issuedAt: Int64
    var expiresAt: Int64
    var notBefore: Int64?

    init(now: Int64) {
        issuedAt = now
        expiresAt = now + 600
    }
}
