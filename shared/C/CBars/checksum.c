#include "cbars.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t auspex_bars_checksum(const void *bytes, int64_t count) { return XXH3_64bits(bytes, (size_t)count); }
