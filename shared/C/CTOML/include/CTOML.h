/// TOML in, JSON out: the one door to toml++ (a C++ library) for Swift code.
///
/// Nothing is thrown across this border: a C++ exception (out of memory included) comes back as an error text.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What became of a text: either `json` or `error` is set, never both.
typedef struct auspex_toml_result {
    /// UTF-8 JSON, zero-terminated; keys in the order of their bytes; dates and times as strings.
    char *json;
    /// One sentence about the first fault, zero-terminated.
    char *error;
    /// Where the fault is, counted from 1; 0 when it has no place.
    uint32_t line;
    uint32_t column;
} auspex_toml_result;

/// Reads `length` bytes of UTF-8 TOML 1.0. The result must be given back to `auspex_toml_free`.
auspex_toml_result auspex_toml_to_json(const char *text, size_t length);

/// Frees what a result holds.
void auspex_toml_free(auspex_toml_result result);

#ifdef __cplusplus
}
#endif
