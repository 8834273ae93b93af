import Contracts
import Cryptography
import Testing

@Suite("Service and job tokens")
struct ServiceTokenTests {
    let signals: SigningKey
    let scheduler: SigningKey
    let keys: ServiceKeys
    let now = Timestamp(seconds: 1_800_000_000)

    init() throws {
        signals = try SigningKey.generate()
        scheduler = try SigningKey.generate()
        keys = try ServiceKeys(JWKSet(keys: [signals.verifyingKey.jwk(service: "signals"), scheduler.verifyingKey.jwk(service: "scheduler")]))
    }

    @Test func aTokenNamesItsCaller() throws {
        let source = ServiceTokenSource(service: "signals", key: signals)
        let claims = try ServiceTokenVerifier(keys: keys).verify(source.token(audience: "auth", now: now), audience: "auth", now: now)
        #expect(claims.service == "signals")
        #expect(claims.expiresAt - claims.issuedAt == 60)
    }

    @Test func aTokenIsKeptUntilItIsNearItsEnd() throws {
        let source = ServiceTokenSource(service: "signals", key: signals)
        let first = try source.token(audience: "auth", now: now)
        #expect(try source.token(audience: "auth", now: now + .seconds(44)) == first)
        #expect(try source.token(audience: "marketdata", now: now) != first)
        let second = try source.token(audience: "auth", now: now + .seconds(45))
        #expect(second != first)
        // A clock that was set back must not keep a token from the future in use.
        #expect(try source.token(audience: "auth", now: now - .seconds(3600)) != second)
    }

    @Test func aServiceCannotSpeakForAnother() throws {
        let verifier = ServiceTokenVerifier(keys: keys)
        let impostor = try ServiceTokenSource(service: "scheduler", key: signals).token(audience: "auth", now: now)
        #expect(throws: JWTError.wrongIssuer) { try verifier.verify(impostor, audience: "auth", now: now) }
        let misdirected = try ServiceTokenSource(service: "signals", key: signals).token(audience: "marketdata", now: now)
        #expect(throws: JWTError.wrongAudience) { try verifier.verify(misdirected, audience: "auth", now: now) }
        let good = try ServiceTokenSource(service: "signals", key: signals).token(audience: "auth", now: now)
        #expect(throws: JWTError.expired) { try verifier.verify(good, audience: "auth", now: now + .seconds(65)) }
        let stranger = try SigningKey.generate()
        let strangers = try ServiceTokenSource(service: "signals", key: stranger).token(audience: "auth", now: now)
        #expect(throws: JWTError.unknownKey(stranger.keyID)) { try verifier.verify(strangers, audience: "auth", now: now) }
        var lasting = ServiceTokenClaims(service: "signals", audience: "auth", now: now)
        lasting.expiresAt += 3600
        let lastingToken = try JWT.sign(lasting, with: signals)
        #expect(throws: JWTError.malformed) { try verifier.verify(lastingToken, audience: "auth", now: now) }
    }

    @Test func onlyTheSchedulerMakesJobTokens() throws {
        let claims = JobTokenClaims(
            jobID: .make(),
            attemptID: .make(),
            kind: "signal_run",
            signalID: .make(),
            codeSHA256: SHA256.digest(utf8: "code"),
            files: [SHA256.digest(utf8: "app.py")],
            instruments: ["BTCUSD"],
            asOf: now,
            now: now,
            lifetimeSeconds: 660
        )
        let verifier = JobTokenVerifier(keys: keys)
        #expect(try verifier.verify(JWT.sign(claims, with: scheduler), now: now) == claims)
        #expect(throws: JWTError.unknownKey(signals.keyID)) { try verifier.verify(JWT.sign(claims, with: signals), now: now) }
        #expect(throws: JWTError.expired) { try verifier.verify(JWT.sign(claims, with: scheduler), now: now + .seconds(700)) }
        let service = try ServiceTokenSource(service: "scheduler", key: scheduler).token(audience: "auspex-job", now: now)
        #expect(throws: JWTError.wrongType) { try verifier.verify(service, now: now) }
    }

    @Test func setsThatNameNoOwnerAreRefused() throws {
        #expect(throws: CryptographyError.self) { try ServiceKeys(JWKSet(keys: [signals.verifyingKey.jwk()])) }
        let twice = signals.verifyingKey.jwk(service: "signals")
        #expect(throws: CryptographyError.self) { try ServiceKeys(JWKSet(keys: [twice, twice])) }
    }
}
