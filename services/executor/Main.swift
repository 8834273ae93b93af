import ServiceRuntime

@main
enum Main {
    static func main() async {
        await ServiceProgram<ExecutorSettings>(
            name: "executor",
            summary: "Runs the code of signals in sandboxes.",
            subcommands: [DoctorCommand.subcommand],
            build: Application.build
        ).run()
    }
}
