/* Which of the instruction sets in this library the processor has. */

#include "export.h"

/* Return the names of the instruction sets, the fastest first, separated by spaces. */
EXPORT const char *lenet5_instruction_sets(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return "";
    int has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return has_avx512 ? "avx512 avx2" : "avx2";
#elif defined(__aarch64__)
    return "neon";
#else
    return "";
#endif
}
