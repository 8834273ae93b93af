import ServiceRuntime

@main
enum Main {
    static func main() async {
        await ServiceProgram<AuthSettings>(
            name: "auth",
            summary: "Accounts, sessions, access tokens and API keys.",
            subcommands: [AdminCommand.subcommand, KeysCommand.subcommand],
            migrate: Application.migrate,
            build: Application.build
        ).run()
    }
}
