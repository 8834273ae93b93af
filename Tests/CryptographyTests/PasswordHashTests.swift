import Cryptography
import Testing

@Suite("Password hashes")
struct PasswordHashTests {
    /// The vectors of Openwall's crypt_blowfish, in their older spelling and as `$2b$`, which means the same for these.
    static let vectors = [
        ("U*U", "05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U*", "05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
        ("U*U*U", "05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
        ("", "05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"),
    ]

    @Test(arguments: vectors, ["$2a$", "$2b$"])
    func publishedVectors(vector: (password: String, hash: String), form: String) throws {
        #expect(try PasswordHash.verify(vector.password, against: form + vector.hash))
        #expect(try !PasswordHash.verify(vector.password + "x", against: form + vector.hash))
    }

    @Test func aHashIsSaltedAndCarriesItsCost() throws {
        let first = try PasswordHash.hash("correct horse", cost: 4)
        let second = try PasswordHash.hash("correct horse", cost: 5)
        #expect(first.hasPrefix("$2b$04$"))
        #expect(PasswordHash.cost(of: first) == 4)
        #expect(PasswordHash.cost(of: second) == 5)
        #expect(try first != PasswordHash.hash("correct horse", cost: 4))
        #expect(try PasswordHash.verify("correct horse", against: first))
        #expect(try !PasswordHash.verify("correct horsf", against: first))
    }

    @Test func passwordsThatBcryptWouldCutAreRefused() throws {
        let longest = String(repeating: "é", count: 36)
        let hash = try PasswordHash.hash(longest, cost: 4)
        #expect(try PasswordHash.verify(longest, against: hash))
        #expect(throws: CryptographyError.passwordTooLong(bytes: 73)) { try PasswordHash.hash(longest + "x", cost: 4) }
        #expect(throws: CryptographyError.passwordTooLong(bytes: 73)) { try PasswordHash.verify(longest + "x", against: hash) }
        #expect(throws: CryptographyError.passwordHoldsNUL) { try PasswordHash.hash("a\0b", cost: 4) }
    }

    @Test(arguments: [3, 32, -1])
    func costsOutsideTheRangeAreRefused(cost: Int) {
        #expect(throws: CryptographyError.costOutOfRange(cost)) { try PasswordHash.hash("x", cost: cost) }
    }

    @Test(arguments: [
        "", "plain", "$1$saltsalt$abcdefghijklmnopqrstuv", "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe", "$2b$05$CCCCCCCCCCCCCCCCCCCC!.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ])
    func foreignHashesAreRefused(hash: String) {
        #expect(PasswordHash.cost(of: hash) == nil)
        #expect(throws: CryptographyError.malformedPasswordHash) { try PasswordHash.verify("x", against: hash) }
    }
}
