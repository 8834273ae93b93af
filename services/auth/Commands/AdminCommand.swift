import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

/// `auth admin …`: what only somebody at the server's own terminal may do.
enum AdminCommand {
    static let usage = """
        auth admin create --email ADDRESS [--name NAME] [--password-file FILE]   an administrator; without a file the password is made and printed
        auth admin reset-password --email ADDRESS [--password-file FILE]         a new password; all sessions of the user end
        auth admin disable --email ADDRESS                                       keeps a user out, at once
        auth admin enable --email ADDRESS                                        lets the user in again
        """

    static let subcommand = Subcommand<AuthSettings>(name: "admin", help: "administers users") { words, settings in
        try await run(words, settings)
    }

    private static func run(_ words: [String], _ settings: () throws -> AuthSettings) async throws -> Int32 {
        guard let verb = words.first, ["create", "reset-password", "disable", "enable"].contains(verb) else {
            print(usage)
            return words.isEmpty || words.first == "--help" ? 0 : 64
        }
        let arguments = try CommandArguments(Array(words.dropFirst()), values: ["email", "name", "password-file"])
        guard let text = arguments.values["email"] ?? arguments.words.first, arguments.words.count <= 1 else {
            throw CommandError.usage("--email ADDRESS is needed")
        }
        guard let email = EmailAddress(text) else { throw CommandError.usage("'\(text)' is not an e-mail address") }
        let (password, isMade) = try password(arguments, for: email)
        try await CommandEnvironment.with(settings()) { environment in
            do {
                try await perform(verb, email: email, password: password, name: arguments.values["name"], environment)
            } catch AuthError.emailTaken {
                throw CommandError.refused("there is a user with the address \(email) already")
            } catch AuthError.notFound {
                throw CommandError.refused("there is no user with the address \(email)")
            }
        }
        print("\(email): \(outcome(verb))")
        if isMade, verb == "create" || verb == "reset-password" { print("password, shown once: \(password)") }
        return 0
    }

    private static func perform(_ verb: String, email: EmailAddress, password: String, name: String?, _ environment: CommandEnvironment) async throws
    {
        switch verb {
        case "create":
            let name = try User.displayName(name ?? String(email.text.prefix { $0 != "@" }))
            _ = try await environment.registrations.createAdmin(email: email, password: password, displayName: name)
        case "reset-password": try await environment.profiles.resetPassword(of: email, to: password)
        default: try await environment.profiles.setDisabled(verb == "disable", email: email)
        }
    }

    private static func outcome(_ verb: String) -> String {
        switch verb {
        case "create": "administrator created"
        case "reset-password": "password reset, all sessions ended"
        case "disable": "disabled, all sessions ended"
        default: "enabled"
        }
    }

    private static func password(_ arguments: CommandArguments, for email: EmailAddress) throws -> (password: String, isMade: Bool) {
        guard let path = arguments.values["password-file"] else { return (RandomToken.base62(20), true) }
        let text = String(decoding: try SecretFile.read(path), as: UTF8.self)
        // An editor ends the file with a newline; it is not meant.
        let password = String(text.prefix { $0 != "\n" && $0 != "\r\n" })
        do {
            try PasswordPolicy.check(password, for: email)
        } catch {
            throw CommandError.refused("\(path): \(error.problem.detail)")
        }
        return (password, false)
    }
}
