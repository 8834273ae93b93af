/// Why a command did not do what it was asked for, in one line.
struct CommandError: Error, CustomStringConvertible {
    var message: String
    var description: String { message }
}
