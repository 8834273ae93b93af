@testable import Cryptography
import Testing

@Suite("P-256 keys")
struct KeyTests {
    @Test func aKeySurvivesPEM() throws {
        let key = try SigningKey.generate()
        let pem = try key.pem()
        #expect(pem.hasPrefix("-----BEGIN PRIVATE KEY-----"))
        let again = try SigningKey(pem: pem)
        #expect(again.keyID == key.keyID)
        let message = Array("message".utf8)
        #expect(key.verifyingKey.isValid(signature: try again.signature(for: message), for: message))
    }

    @Test func aKeySurvivesJWK() throws {
        let key = try SigningKey.generate()
        let set = JWKSet(keys: [key.verifyingKey.jwk(service: "signals")])
        let read = try JWKSet(json: set.json())
        #expect(read == set)
        #expect(read.keys[0].service == "signals")
        let message = Array("message".utf8)
        let signature = try key.signature(for: message)
        #expect(signature.count == 64)
        let verifyingKey = try #require(read.verifyingKeys()[key.keyID])
        #expect(verifyingKey.isValid(signature: signature, for: message))
        #expect(!verifyingKey.isValid(signature: signature, for: message + [0]))
        for position in [0, 31, 32, 63] {
            var changed = signature
            changed[position] ^= 1
            #expect(!verifyingKey.isValid(signature: changed, for: message))
        }
        #expect(!verifyingKey.isValid(signature: Array(signature.dropLast()), for: message))
        #expect(!verifyingKey.isValid(signature: [UInt8](repeating: 0, count: 64), for: message))
    }

    /// RFC 7515 appendix A.3: verified as published, since ECDSA signs differently each time.
    @Test func publishedSignature() throws {
        let jwk = JWK(
            keyType: "EC",
            curve: "P-256",
            x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
        )
        let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        let signature = try #require(
            Base64URL.decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
        )
        #expect(try VerifyingKey(jwk: jwk).isValid(signature: signature, for: Array(input.utf8)))
        #expect(try !VerifyingKey(jwk: jwk).isValid(signature: signature, for: Array((input + "x").utf8)))
    }

    /// RFC 7638 section 3.1 (an RSA key, by the same rule) and the EC key of RFC 9449 with its published `jkt`.
    @Test func publishedThumbprints() throws {
        let modulus =
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4H"
            + "c5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4"
            + "vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        #expect(JWK.thumbprint(of: ["kty": "RSA", "n": modulus, "e": "AQAB"]) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        let key = try VerifyingKey(
            jwk: JWK(
                keyType: "EC",
                curve: "P-256",
                x: "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                y: "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"
            )
        )
        #expect(key.keyID == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
    }

    @Test func foreignKeysAreRefused() throws {
        #expect(throws: CryptographyError.malformedPEM) { try SigningKey(pem: "not a key") }
        #expect(throws: CryptographyError.malformedPEM) { try SigningKey(pem: Self.encryptedPEM) }
        #expect(throws: CryptographyError.notP256) { try SigningKey(pem: Self.ed25519PEM) }
        let good = try SigningKey.generate().verifyingKey.jwk()
        var jwk = good
        jwk.curve = "P-384"
        #expect(throws: CryptographyError.notP256) { try VerifyingKey(jwk: jwk) }
        jwk = good
        jwk.y = good.x
        #expect(throws: CryptographyError.notP256) { try VerifyingKey(jwk: jwk) }
        jwk = good
        jwk.x = nil
        #expect(throws: CryptographyError.malformedJWK("x is missing or not base64url")) { try VerifyingKey(jwk: jwk) }
    }

    @Test func foreignMembersOfASetArePassedOver() throws {
        let key = try SigningKey.generate()
        let ours = key.verifyingKey.jwk()
        let document =
            #"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"r"},{"kty":"EC","crv":"P-256","x":"\#(ours.x!)","y":"\#(ours.y!)","kid":"e","use":"enc"},"#
            + #"{"kty":"EC","crv":"P-256","x":"\#(ours.x!)","y":"\#(ours.y!)","kid":"s"}]}"#
        #expect(try JWKSet(json: Array(document.utf8)).verifyingKeys().keys.sorted() == ["s"])
        #expect(throws: CryptographyError.self) { try JWKSet(json: Array("{}".utf8)) }
    }

    /// RFC 8410 section 10.3, an Ed25519 key.
    static let ed25519PEM = """
        -----BEGIN PRIVATE KEY-----
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
        -----END PRIVATE KEY-----
        """
    static let encryptedPEM = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw
        -----END ENCRYPTED PRIVATE KEY-----
        """
}
