/// Why a command could not do its work, in a line.
struct CommandError: Error, CustomStringConvertible {
    let message: String
    var description: String { message }
}
