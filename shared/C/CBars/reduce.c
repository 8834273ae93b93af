#include "cbars.h"

#if defined(__x86_64__)
#define EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EACH_PROCESSOR
#endif

// Vectors of 64 bytes, which the compiler cuts into as many registers as an instruction set needs; `aligned` says that rows begin anywhere.
typedef int32_t Int32s __attribute__((vector_size(64), aligned(4)));
typedef int64_t Int64s __attribute__((vector_size(64), aligned(8)));
typedef int64_t WideInt32s __attribute__((vector_size(128), aligned(8)));
typedef double Doubles __attribute__((vector_size(64), aligned(8)));

// The last vector of a group is taken from its end on, over rows that were taken already: that changes no extreme.
#define EXTREME(name, Value, Vector, choose, reduce)                                                                                                \
    EACH_PROCESSOR void name(const Value *values, const int64_t *lower, const int64_t *upper, int64_t groups, Value *result) {                      \
        enum { lanes = sizeof(Vector) / sizeof(Value) };                                                                                            \
        for (int64_t group = 0; group < groups; group++) {                                                                                          \
            const Value *at = values + lower[group];                                                                                                \
            const Value *end = values + upper[group];                                                                                               \
            if (end - at < lanes) {                                                                                                                 \
                Value best = *at++;                                                                                                                 \
                for (; at < end; at++) best = choose(best, *at);                                                                                    \
                result[group] = best;                                                                                                               \
                continue;                                                                                                                           \
            }                                                                                                                                       \
            Vector bests = *(const Vector *)(end - lanes);                                                                                          \
            for (; end - at > lanes; at += lanes) bests = choose(bests, *(const Vector *)at);                                                       \
            result[group] = reduce(bests);                                                                                                          \
        }                                                                                                                                           \
    }

EXTREME(auspex_bars_largest_i32, int32_t, Int32s, __builtin_elementwise_max, __builtin_reduce_max)
EXTREME(auspex_bars_smallest_i32, int32_t, Int32s, __builtin_elementwise_min, __builtin_reduce_min)
EXTREME(auspex_bars_largest_i64, int64_t, Int64s, __builtin_elementwise_max, __builtin_reduce_max)
EXTREME(auspex_bars_smallest_i64, int64_t, Int64s, __builtin_elementwise_min, __builtin_reduce_min)
EXTREME(auspex_bars_largest_f64, double, Doubles, __builtin_elementwise_max, __builtin_reduce_max)
EXTREME(auspex_bars_smallest_f64, double, Doubles, __builtin_elementwise_min, __builtin_reduce_min)

EACH_PROCESSOR void auspex_bars_sum_i32(
    const int32_t *values, const int64_t *lower, const int64_t *upper, int64_t groups, int64_t *result) {
    enum { lanes = sizeof(Int32s) / sizeof(int32_t) };
    for (int64_t group = 0; group < groups; group++) {
        const int32_t *at = values + lower[group];
        const int32_t *end = values + upper[group];
        int64_t total = 0;
        int32_t least = INT32_MAX;
        if (end - at >= lanes) {
            WideInt32s totals = {0};
            Int32s leasts = *(const Int32s *)at;
            for (; end - at >= lanes; at += lanes) {
                Int32s next = *(const Int32s *)at;
                leasts = __builtin_elementwise_min(leasts, next);
                totals += __builtin_convertvector(next, WideInt32s);
            }
            total = __builtin_reduce_add(totals);
            least = __builtin_reduce_min(leasts);
        }
        for (; at < end; at++) {
            total += *at;
            least = *at < least ? *at : least;
        }
        result[group] = least == INT32_MIN ? INT64_MIN : total;
    }
}
