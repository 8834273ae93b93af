import ServiceRuntime

@main
enum Main {
    static func main() async {
        await ServiceProgram<SignalsSettings>(
            name: "signals",
            summary: "Signals, their versions, subscriptions, and the ledger of predictions.",
            subcommands: [VerifyLedgerCommand.subcommand, AuditCommand.subcommand, DeadLetters.subcommand],
            migrate: Application.migrate,
            build: Application.build
        ).run()
    }
}
