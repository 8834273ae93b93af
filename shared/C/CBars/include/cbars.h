#ifndef AUSPEX_CBARS_H
#define AUSPEX_CBARS_H

#include <stdint.h>

// Reductions over groups of rows, each group the rows [lower, upper) of a column, at least one. Swift cannot compile one function for several instruction
// sets; these are, and the best one that the processor has is chosen when the program is loaded. The results are the same in each.

void auspex_bars_largest_i32(const int32_t *values, const int64_t *lower, const int64_t *upper, int64_t groups, int32_t *result);
void auspex_bars_smallest_i32(const int32_t *values, const int64_t *lower, const int64_t *upper, int64_t groups, int32_t *result);
void auspex_bars_largest_i64(const int64_t *values, const int64_t *lower, const int64_t *upper, int64_t groups, int64_t *result);
void auspex_bars_smallest_i64(const int64_t *values, const int64_t *lower, const int64_t *upper, int64_t groups, int64_t *result);

// Of values that are numbers, none of them NaN.
void auspex_bars_largest_f64(const double *values, const int64_t *lower, const int64_t *upper, int64_t groups, double *result);
void auspex_bars_smallest_f64(const double *values, const int64_t *lower, const int64_t *upper, int64_t groups, double *result);

// A group with an unknown value (INT32_MIN) has an unknown sum (INT64_MIN).
void auspex_bars_sum_i32(const int32_t *values, const int64_t *lower, const int64_t *upper, int64_t groups, int64_t *result);

// Asks for memory that will be read soon.
static inline void auspex_bars_prefetch(const void *address) { __builtin_prefetch(address); }

// XXH3, 64 bits: tells damaged bytes from whole ones, at the speed of memory; no defence against malice.
uint64_t auspex_bars_checksum(const void *bytes, int64_t count);

#endif
