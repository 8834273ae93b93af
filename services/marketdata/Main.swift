import ServiceRuntime

@main
enum Main {
    static func main() async {
        await ServiceProgram<MarketdataSettings>(
            name: "marketdata",
            summary: "Instruments, bars as they were known at any moment, and replays of them.",
            subcommands: [ImportCommand.subcommand, QualityCommand.subcommand, OraclesCommand.subcommand, KeepAliveCommand.subcommand],
            migrate: Application.migrate,
            build: Application.build
        ).run()
    }
}
