#include "cbars.h"

// Without holes a bar has length / row_length rows, and the next one begins at a place that is found by adding. Each row that is missing puts that place one
// too far; few are missing as a rule, and the processor goes on with its guess meanwhile, since nothing but the place depends on what it reads. Long columns
// are touched at one place a bar, which it does not foresee: that memory is asked for ahead of time.
int64_t auspex_bars_cut(
    const int64_t *starts, int64_t count, int64_t *row, int64_t origin, int64_t length, int64_t until, int64_t row_length, AuspexBarRows *bars,
    int64_t capacity) {
    enum { nearby = 8, bars_ahead = 12 };
    int64_t rows_a_bar = length / row_length < 1 ? 1 : length / row_length;
    int64_t ahead = (bars_ahead + 1) * rows_a_bar;
    int64_t at = *row;
    int64_t made = 0;
    int64_t bar_end = INT64_MIN;
    while (made < capacity && at < count && starts[at] < until) {
        int64_t start = bar_end;
        // At the beginning and after a hole the bar is found by division.
        if (bar_end == INT64_MIN || starts[at] - bar_end >= length) {
            int64_t distance = starts[at] - origin;
            start = origin + (distance / length - (distance % length < 0)) * length;
        }
        bar_end = until - start < length ? until : start + length;
        if (at + ahead < count) {
            __builtin_prefetch(starts + at + ahead - nearby / 2);
            __builtin_prefetch(starts + at + ahead - nearby / 2 - nearby);
        }
        int64_t next = rows_a_bar < count - at ? at + rows_a_bar : count;
        int64_t tries = 0;
        while (next - 1 > at && starts[next - 1] >= bar_end && tries++ < nearby) next--;
        if (tries > nearby) {
            // Many are missing: halve what is left.
            int64_t low = at + 1;
            while (low < next) {
                int64_t middle = low + (next - low) / 2;
                if (starts[middle] < bar_end) low = middle + 1; else next = middle;
            }
        }
        // Rows shorter than the first one: more of them fit.
        while (next < count && starts[next] < bar_end) next++;
        bars[made++] = (AuspexBarRows){at, next, start, bar_end};
        at = next;
    }
    *row = at;
    return made;
}
