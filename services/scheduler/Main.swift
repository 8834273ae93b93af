import ServiceRuntime

@main
enum Main {
    static func main() async {
        await ServiceProgram<SchedulerSettings>(
            name: "scheduler",
            summary: "Schedules of published signals and the ledger of jobs.",
            subcommands: [AuditCommand.subcommand, LimitsCommand.subcommand, DeadLetters.subcommand],
            migrate: Application.migrate,
            build: Application.build
        ).run()
    }
}
