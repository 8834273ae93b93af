internal import CTOML
import Contracts

/// Reads TOML text; the parser is toml++ behind a C function.
enum TOMLText {
    /// What is wrong with a text, and where (lines and columns count from 1; 0 when it has no place).
    struct Fault: Error, Hashable {
        var message: String
        var line: Int
        var column: Int
    }

    /// The text's JSON twin: tables as objects, dates as strings.
    static func parse(_ bytes: [UInt8]) throws(Fault) -> JSONValue {
        let result = bytes.withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { auspex_toml_to_json($0.baseAddress, $0.count) }
        }
        defer { auspex_toml_free(result) }
        guard let text = result.json else {
            let message = result.error.map { String(cString: $0) } ?? "the text could not be read"
            throw Fault(message: message, line: Int(result.line), column: Int(result.column))
        }
        guard let value = try? WireJSON.parse(Array(String(cString: text).utf8)) else {
            throw Fault(message: "the text nests too deep", line: 0, column: 0)
        }
        return value
    }
}
