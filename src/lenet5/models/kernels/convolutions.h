/* C1 to S4 of LeNet5 for one image of 28x28 or 32x32 pixels: convolution, activation and pooling in one pass.

   With max pooling, only the largest value of each pooling window receives a gradient, and after ReLU only if it is
   positive. The forward pass stores its position in the window as 0 to 3 in row order, or NONE if it is not positive.
   The backward pass therefore does at most a quarter of the dense work. With average pooling, the forward pass stores
   the derivative of the mean with respect to each of the four values.

   The backward pass lists where the gradients are, and then adds each gradient times what it meets. A sum stays in
   registers while it grows. Where it has more parts than there are registers, the list is read several times. */

#include "vectors.h"

enum { MAX_CHANNELS = 4, FIELD = 32, COLUMNS = 24, STRIDE = 40, NONE = 4, CL = 84, SHIFTED = 48 };
enum { S2 = 6 * 14 * ROW, S4 = 400, PLACES = S2 + S4 };

typedef enum { RELU, TANH, SIGMOID } Activation;

/* The network as Python describes it. parameters: weight and bias of C1, C3, C5, F6 and the output layer, as in torch. */
typedef struct {
    const float *parameters[10];
    int32_t size, channels, classes, average, activation;
} Network;

/* How many sums stay in registers: maps of C1, columns of C3, rows of a kernel of C3, rows of a receptive field. */
#if defined(__AVX512F__)
enum { MAPS_AT_ONCE = 3, COLUMNS_AT_ONCE = 10, KERNEL_ROWS = 5, FIELD_ROWS = 6 };
#else
enum { MAPS_AT_ONCE = 3, COLUMNS_AT_ONCE = 2, KERNEL_ROWS = 3, FIELD_ROWS = 2 };
#endif

/* An image in the 32x32 field, with its even and odd columns stored separately. */
typedef struct {
    float even[MAX_CHANNELS][FIELD][COLUMNS], odd[MAX_CHANNELS][FIELD][COLUMNS];
} Columns;

/* What the backward pass needs of an image: the position of each maximum, or with average pooling the derivative for
   each quarter of the windows. Each holds S2 (6, 14, 16) and then S4 (25, 16). */
typedef union {
    int8_t *place;
    float *slopes;
} Kept;

INLINE vec activate(vec x, Activation activation) {
    return activation == TANH ? hyperbolic_tangent(x) : activation == SIGMOID ? sigmoid(x) : rectify(x);
}

/* Return the derivative of the activation at the input where its output is y. */
INLINE vec slope(vec y, Activation activation) {
    if (activation == TANH) return 1.0f - y * y;
    if (activation == SIGMOID) return y - y * y;
    return SELECT((ivec)(y == 0.0f), (vec){}, ALL(1.0f));
}

/* Apply an activation to `count` values, a multiple of 16. */
SEPARATE void activate_all(float *values, int count, Activation activation) {
    for (int i = 0; i < count; i += LANES) STORE(values + i) = activate(LOAD(values + i), activation);
}

/* Multiply the gradients of `count` values of an activation, a multiple of 16, by its derivative. */
SEPARATE void backward_activation(const float *y, float *gradients, int count, Activation activation) {
    for (int i = 0; i < count; i += LANES) {
        vec g = LOAD(gradients + i), by_input = g * slope(LOAD(y + i), activation);
        STORE(gradients + i) = activation == RELU ? SELECT((ivec)(LOAD(y + i) == 0.0f), (vec){}, g) : by_input;
    }
}

/* Apply the activation to the four values of each window, and average them. values (4, stride) holds the sums of the
   convolution, and is replaced by the derivatives of the means. `count` is a multiple of 16. */
SEPARATE void average_windows(float *values, int stride, int count, Activation activation, float *means) {
    for (int i = 0; i < count; i += LANES) {
        vec total = {};
        for (int t = 0; t < 4; t++) {
            vec y = activate(LOAD(values + t * stride + i), activation);
            total += y;
            STORE(values + t * stride + i) = 0.25f * slope(y, activation);
        }
        STORE(means + i) = 0.25f * total;
    }
}

/* Store the largest of the four values of each window, after ReLU if it is set. Store its position unless place is
   NULL. NaN propagates, as in torch. */
INLINE void store_largest(const vec sum[4], int relu, float *largest, int8_t *place) {
    vec best = sum[0];
    ivec taken[4];
    UNROLL for (int t = 1; t < 4; t++) {
        taken[t] = (ivec)(sum[t] > best) | (ivec)(sum[t] != sum[t]);
        best = SELECT(taken[t], sum[t], best);
    }
    STORE(largest) = relu ? rectify(best) : best;
    if (!place) return;
    ivec where = taken[1] & 1;
    where = SELECT(taken[2], (ivec){} + 2, where);
    where = SELECT(taken[3], (ivec){} + 3, where);
    if (relu) where = SELECT((ivec)(best <= 0.0f), (ivec){} + NONE, where);
    *(bytes *)place = __builtin_convertvector(where, bytes);
}

