/* C1 to S4 of LeNet5 for one image of 28x28 or 32x32 pixels: convolution, ReLU and max pooling in one pass.

   In each pooling window, only the maximum receives a gradient, and only if it is positive. The forward pass stores its
   position in the window as 0 to 3 in row order, or NONE if it is not positive. The backward pass therefore does at
   most a quarter of the dense work. */

#include "vectors.h"

enum { FIELD = 32, COLUMNS = 24, STRIDE = 40, NONE = 4, CL = 84, SHIFTED = 48 };

typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef int8_t b16 __attribute__((vector_size(16), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const v16 *)(p))
#define LOAD8(p) (*(const v8 *)(p))
#define LOAD4(p) (*(const v4 *)(p))

/* Select lane by lane: the first vector where all bits of the mask are set, else the second. */
#define SELECT(mask, one, other) ((__typeof__(other))(((mask) & (i16)(one)) | (~(mask) & (i16)(other))))

/* Update the maximum and its position; NaN propagates, as in torch. */
#define TAKE_LARGER(best, place, value, number)                  \
    do {                                                         \
        i16 larger = ((value) > (best)) | ((value) != (value));  \
        best = SELECT(larger, (value), (best));                  \
        place = SELECT(larger, (i16){} + (number), (place));     \
    } while (0)

/* Apply ReLU, and set the position of each value that it zeroes to NONE. */
INLINE v16 rectify(v16 value, i16 *place) {
    i16 zero = value <= 0.0f;
    *place = SELECT(zero, (i16){} + NONE, *place);
    return SELECT(zero, (v16){}, value);
}

/* Centre an image in the 32x32 field, and store its even and odd columns separately. */
INLINE void split_columns(const float *image, int size, float even[FIELD][COLUMNS], float odd[FIELD][COLUMNS]) {
    int margin = (FIELD - size) / 2; /* 2 or 0 */
    memset(even, 0, sizeof(float) * FIELD * COLUMNS);
    memset(odd, 0, sizeof(float) * FIELD * COLUMNS);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size / 2; x++) {
            even[y + margin][x + margin / 2] = image[y * size + 2 * x];
            odd[y + margin][x + margin / 2] = image[y * size + 2 * x + 1];
        }
}

/* Compute C1 and S2. The lanes hold the 14 columns of S2; two lanes are unused. s2 and place (6, 14, 16). */
INLINE void first_stage(const float *image, int size, const float *w, const float *bias, float *s2, int8_t *place) {
    float even[FIELD][COLUMNS], odd[FIELD][COLUMNS];
    split_columns(image, size, even, odd);
    for (int q = 0; q < 14; q++)
        for (int half = 0; half < 2; half++) {
            v16 sum[3][4];
#pragma GCC unroll 3
            for (int c = 0; c < 3; c++)
#pragma GCC unroll 4
                for (int t = 0; t < 4; t++) sum[c][t] = (v16){} + bias[3 * half + c];
#pragma GCC unroll 6
            for (int r = 0; r < 6; r++) {
                const float *e = even[2 * q + r], *o = odd[2 * q + r];
                v16 e0 = LOAD(e), e1 = LOAD(e + 1), e2 = LOAD(e + 2), o0 = LOAD(o), o1 = LOAD(o + 1), o2 = LOAD(o + 2);
#pragma GCC unroll 2
                for (int dy = 0; dy < 2; dy++) {
                    int i = r - dy;
                    if (i < 0 || i > 4) continue;
#pragma GCC unroll 3
                    for (int c = 0; c < 3; c++) {
                        const float *row = w + (3 * half + c) * 25 + i * 5;
                        sum[c][2 * dy] += e0 * row[0];
                        sum[c][2 * dy + 1] += o0 * row[0];
                        sum[c][2 * dy] += o0 * row[1];
                        sum[c][2 * dy + 1] += e1 * row[1];
                        sum[c][2 * dy] += e1 * row[2];
                        sum[c][2 * dy + 1] += o1 * row[2];
                        sum[c][2 * dy] += o1 * row[3];
                        sum[c][2 * dy + 1] += e2 * row[3];
                        sum[c][2 * dy] += e2 * row[4];
                        sum[c][2 * dy + 1] += o2 * row[4];
                    }
                }
            }
#pragma GCC unroll 3
            for (int c = 0; c < 3; c++) {
                v16 best = sum[c][0];
                i16 where = {};
                TAKE_LARGER(best, where, sum[c][1], 1);
                TAKE_LARGER(best, where, sum[c][2], 2);
                TAKE_LARGER(best, where, sum[c][3], 3);
                int offset = ((3 * half + c) * 14 + q) * 16;
                *(v16 *)(s2 + offset) = rectify(best, &where);
                *(b16 *)(place + offset) = __builtin_convertvector(where, b16);
            }
        }
}

