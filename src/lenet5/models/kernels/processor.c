/* Which of the instruction sets in this library the processor has, and the system saves. */

#include "export.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum { FMA = 1 << 12, OSXSAVE = 1 << 27 };                                    /* leaf 1, ECX */
enum { AVX2 = 1 << 5 | 1 << 3 | 1 << 8 };                                     /* leaf 7, EBX; with BMI and BMI2 */
static const unsigned AVX512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;     /* leaf 7, EBX: F, DQ, BW, VL */
enum { YMM = 0x06, ZMM = 0xe0 };                                              /* XCR0: registers that are saved */

static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
#if defined(__APPLE__)
    low |= ZMM; /* macOS begins to save them when a program first uses them */
#endif
    return low;
}

/* Return the names of the instruction sets, the fastest first, separated by spaces. */
EXPORT const char *lenet5_instruction_sets(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || !(c & FMA)) return "";
    unsigned saved = saved_registers();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & AVX2) != AVX2 || (saved & YMM) != YMM) return "";
    return (b & AVX512) == AVX512 && (saved & ZMM) == ZMM ? "avx512 avx2" : "avx2";
}
#elif defined(__aarch64__)
EXPORT const char *lenet5_instruction_sets(void) { return "neon"; }
#else
EXPORT const char *lenet5_instruction_sets(void) { return ""; }
#endif
