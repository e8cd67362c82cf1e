/* Vectors of the instruction set that a source is compiled for: AVX-512, AVX2 with FMA, or NEON.

   The kernels think in rows of 16 floats: 16 columns of a map, 16 maps, or 16 images. A row is one vector of AVX-512,
   two of AVX2, and four of NEON. Each sum adds the same products in the same order on all of them, with fused
   multiply-add, and no result depends on a mathematical library. So all instruction sets give the same bits. */

#ifndef LENET5_VECTORS_H
#define LENET5_VECTORS_H

#include <stdint.h>
#include <string.h>

#include "export.h"

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

enum { ROW = 16, PARTS = ROW / LANES };

/* The name of an exported function ends with the instruction set, so that one library holds them all. */
#define JOIN_(name, suffix) name##_##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define NAME(name) JOIN(name, INSTRUCTION_SET)

#define INLINE static inline __attribute__((always_inline))
#define SEPARATE static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 16")
#define ROLLED _Pragma("GCC unroll 1") /* the body is long */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

#define LOAD(p) (*(const vec *)(p))
#define STORE(p) (*(vec *)(p))
#define LOAD4(p) (*(const v4 *)(p))
#define ALL(x) ((vec){} + (x)) /* the same value in each lane */

/* Select lane by lane: `one` where all bits of the mask are set, else `other`. */
#define SELECT(mask, one, other) ((__typeof__(other))(((mask) & (ivec)(one)) | (~(mask) & (ivec)(other))))

/* The even and the odd values of two vectors; the lower and the upper half of one, with each value twice. */
#if defined(__AVX512F__)
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define LOWER_TWICE(a) __builtin_shufflevector(a, a, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7)
#define UPPER_TWICE(a) __builtin_shufflevector(a, a, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15)
#elif defined(__AVX2__)
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define LOWER_TWICE(a) __builtin_shufflevector(a, a, 0, 0, 1, 1, 2, 2, 3, 3)
#define UPPER_TWICE(a) __builtin_shufflevector(a, a, 4, 4, 5, 5, 6, 6, 7, 7)
#else
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define LOWER_TWICE(a) __builtin_shufflevector(a, a, 0, 0, 1, 1)
#define UPPER_TWICE(a) __builtin_shufflevector(a, a, 2, 2, 3, 3)
#endif

/* Add up a row pairwise, and a vector of 4. */
INLINE float add_up(const vec sum[PARTS], v4 rest) {
    float lanes[ROW];
    for (int h = 0; h < PARTS; h++) STORE(lanes + h * LANES) = sum[h];
    v4 four = (LOAD4(lanes) + LOAD4(lanes + 4)) + (LOAD4(lanes + 8) + LOAD4(lanes + 12)) + rest;
    return (four[0] + four[1]) + (four[2] + four[3]);
}

INLINE vec rectify(vec x) { return SELECT((ivec)(x <= 0.0f), (vec){}, x); } /* NaN stays */

/* Compute e^x for -80 <= x <= 80 to float32 precision: a power of 2, set in the exponent bits, times a Taylor series.
   Smaller x are taken as -80; NaN stays. */
INLINE vec exponential(vec x) {
    const vec magic = ALL(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    x = SELECT((ivec)(x < -80.0f), ALL(-80.0f), x);
    vec n = x * 1.44269504f + magic;
    ivec power = ((ivec)n - (ivec)magic + 127) << 23;
    n -= magic;
    vec r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec e = ALL(1.0f / 720);
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    return e * (vec)power;
}

/* Compute log(x) for positive, normal x to float32 precision: the exponent, plus 2 artanh((m - 1) / (m + 1)). */
INLINE vec logarithm(vec x) {
    ivec bits = (ivec)x - 0x3f3504f3; /* the bits of sqrt(1/2) */
    ivec exponent = bits >> 23;
    vec m = (vec)((bits & 0x7fffff) + 0x3f3504f3), n = __builtin_convertvector(exponent, vec);
    vec s = (m - 1.0f) / (m + 1.0f), square = s * s;
    vec series = ALL(1.0f / 9);
    series = series * square + 1.0f / 7;
    series = series * square + 1.0f / 5;
    series = series * square + 1.0f / 3;
    vec twice = s + s;
    return n * 0.693147181f + (twice + twice * (square * series));
}

/* Compute tanh(x), from e^(-2 |x|). */
INLINE vec hyperbolic_tangent(vec x) {
    vec negative = (vec)((ivec)x | INT32_MIN), e = exponential(negative * 2.0f);
    vec y = (1.0f - e) / (1.0f + e);
    return (vec)((ivec)y | ((ivec)x & INT32_MIN));
}

INLINE vec sigmoid(vec x) { return hyperbolic_tangent(x * 0.5f) * 0.5f + 0.5f; }

#endif