INLINE void store_quarters(const vec sum[4], float *values, int stride) {
    UNROLL for (int t = 0; t < 4; t++) STORE(values + t * stride) = sum[t];
}

/* Store the even and the odd columns of an image. The margins of the field must be 0. */
INLINE void split_columns(const float *image, int size, int channels, Columns *columns) {
    enum { PAIRS = LANES < 8 ? LANES : 8 };
    typedef float half __attribute__((vector_size(4 * PAIRS), aligned(4), may_alias));
    int margin = (FIELD - size) / 2; /* 2 or 0 */
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < size; y++) {
            const float *row = image + (c * size + y) * size;
            float *even = columns->even[c][y + margin] + margin / 2, *odd = columns->odd[c][y + margin] + margin / 2;
            for (int next = 0; next < size / 2; next += PAIRS) {
                int x = next < size / 2 - PAIRS ? next : size / 2 - PAIRS;
                half left = *(const half *)(row + 2 * x), right = *(const half *)(row + 2 * x + PAIRS);
#if defined(__aarch64__)
                *(half *)(even + x) = __builtin_shufflevector(left, right, 0, 2, 4, 6);
                *(half *)(odd + x) = __builtin_shufflevector(left, right, 1, 3, 5, 7);
#else
                *(half *)(even + x) = __builtin_shufflevector(left, right, 0, 2, 4, 6, 8, 10, 12, 14);
                *(half *)(odd + x) = __builtin_shufflevector(left, right, 1, 3, 5, 7, 9, 11, 13, 15);
#endif
            }
        }
}

/* Compute the sums of C1 for a row of S2: its columns from `left` on, for MAPS_AT_ONCE maps. sum: the four values of
   each window in one lane of four vectors. w (maps, channels, 5, 5). */
INLINE void first_sums(const Columns *columns, int channels, int row, int left, const float *w, const float *bias,
                       vec sum[MAPS_AT_ONCE][4]) {
    UNROLL for (int m = 0; m < MAPS_AT_ONCE; m++)
        UNROLL for (int t = 0; t < 4; t++) sum[m][t] = ALL(bias[m]);
    for (int c = 0; c < channels; c++, w += 25)
        UNROLL for (int r = 0; r < 6; r++) {
            const float *even = columns->even[c][2 * row + r] + left, *odd = columns->odd[c][2 * row + r] + left;
            vec x = LOAD(even), next;
            UNROLL for (int j = 0; j < 5; j++, x = next) {
                next = j % 2 ? LOAD(even + (j + 1) / 2) : LOAD(odd + j / 2);
                UNROLL for (int lower = 0; lower < 2; lower++) {
                    int i = r - lower;
                    if (i < 0 || i > 4) continue;
                    UNROLL for (int m = 0; m < MAPS_AT_ONCE; m++) {
                        vec weight = ALL(w[m * channels * 25 + i * 5 + j]);
                        sum[m][2 * lower] += x * weight;
                        sum[m][2 * lower + 1] += next * weight;
                    }
                }
            }
        }
}

/* Compute C1 and S2: s2 (6, 14, 16), of which the last two columns are unused. The lanes hold the columns of S2.
   kept: see Kept; its pointer may be NULL with max pooling. */
SEPARATE void first_stage(const Network *net, const Columns *columns, float *s2, Kept kept) {
    const float *w = net->parameters[0], *bias = net->parameters[1];
    int channels = net->channels, relu = net->activation == RELU;
    for (int row = 0; row < 14; row++)
        for (int part = 0; part < PARTS; part++)
            ROLLED for (int map = 0; map < 6; map += MAPS_AT_ONCE) {
                vec sum[MAPS_AT_ONCE][4];
                first_sums(columns, channels, row, part * LANES, w + map * channels * 25, bias + map, sum);
                UNROLL for (int m = 0; m < MAPS_AT_ONCE; m++) {
                    int offset = ((map + m) * 14 + row) * ROW + part * LANES;
                    if (net->average)
                        store_quarters(sum[m], kept.slopes + offset, PLACES);
                    else
                        store_largest(sum[m], relu, s2 + offset, kept.place ? kept.place + offset : NULL);
                }
            }
    if (net->average)
        average_windows(kept.slopes, PLACES, S2, net->activation, s2);
    else if (!relu)
        activate_all(s2, S2, net->activation);
}