/* Transpose C3's weights from (16, 6, 5, 5) to (6, 5, 5, 16). */
INLINE void maps_last(const float *w, float *result) {
    for (int i = 0; i < 150; i++)
        for (int k = 0; k < 16; k++) result[i * 16 + k] = w[k * 150 + i];
}

/* Compute C3 and S4. The lanes hold the 16 maps of C3, and 20 registers hold the sums for one row of S4.
   w (6, 5, 5, 16), s4 (16, 5, 5), place (5, 5, 16). */
INLINE void second_stage(const float *s2, const float *w, const float *bias, float *s4, int8_t *place) {
    for (int q = 0; q < 5; q++) {
        v16 sum[2][10];
#pragma GCC unroll 10
        for (int x = 0; x < 10; x++) sum[0][x] = sum[1][x] = LOAD(bias);
        for (int c = 0; c < 6; c++)
            for (int i = 0; i < 5; i++) {
                const float *upper = s2 + (c * 14 + 2 * q + i) * 16, *lower = upper + 16;
                const float *weights = w + (c * 5 + i) * 80;
#pragma GCC unroll 5
                for (int j = 0; j < 5; j++) {
                    v16 weight = LOAD(weights + 16 * j);
#pragma GCC unroll 10
                    for (int x = 0; x < 10; x++) {
                        sum[0][x] += weight * upper[x + j];
                        sum[1][x] += weight * lower[x + j];
                    }
                }
            }
#pragma GCC unroll 5
        for (int p = 0; p < 5; p++) {
            v16 best = sum[0][2 * p];
            i16 where = {};
            TAKE_LARGER(best, where, sum[0][2 * p + 1], 1);
            TAKE_LARGER(best, where, sum[1][2 * p], 2);
            TAKE_LARGER(best, where, sum[1][2 * p + 1], 3);
            best = rectify(best, &where);
            for (int k = 0; k < 16; k++) s4[k * 25 + q * 5 + p] = best[k];
            *(b16 *)(place + (q * 5 + p) * 16) = __builtin_convertvector(where, b16);
        }
    }
}

/* Return a bit mask of the lanes that have a gradient. Iterating over set bits causes fewer branch mispredictions than
   testing each lane, and a misprediction costs as much as the sums. */
INLINE unsigned alive(const int8_t *place) {
    unsigned mask = 0;
    for (int i = 0; i < 16; i++) mask |= (unsigned)(place[i] != NONE) << i;
    return mask;
}

/* Accumulate the gradients of C3's weights and biases. sum (16, 5, 32): each row of a kernel holds 5 columns of 6 maps
   and 2 unused values. */
INLINE void second_weights(const float *maps, const float *gradient, const int8_t *place, float *sum, float *bias) {
    for (int k = 0; k < 16; k++) {
        v16 acc[5][2];
        float total = 0, *own = sum + k * 160;
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++) acc[i][0] = LOAD(own + 32 * i), acc[i][1] = LOAD(own + 32 * i + 16);
        for (int position = 0; position < 25; position++) {
            int where = place[position * 16 + k];
            if (where == NONE) continue;
            float g = gradient[k * 25 + position];
            total += g;
            int y = 2 * (position / 5) + (where >> 1), x = 2 * (position % 5) + (where & 1);
            const float *window = maps + y * CL + x * 6;
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++) {
                acc[i][0] += g * LOAD(window + i * CL);
                acc[i][1] += g * LOAD(window + i * CL + 16);
            }
        }
        bias[k] += total;
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++) *(v16 *)(own + 32 * i) = acc[i][0], *(v16 *)(own + 32 * i + 16) = acc[i][1];
    }
}

