/* The kernel of LeNet5Original: the loss and the gradient of each parameter, one image at a time.

   The code uses the vector types of GCC and Clang, with 16 floats per vector. It is compiled for three generations of
   x86-64 processors, and the dynamic loader selects the best version. The lanes hold the columns of the maps in C1 and
   S2, and the maps in C3 and S4. All memory is on the stack.

   In names, by_x is the gradient of the loss with respect to x. */

#include <math.h>

#include "vectors.h"

enum { FIELD = 48, CLASSES = 128, F5 = 128, F6 = 96 }; /* padded lengths of an input row and of the longest vectors */

typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i16 __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const v16 *)(p))
#define STORE(p) (*(v16 *)(p))

static const float A = 1.7159f, S = 2.0f / 3.0f;

/* Pointers to the parameters or to their gradients, in the order of model.parameters(). */
typedef struct {
    float *w1, *b1, *coefficient2, *bias2, *w3, *b3, *coefficient4, *bias4, *w5, *b5, *w6, *b6;
} Parameters;

/* The activations of all layers for one image. sum2 and sum4 are the window sums of S2 and S4. */
typedef struct {
    float field[32][FIELD];
    float c1[6][28][32];
    float sum2[6][14][16], s2[6][14][16];
    float c3[10][10][16];
    float sum4[5][5][16], s4[5][5][16];
    float s4_by_map[400], c5[F5], f6[F6];
} Answers;

INLINE float total(const v16 *x) {
    float sum = 0;
    for (int i = 0; i < 16; i++) sum += (*x)[i];
    return sum;
}

/* Replace a by A tanh(S a), computed from e^(-2 S |a|): a power of 2, set in the exponent bits, times a Taylor
   series. */
INLINE void squash(float *place) {
    const v16 magic = (v16){} + 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    v16 a = LOAD(place), z = -2 * S * a;
    z = (v16)((i16)z | INT32_MIN); /* -|z| */
    i16 low = z < -80.0f;
    z = (v16)((low & (i16)((v16){} - 80.0f)) | (~low & (i16)z));
    v16 n = z * 1.44269504f + magic;
    i16 power = ((i16)n - (i16)magic + 127) << 23;
    n -= magic;
    v16 r = (z - n * 0.693359375f) + n * 2.12194440e-4f;
    v16 e = (v16){} + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = (e * r + 1.0f) * (v16)power;
    v16 y = A * (1.0f - e) / (1.0f + e);
    STORE(place) = (v16)((i16)y | ((i16)a & INT32_MIN));
}

/* Return the derivative of the activation at the input where its output is y. */
INLINE v16 slope(v16 y) { return S * (A - y * y * (1 / A)); }

INLINE void forward_c1(Answers *x, const float *w, const float *bias) {
    for (int y = 0; y < 28; y++) {
        v16 sum[6][2];
#pragma GCC unroll 6
        for (int c = 0; c < 6; c++) sum[c][0] = sum[c][1] = (v16){} + bias[c];
        for (int i = 0; i < 5; i++)
#pragma GCC unroll 5
            for (int j = 0; j < 5; j++) {
                v16 left = LOAD(x->field[y + i] + j), right = LOAD(x->field[y + i] + j + 16);
#pragma GCC unroll 6
                for (int c = 0; c < 6; c++) {
                    sum[c][0] += left * w[25 * c + 5 * i + j];
                    sum[c][1] += right * w[25 * c + 5 * i + j];
                }
            }
        for (int c = 0; c < 6; c++)
            for (int half = 0; half < 2; half++) {
                STORE(x->c1[c][y] + 16 * half) = sum[c][half];
                squash(x->c1[c][y] + 16 * half);
            }
    }
}