/* Transpose C3's weights from (16, 6, 5, 5) to (6, 5, 5, 16). */
SEPARATE void maps_last(const float *w, float *result) {
    for (int i = 0; i < 150; i++)
        for (int k = 0; k < 16; k++) result[i * 16 + k] = w[k * 150 + i];
}

/* Compute C3 and S4: s4 (16, 5, 5). The lanes hold the maps of C3. w (6, 5, 5, 16); kept as in first_stage. */
SEPARATE void second_stage(const Network *net, const float *s2, const float *w, float *s4, Kept kept) {
    float pooled[25 * ROW];
    int relu = net->activation == RELU;
    const float *bias = net->parameters[3];
    for (int row = 0; row < 5; row++)
        for (int left = 0; left < 10; left += COLUMNS_AT_ONCE) {
            vec sum[2][COLUMNS_AT_ONCE][PARTS];
            UNROLL for (int x = 0; x < COLUMNS_AT_ONCE; x++)
                UNROLL for (int h = 0; h < PARTS; h++) sum[0][x][h] = sum[1][x][h] = LOAD(bias + h * LANES);
            for (int c = 0; c < 6; c++)
                for (int i = 0; i < 5; i++) {
                    const float *upper = s2 + (c * 14 + 2 * row + i) * ROW + left, *lower = upper + ROW;
                    UNROLL for (int j = 0; j < 5; j++) {
                        const float *weights = w + ((c * 5 + i) * 5 + j) * ROW;
                        vec weight[PARTS];
                        UNROLL for (int h = 0; h < PARTS; h++) weight[h] = LOAD(weights + h * LANES);
                        UNROLL for (int x = 0; x < COLUMNS_AT_ONCE; x++) {
                            vec above = ALL(upper[x + j]), below = ALL(lower[x + j]);
                            UNROLL for (int h = 0; h < PARTS; h++) {
                                sum[0][x][h] += weight[h] * above;
                                sum[1][x][h] += weight[h] * below;
                            }
                        }
                    }
                }
            UNROLL for (int x = 0; x < COLUMNS_AT_ONCE; x += 2)
                UNROLL for (int h = 0; h < PARTS; h++) {
                    int offset = (row * 5 + (left + x) / 2) * ROW + h * LANES;
                    vec window[4] = {sum[0][x][h], sum[0][x + 1][h], sum[1][x][h], sum[1][x + 1][h]};
                    if (net->average)
                        store_quarters(window, kept.slopes + S2 + offset, PLACES);
                    else
                        store_largest(window, relu, pooled + offset, kept.place ? kept.place + S2 + offset : NULL);
                }
        }
    if (net->average)
        average_windows(kept.slopes + S2, PLACES, S4, net->activation, pooled);
    else if (!relu)
        activate_all(pooled, S4, net->activation);
    for (int k = 0; k < 16; k++)
        for (int position = 0; position < 25; position++) s4[k * 25 + position] = pooled[position * ROW + k];
}

/* A gradient of a value of a convolution, and the offset of what it is multiplied by. */
typedef struct {
    int32_t offset;
    float gradient;
} Term;

/* List the terms of one pooled value, with the offset of its window's upper left value. Return the new end. */
INLINE Term *list_terms(Term *end, const Network *net, Kept kept, int at, float gradient, int offset, int right,
                        int lower) {
    if (!net->average) {
        int where = kept.place[at];
        *end = (Term){offset + (where & 1) * right + (where >> 1) * lower, gradient};
        return end + (where != NONE); /* without a branch, which would be mispredicted as often as not */
    }
    for (int t = 0; t < 4; t++)
        *end++ = (Term){offset + (t & 1) * right + (t >> 1) * lower, gradient * kept.slopes[t * PLACES + at]};
    return end;
}

/* Add to the gradients of C3's weights and biases. maps: S2 with the channels last. sum (16, 5, 32): each row of a
   kernel holds 5 columns of 6 maps and 2 unused values. */
