#include "CTOML.h"

// Faults come back as values: the parser of a stranger's file shall not depend on unwinding.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>

namespace {

/// A fault found while writing, with its place in the TOML text.
struct WriteFault {
    std::string message;
    toml::source_region where;
};

class JSONWriter {
public:
    std::string text;
    bool failed = false;
    WriteFault fault;

    void write(const toml::node &node) {
        if (failed) return;
        switch (node.type()) {
        case toml::node_type::table: writeTable(*node.as_table()); break;
        case toml::node_type::array: writeArray(*node.as_array()); break;
        case toml::node_type::string: writeString(**node.as_string()); break;
        case toml::node_type::integer: text += std::to_string(**node.as_integer()); break;
        case toml::node_type::floating_point: writeNumber(**node.as_floating_point(), node); break;
        case toml::node_type::boolean: text += **node.as_boolean() ? "true" : "false"; break;
        case toml::node_type::date: writeStreamed(**node.as_date()); break;
        case toml::node_type::time: writeStreamed(**node.as_time()); break;
        case toml::node_type::date_time: writeStreamed(**node.as_date_time()); break;
        default: fail("a value of an unknown kind", node); break;
        }
    }

private:
    void fail(const char *message, const toml::node &node) {
        failed = true;
        fault = {message, node.source()};
    }

    void writeTable(const toml::table &table) {
        text += '{';
        bool first = true;
        for (auto &&[key, value] : table) {
            if (!first) text += ',';
            first = false;
            writeString(key.str());
            text += ':';
            write(value);
        }
        text += '}';
    }

    void writeArray(const toml::array &array) {
        text += '[';
        bool first = true;
        for (auto &&value : array) {
            if (!first) text += ',';
            first = false;
            write(value);
        }
        text += ']';
    }

    /// toml++ has checked that the bytes are UTF-8, so only what JSON itself forbids is escaped.
    void writeString(std::string_view value) {
        static const char digits[] = "0123456789abcdef";
        text += '"';
        for (char character : value) {
            unsigned char byte = static_cast<unsigned char>(character);
            if (character == '"' || character == '\\') {
                text += '\\';
                text += character;
            } else if (byte < 0x20) {
                text += "\\u00";
                text += digits[byte >> 4];
                text += digits[byte & 15];
            } else {
                text += character;
            }
        }
        text += '"';
    }

    /// JSON has no infinities and no NaN; a finite number is written with the fewest digits that read back the same.
    void writeNumber(double value, const toml::node &node) {
        if (!std::isfinite(value)) return fail("inf and nan are not allowed here", node);
        char buffer[40];
        auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
        std::string_view written(buffer, static_cast<size_t>(end - buffer));
        text += written;
        if (written.find_first_of(".e") == std::string_view::npos) text += ".0";
    }

    template <typename Value> void writeStreamed(const Value &value) {
        std::ostringstream stream;
        stream << value;
        writeString(stream.str());
    }
};

char *copied(std::string_view text) {
    char *copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy == nullptr) return nullptr;
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = 0;
    return copy;
}

auspex_toml_result failure(std::string_view message, toml::source_position where) {
    return {nullptr, copied(message), static_cast<uint32_t>(where.line), static_cast<uint32_t>(where.column)};
}

} // namespace

extern "C" auspex_toml_result auspex_toml_to_json(const char *text, size_t length) {
    try {
        toml::parse_result parsed = toml::parse(std::string_view(text, length));
        if (!parsed) return failure(parsed.error().description(), parsed.error().source().begin);
        JSONWriter writer;
        writer.write(parsed.table());
        if (writer.failed) return failure(writer.fault.message, writer.fault.where.begin);
        return {copied(writer.text), nullptr, 0, 0};
    } catch (const std::exception &error) {
        return failure(error.what(), {});
    } catch (...) {
        return failure("the text could not be read", {});
    }
}

extern "C" void auspex_toml_free(auspex_toml_result result) {
    std::free(result.json);
    std::free(result.error);
}