INLINE void forward_s2(Answers *x, const float *coefficient, const float *bias) {
    for (int c = 0; c < 6; c++)
        for (int y = 0; y < 14; y++) {
            const float *upper = x->c1[c][2 * y], *lower = x->c1[c][2 * y + 1];
            v16 left = LOAD(upper) + LOAD(lower), right = LOAD(upper + 16) + LOAD(lower + 16);
            v16 sum = __builtin_shufflevector(left, right, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
                      __builtin_shufflevector(left, right, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            STORE(x->sum2[c][y]) = sum;
            STORE(x->s2[c][y]) = sum * coefficient[c] + bias[c];
            squash(x->s2[c][y]);
        }
}

/* kernels (6, 5, 5, 16), 0 where a map of C3 is not connected to a map of S2. */
INLINE void forward_c3(Answers *x, const float *kernels, const float *bias) {
    for (int y = 0; y < 10; y++) {
        v16 sum[10];
#pragma GCC unroll 10
        for (int p = 0; p < 10; p++) sum[p] = LOAD(bias);
        for (int c = 0; c < 6; c++)
            for (int i = 0; i < 5; i++) {
                const float *row = x->s2[c][y + i], *kernel = kernels + (c * 5 + i) * 80;
#pragma GCC unroll 5
                for (int j = 0; j < 5; j++) {
                    v16 weight = LOAD(kernel + 16 * j);
#pragma GCC unroll 10
                    for (int p = 0; p < 10; p++) sum[p] += weight * row[p + j];
                }
            }
        for (int p = 0; p < 10; p++) {
            STORE(x->c3[y][p]) = sum[p];
            squash(x->c3[y][p]);
        }
    }
}

INLINE void forward_s4(Answers *x, const float *coefficient, const float *bias) {
    for (int y = 0; y < 5; y++)
        for (int p = 0; p < 5; p++) {
            v16 sum = LOAD(x->c3[2 * y][2 * p]) + LOAD(x->c3[2 * y][2 * p + 1]) + LOAD(x->c3[2 * y + 1][2 * p]) +
                      LOAD(x->c3[2 * y + 1][2 * p + 1]);
            STORE(x->sum4[y][p]) = sum;
            STORE(x->s4[y][p]) = sum * LOAD(coefficient) + LOAD(bias);
            squash(x->s4[y][p]);
            for (int k = 0; k < 16; k++) x->s4_by_map[25 * k + 5 * y + p] = x->s4[y][p][k];
        }
}

/* Compute a fully connected layer and its activation. The outputs are padded with 0 to a multiple of 16. */
INLINE void forward_full(const float *inputs, int length, const float *w, const float *bias, float *outputs, int count) {
    int padded = (count + 15) / 16 * 16, whole = length / 16 * 16;
    for (int o = 0; o < count; o++) {
        const float *row = w + o * length;
        v16 sum = {};
        for (int i = 0; i < whole; i += 16) sum += LOAD(inputs + i) * LOAD(row + i);
        float rest = bias[o];
        for (int i = whole; i < length; i++) rest += inputs[i] * row[i];
        outputs[o] = rest + total(&sum);
    }
    for (int o = count; o < padded; o++) outputs[o] = 0;
    for (int o = 0; o < padded; o += 16) squash(outputs + o);
}

/* Return the loss, and compute its gradient with respect to F6. A negative j selects equation 8 of the paper, a
   positive j equation 9, and an infinite j cross-entropy. */
INLINE float output_layer(const float *f6, const float *prototypes, int classes, int target, float j, float *gradient) {
    float distance[CLASSES], share[CLASSES], nearest = j < 0 ? INFINITY : j, all = 0;
    for (int i = 0; i < classes; i++) {
        distance[i] = 0;
        for (int k = 0; k < 84; k++) {
            float away = f6[k] - prototypes[84 * i + k];
            distance[i] += away * away;
        }
        if (distance[i] < nearest) nearest = distance[i];
    }
    for (int i = 0; i < classes; i++) all += share[i] = expf(nearest - distance[i]);
    if (j >= 0) all += expf(nearest - j);
    memset(gradient, 0, F6 * sizeof(float));
    for (int i = 0; i < classes; i++) {
        float by_distance = (i == target) - (j < 0 ? 0 : share[i] / all);
        for (int k = 0; k < 84; k++) gradient[k] += 2 * by_distance * (f6[k] - prototypes[84 * i + k]);
    }
    return distance[target] + (j < 0 ? 0 : logf(all) - nearest);
}

/* Backpropagate through a fully connected layer and its activation: compute by_inputs, and accumulate by_w and by_bias.
   gradient, with respect to the outputs, is overwritten. */
INLINE void backward_full(const float *inputs, int length, const float *w, const float *outputs, int count,
                          float *gradient, float *by_inputs, float *by_w, float *by_bias) {
    int whole = length / 16 * 16;
    for (int o = 0; o < count; o += 16) STORE(gradient + o) *= slope(LOAD(outputs + o));
    memset(by_inputs, 0, length * sizeof(float));
    for (int o = 0; o < count; o++) {
        const float *row = w + o * length;
        float *by_row = by_w + o * length, g = gradient[o];
        by_bias[o] += g;
        for (int i = 0; i < whole; i += 16) {
            STORE(by_inputs + i) += g * LOAD(row + i);
            STORE(by_row + i) += g * LOAD(inputs + i);
        }
        for (int i = whole; i < length; i++) {
            by_inputs[i] += g * row[i];
            by_row[i] += g * inputs[i];
        }
    }
}

/* Backpropagate from the outputs of S4 to the sums of C3, before the activation. gradient (400) is ordered by map.
   by_c3 (16, 18, 32) is by_sums with the maps first and a border of zeros. */
INLINE void backward_s4(const Answers *x, const float *coefficient, const float *gradient, float by_c3[16][18][32],
                        float by_sums[10][10][16], float *by_coefficient, float *by_bias) {
    for (int y = 0; y < 5; y++)
        for (int p = 0; p < 5; p++) {
            v16 g;
            for (int k = 0; k < 16; k++) g[k] = gradient[25 * k + 5 * y + p];
            g *= slope(LOAD(x->s4[y][p]));
            STORE(by_bias) += g;
            STORE(by_coefficient) += g * LOAD(x->sum4[y][p]);
            g *= LOAD(coefficient);
            for (int quarter = 0; quarter < 4; quarter++) {
                int row = 2 * y + quarter / 2, column = 2 * p + quarter % 2;
                STORE(by_sums[row][column]) = g * slope(LOAD(x->c3[row][column]));
                for (int k = 0; k < 16; k++) by_c3[k][4 + row][4 + column] = by_sums[row][column][k];
            }
        }
}

/* Compute the gradient of C3's kernels (6, 5, 5, 16), and accumulate the gradient of its biases. */
INLINE void backward_c3_parameters(const Answers *x, float by_sums[10][10][16], float *by_kernels, float *by_bias) {
    for (int y = 0; y < 10; y++)
        for (int p = 0; p < 10; p++) STORE(by_bias) += LOAD(by_sums[y][p]);
    for (int c = 0; c < 6; c++)
        for (int i = 0; i < 5; i++) {
            v16 sum[5] = {};
            for (int y = 0; y < 10; y++)
#pragma GCC unroll 10
                for (int p = 0; p < 10; p++) {
                    v16 g = LOAD(by_sums[y][p]);
#pragma GCC unroll 5
                    for (int j = 0; j < 5; j++) sum[j] += g * x->s2[c][y + i][p + j];
                }
#pragma GCC unroll 5
            for (int j = 0; j < 5; j++) STORE(by_kernels + ((c * 5 + i) * 5 + j) * 16) = sum[j];
        }
}

/* Backpropagate from the sums of C3 to the outputs of one map of S2: by_s2 (14, 16). */
INLINE void backward_c3_inputs(const float *w, const int32_t *links, int num_links, int map, float by_c3[16][18][32],
                               v16 by_s2[14]) {
    memset(by_s2, 0, 14 * sizeof(v16));
    for (int link = 0; link < num_links; link++) {
        if (links[2 * link + 1] != map) continue;
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 5; j++) {
                float weight = w[25 * link + 5 * i + j];
#pragma GCC unroll 14
                for (int y = 0; y < 14; y++) by_s2[y] += weight * LOAD(by_c3[links[2 * link]][4 + y - i] + 4 - j);
            }
    }
}

/* Backpropagate from the outputs of one map of S2 to the sums of its map in C1, and accumulate the gradients of the
   parameters of both layers. */
INLINE void backward_first(const Answers *x, int map, v16 by_s2[14], float coefficient, float *by_coefficient,
                           float *by_bias2, float *by_w, float *by_bias1) {
    v16 sums[28][2], coefficients = {}, biases2 = {}, biases1 = {};
    for (int y = 0; y < 14; y++) {
        v16 g = by_s2[y] * slope(LOAD(x->s2[map][y]));
        biases2 += g;
        coefficients += g * LOAD(x->sum2[map][y]);
        g *= coefficient;
        v16 left = __builtin_shufflevector(g, g, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        v16 right = __builtin_shufflevector(g, g, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
        for (int row = 2 * y; row < 2 * y + 2; row++) {
            sums[row][0] = left * slope(LOAD(x->c1[map][row]));
            sums[row][1] = right * slope(LOAD(x->c1[map][row] + 16));
            biases1 += sums[row][0] + sums[row][1];
        }
    }
    *by_coefficient += total(&coefficients);
    *by_bias2 += total(&biases2);
    *by_bias1 += total(&biases1);
    for (int i = 0; i < 5; i++) {
        v16 sum[5][2] = {};
        for (int y = 0; y < 28; y++)
#pragma GCC unroll 5
            for (int j = 0; j < 5; j++) {
                sum[j][0] += sums[y][0] * LOAD(x->field[y + i] + j);
                sum[j][1] += sums[y][1] * LOAD(x->field[y + i] + j + 16);
            }
        for (int j = 0; j < 5; j++) {
            v16 both = sum[j][0] + sum[j][1];
            by_w[5 * i + j] += total(&both);
        }
    }
}

/* Return the mean loss of images (count, 32, 32), and set its gradient with respect to each parameter.

   links (num_links, 2): the map of C3 and the map of S2 that each kernel of w3 connects. prototypes (classes, 84), for
   at most 128 classes. The gradients are contiguous in memory, in the order of the struct, from gradients->w1 on. */
EXPORT float NAME(lenet5_original_gradients)(const float *images, const int64_t *targets, int64_t count, const Parameters *parameters,
                                const int32_t *links, int num_links, const float *prototypes, int classes, float j,
                                const Parameters *gradients) {
    Answers x;
    float kernels[6 * 25 * 16] = {}, by_kernels[6 * 25 * 16], by_c3[16][18][32] = {}, by_sums[10][10][16];
    float by_f6[F6], by_c5[F5] = {}, by_s4[400], loss = 0;
    const Parameters *p = parameters, *g = gradients;
    size_t size = (size_t)(g->b6 + 84 - g->w1);
    memset(g->w1, 0, size * sizeof(float));
    memset(&x, 0, sizeof x); /* including the padding */
    for (int link = 0; link < num_links; link++)
        for (int tap = 0; tap < 25; tap++)
            kernels[(links[2 * link + 1] * 25 + tap) * 16 + links[2 * link]] = p->w3[25 * link + tap];
    for (int64_t n = 0; n < count; n++) {
        for (int y = 0; y < 32; y++) memcpy(x.field[y], images + (n * 32 + y) * 32, 32 * sizeof(float));
        forward_c1(&x, p->w1, p->b1);
        forward_s2(&x, p->coefficient2, p->bias2);
        forward_c3(&x, kernels, p->b3);
        forward_s4(&x, p->coefficient4, p->bias4);
        forward_full(x.s4_by_map, 400, p->w5, p->b5, x.c5, 120);
        forward_full(x.c5, 120, p->w6, p->b6, x.f6, 84);
        loss += output_layer(x.f6, prototypes, classes, (int)targets[n], j, by_f6);
        backward_full(x.c5, 120, p->w6, x.f6, 84, by_f6, by_c5, g->w6, g->b6);
        backward_full(x.s4_by_map, 400, p->w5, x.c5, 120, by_c5, by_s4, g->w5, g->b5);
        backward_s4(&x, p->coefficient4, by_s4, by_c3, by_sums, g->coefficient4, g->bias4);
        backward_c3_parameters(&x, by_sums, by_kernels, g->b3);
        for (int link = 0; link < num_links; link++)
            for (int tap = 0; tap < 25; tap++)
                g->w3[25 * link + tap] += by_kernels[(links[2 * link + 1] * 25 + tap) * 16 + links[2 * link]];
        for (int map = 0; map < 6; map++) {
            v16 by_s2[14];
            backward_c3_inputs(p->w3, links, num_links, map, by_c3, by_s2);
            backward_first(&x, map, by_s2, p->coefficient2[map], g->coefficient2 + map, g->bias2 + map,
                           g->w1 + 25 * map, g->b1 + map);
        }
    }
    if (count > 1)
        for (size_t i = 0; i < size; i++) g->w1[i] /= (float)count;
    return loss / (float)count;
}