/* Compute the gradient of S2, channels last. Each value of S4 adds to its 6x6 receptive field in S2. w (16, 2, 7, 48),
   see kernels/lenet5.py. */
INLINE void second_input(const float *w, const float *gradient, const int8_t *place, float *channels_last) {
    memset(channels_last, 0, sizeof(float) * (14 * CL + 16));
    for (int position = 0; position < 25; position++) {
        v16 acc[6][3];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
#pragma GCC unroll 3
            for (int s = 0; s < 3; s++) acc[r][s] = (v16){};
        for (unsigned left = alive(place + position * 16); left; left &= left - 1) {
            unsigned k = __builtin_ctz(left), where = place[position * 16 + k];
            float g = gradient[k * 25 + position];
            const float *weights = w + ((k * 2 + (where & 1)) * 7 + 1 - (where >> 1)) * SHIFTED;
#pragma GCC unroll 6
            for (int r = 0; r < 6; r++)
#pragma GCC unroll 3
                for (int s = 0; s < 3; s++) acc[r][s] += g * LOAD(weights + r * SHIFTED + 16 * s);
        }
        float *window = channels_last + 2 * (position / 5) * CL + 2 * (position % 5) * 6;
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++)
#pragma GCC unroll 3
            for (int s = 0; s < 3; s++) {
                float *target = window + r * CL + 16 * s;
                *(v16 *)target = LOAD(target) + acc[r][s];
            }
    }
}

/* Accumulate the gradients of C1's weights and biases. sum (6, 5, 8): each row of a kernel holds 5 columns and 3 unused
   values. */
INLINE void first_weights(const float *field, const float *channels_last, const int8_t *place, float *sum,
                          float *bias) {
    for (int c = 0; c < 6; c++) {
        v8 acc[5];
        float total = 0, *own = sum + c * 40;
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++) acc[i] = LOAD8(own + 8 * i);
        for (int q = 0; q < 14; q++)
            for (unsigned left = alive(place + (c * 14 + q) * 16) & 0x3fff; left; left &= left - 1) { /* 14 lanes */
                unsigned p = __builtin_ctz(left), where = place[(c * 14 + q) * 16 + p];
                float g = channels_last[q * CL + p * 6 + c];
                const float *window = field + (2 * q + (where >> 1)) * STRIDE + 2 * p + (where & 1);
                total += g;
#pragma GCC unroll 5
                for (int i = 0; i < 5; i++) acc[i] += g * LOAD8(window + i * STRIDE);
            }
        bias[c] += total;
#pragma GCC unroll 5
        for (int i = 0; i < 5; i++) *(v8 *)(own + 8 * i) = acc[i];
    }
}

static void backward(const float *images, int size, const float *w3, const float *s2, const int8_t *place,
                     const float *gradients, float *dw1, float *db1, float *dw3, float *db3, int64_t first, int64_t last) {
    float field[FIELD * STRIDE] = {0}, maps[14 * CL + 16] = {0}, inputs[14 * CL + 32];
    int margin = (FIELD - size) / 2;
    for (int64_t n = first; n < last; n++) {
        const float *own = s2 + n * 1344, *gradient = gradients + n * 400;
        const int8_t *places = place + n * 1744;
        for (int y = 0; y < 14; y++)
            for (int x = 0; x < 14; x++)
                for (int c = 0; c < 6; c++) maps[y * CL + x * 6 + c] = own[(c * 14 + y) * 16 + x];
        for (int y = 0; y < size; y++)
            memcpy(field + (y + margin) * STRIDE + margin, images + (n * size + y) * size, sizeof(float) * size);
        second_weights(maps, gradient, places + 1344, dw3, db3);
        second_input(w3, gradient, places + 1344, inputs);
        first_weights(field, inputs, places, dw1, db1);
    }
}
