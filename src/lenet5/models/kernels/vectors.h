/* The instruction set that a source is compiled for, and its vectors.

   Each kernel is one source, compiled once per instruction set: AVX-512, AVX2 with FMA, or NEON. */

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define INSTRUCTION_SET avx512
enum { LANES = 16 };
#elif defined(__AVX2__) && defined(__FMA__)
#define INSTRUCTION_SET avx2
enum { LANES = 8 };
#elif defined(__aarch64__)
#define INSTRUCTION_SET neon
enum { LANES = 4 };
#else
#error "no kernel is written for this instruction set"
#endif

/* The name of an exported function ends with the instruction set, so that one library holds them all. */
#define JOIN_(name, suffix) name##_##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define NAME(name) JOIN(name, INSTRUCTION_SET)

#include "export.h"
