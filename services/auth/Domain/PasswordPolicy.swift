import Cryptography

/// Which passwords may be set. Checked when one is chosen, never when one is tried.
enum PasswordPolicy {
    /// Counted in characters as a person sees them.
    static let minimumCharacters = 10

    /// Throws what is wrong with a new password.
    static func check(_ password: String, for email: EmailAddress, field: String = "password") throws(AuthError) {
        guard password.count >= minimumCharacters else {
            throw .invalid(field: field, code: "password_too_short", detail: "A password has \(minimumCharacters) characters or more.")
        }
        do {
            try PasswordHash.check(password)
        } catch .passwordTooLong {
            throw .invalid(
                field: field,
                code: "password_too_long",
                detail: "A password has at most \(PasswordHash.maximumPasswordBytes) bytes in UTF-8."
            )
        } catch {
            throw .invalid(field: field, code: "invalid_value", detail: "A password holds no NUL character.")
        }
        guard password.lowercased() != email.text, Set(password).count > 2 else {
            throw .invalid(
                field: field,
                code: "password_too_simple",
                detail: "A password differs from the e-mail address and has more than two different characters."
            )
        }
    }
}