SEPARATE void second_weights(const Network *net, const float *maps, const float *gradient, Kept kept, float *sum,
                             float *bias) {
    enum { VECTORS = 2 * PARTS };
    for (int k = 0; k < 16; k++) {
        Term terms[101], *end = terms;
        for (int position = 0; position < 25; position++) {
            int offset = 2 * (position / 5) * CL + 2 * (position % 5) * 6;
            end = list_terms(end, net, kept, S2 + position * ROW + k, gradient[k * 25 + position], offset, 6, CL);
        }
        float total = 0;
        for (const Term *term = terms; term < end; term++) total += term->gradient;
        bias[k] += total;
        for (int first = 0; first < 5; first += KERNEL_ROWS) {
            float *own = sum + (k * 5 + first) * 32;
            int rows = 5 - first < KERNEL_ROWS ? 5 - first : KERNEL_ROWS;
            vec acc[KERNEL_ROWS][VECTORS];
            UNROLL for (int i = 0; i < KERNEL_ROWS; i++)
                UNROLL for (int v = 0; v < VECTORS; v++) acc[i][v] = i < rows ? LOAD(own + i * 32 + v * LANES) : (vec){};
            for (const Term *term = terms; term < end; term++) {
                const float *window = maps + term->offset + first * CL;
                vec g = ALL(term->gradient);
                UNROLL for (int i = 0; i < KERNEL_ROWS; i++)
                    UNROLL for (int v = 0; v < VECTORS; v++) acc[i][v] += g * LOAD(window + i * CL + v * LANES);
            }
            for (int i = 0; i < rows; i++)
                for (int v = 0; v < VECTORS; v++) STORE(own + i * 32 + v * LANES) = acc[i][v];
        }
    }
}

/* Compute the gradient of S2, with the channels last. Each value of S4 adds to its 6x6 receptive field in S2.
   w (16, 2, 7, 48): see shift_kernels. */
SEPARATE void second_input(const Network *net, const float *w, const float *gradient, Kept kept, float *channels_last) {
    enum { VECTORS = LANES == 16 ? 3 : 36 / LANES + (36 % LANES != 0) };
    memset(channels_last, 0, sizeof(float) * (14 * CL + 16));
    for (int position = 0; position < 25; position++) {
        Term terms[65], *end = terms;
        for (int k = 0; k < 16; k++)
            end = list_terms(end, net, kept, S2 + position * ROW + k, gradient[k * 25 + position],
                             (k * 14 + 1) * SHIFTED, 7 * SHIFTED, -SHIFTED);
        float *window = channels_last + 2 * (position / 5) * CL + 2 * (position % 5) * 6;
        for (int first = 0; first < 6; first += FIELD_ROWS) {
            vec acc[FIELD_ROWS][VECTORS];
            UNROLL for (int r = 0; r < FIELD_ROWS; r++)
                UNROLL for (int v = 0; v < VECTORS; v++) acc[r][v] = LOAD(window + (first + r) * CL + v * LANES);
            for (const Term *term = terms; term < end; term++) {
                const float *weights = w + term->offset + first * SHIFTED;
                vec g = ALL(term->gradient);
                UNROLL for (int r = 0; r < FIELD_ROWS; r++)
                    UNROLL for (int v = 0; v < VECTORS; v++) acc[r][v] += g * LOAD(weights + r * SHIFTED + v * LANES);
            }
            UNROLL for (int r = 0; r < FIELD_ROWS; r++)
                UNROLL for (int v = 0; v < VECTORS; v++) STORE(window + (first + r) * CL + v * LANES) = acc[r][v];
        }
    }
}

/* Add to the gradients of C1's weights and biases. field (channels, 32, 40); sum (6, channels, 5, 8): each row of a
   kernel holds 5 columns and 3 unused values. */
SEPARATE void first_weights(const Network *net, const float *field, const float *channels_last, Kept kept, float *sum,
                            float *bias) {
    enum { WIDTH = LANES < 8 ? LANES : 8, VECTORS = 8 / WIDTH };
    typedef float part __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
    for (int map = 0; map < 6; map++) {
        Term terms[14 * 14 * 4 + 1], *end = terms;
        for (int y = 0; y < 14; y++)
            for (int x = 0; x < 14; x++)
                end = list_terms(end, net, kept, (map * 14 + y) * ROW + x, channels_last[y * CL + x * 6 + map],
                                 2 * y * STRIDE + 2 * x, 1, STRIDE);
        float total = 0;
        for (const Term *term = terms; term < end; term++) total += term->gradient;
        bias[map] += total;
        for (int c = 0; c < net->channels; c++) {
            float *own = sum + (map * net->channels + c) * 40;
            part acc[5][VECTORS];
            UNROLL for (int i = 0; i < 5; i++)
                UNROLL for (int v = 0; v < VECTORS; v++) acc[i][v] = *(const part *)(own + 8 * i + WIDTH * v);
            for (const Term *term = terms; term < end; term++) {
                const float *window = field + c * FIELD * STRIDE + term->offset;
                UNROLL for (int i = 0; i < 5; i++)
                    UNROLL for (int v = 0; v < VECTORS; v++)
                        acc[i][v] += term->gradient * *(const part *)(window + i * STRIDE + WIDTH * v);
            }
            UNROLL for (int i = 0; i < 5; i++)
                UNROLL for (int v = 0; v < VECTORS; v++) *(part *)(own + 8 * i + WIDTH * v) = acc[i][v];
        }
    }
}
