/* Fully connected layers for a block of 16 images, one image per lane: activations are stored as (units, 16).

   Weights keep torch's layout (outputs, inputs). Each broadcast weight meets a row of activations. A tile of sums stays
   in registers. */

#include "convolutions.h"

enum { BLOCK = ROW };

/* Outputs of a tile of `dense` and rows of a tile of `dense_weights`. */
#if defined(__AVX512F__)
enum { OUTPUTS = 12, WEIGHT_ROWS = 6 };
#else
enum { OUTPUTS = 6, WEIGHT_ROWS = 6 };
#endif

/* Compute y = W x + b for `count` outputs. x (inputs, 16), y (count, 16). */
INLINE void dense_tile(const float *w, const float *bias, const float *x, float *y, int inputs, int count) {
    vec sum[OUTPUTS][PARTS];
    UNROLL for (int o = 0; o < count; o++)
        UNROLL for (int h = 0; h < PARTS; h++) sum[o][h] = ALL(bias[o]);
    for (int i = 0; i < inputs; i++) {
        vec lanes[PARTS];
        UNROLL for (int h = 0; h < PARTS; h++) lanes[h] = LOAD(x + i * BLOCK + h * LANES);
        UNROLL for (int o = 0; o < count; o++) {
            vec weight = ALL(w[o * inputs + i]);
            UNROLL for (int h = 0; h < PARTS; h++) sum[o][h] += lanes[h] * weight;
        }
    }
    UNROLL for (int o = 0; o < count; o++)
        UNROLL for (int h = 0; h < PARTS; h++) STORE(y + o * BLOCK + h * LANES) = sum[o][h];
}

/* Compute y = W x + b. x (inputs, 16), y (outputs, 16). */
SEPARATE void dense(const float *w, const float *bias, const float *x, float *y, int inputs, int outputs) {
    int o = 0;
    for (; o + OUTPUTS <= outputs; o += OUTPUTS)
        dense_tile(w + o * inputs, bias + o, x, y + o * BLOCK, inputs, OUTPUTS);
    for (; o + 2 <= outputs; o += 2) dense_tile(w + o * inputs, bias + o, x, y + o * BLOCK, inputs, 2);
    if (o < outputs) dense_tile(w + o * inputs, bias + o, x, y + o * BLOCK, inputs, 1);
}

/* Compute `count` rows of dx = W^T dy. */
INLINE void dense_input_tile(const float *w, const float *dy, float *dx, int inputs, int outputs, int count) {
    vec sum[OUTPUTS][PARTS];
    UNROLL for (int i = 0; i < count; i++)
        UNROLL for (int h = 0; h < PARTS; h++) sum[i][h] = (vec){};
    for (int o = 0; o < outputs; o++, w += inputs) {
        vec lanes[PARTS];
        UNROLL for (int h = 0; h < PARTS; h++) lanes[h] = LOAD(dy + o * BLOCK + h * LANES);
        UNROLL for (int i = 0; i < count; i++) {
            vec weight = ALL(w[i]);
            UNROLL for (int h = 0; h < PARTS; h++) sum[i][h] += lanes[h] * weight;
        }
    }
    UNROLL for (int i = 0; i < count; i++)
        UNROLL for (int h = 0; h < PARTS; h++) STORE(dx + i * BLOCK + h * LANES) = sum[i][h];
}

/* Compute dx = W^T dy. inputs must be a multiple of 4. */
SEPARATE void dense_input(const float *w, const float *dy, float *dx, int inputs, int outputs) {
    int i = 0;
    for (; i + OUTPUTS <= inputs; i += OUTPUTS) dense_input_tile(w + i, dy, dx + i * BLOCK, inputs, outputs, OUTPUTS);
    for (; i < inputs; i += 4) dense_input_tile(w + i, dy, dx + i * BLOCK, inputs, outputs, 4);
}

/* Transpose (units, 16) to rows of `stride` values, one row per image. */
SEPARATE void to_rows(const float *lanes, float *rows, int units, int stride, int count) {
    for (int u = 0; u < units; u++)
        for (int n = 0; n < count; n++) rows[n * stride + u] = lanes[u * BLOCK + n];
}

/* Compute `rows` rows of dW = dy x^T. */
INLINE void weight_tile(const float *x, int stride, const float *dy, float *dw, int inputs, int outputs, int rows,
                        int64_t count) {
    for (int i = 0; i < inputs; i += 2 * LANES) {
        vec sum[WEIGHT_ROWS][2];
        UNROLL for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vec){};
        for (int64_t n = 0; n < count; n++) {
            const float *gradient = dy + n / BLOCK * outputs * BLOCK + n % BLOCK;
            vec left = LOAD(x + n * stride + i), right = LOAD(x + n * stride + i + LANES);
            UNROLL for (int r = 0; r < rows; r++) {
                vec g = ALL(gradient[r * BLOCK]);
                sum[r][0] += left * g;
                sum[r][1] += right * g;
            }
        }
        int width = inputs - i < 2 * LANES ? inputs - i : 2 * LANES;
        for (int r = 0; r < rows; r++) memcpy(dw + r * inputs + i, sum[r], sizeof(float) * width);
    }
}

/* Compute rows first to last - 1 of dW = dy x^T, and of the gradient of the bias. x (count, stride) has one row per
   image, with a stride of at least `inputs`, rounded up to a multiple of 32. dy (blocks, outputs, 16). */
SEPARATE void dense_weights(const float *x, int stride, const float *dy, float *dw, float *dbias, int inputs,
                            int outputs, int first, int last, int64_t count) {
    int o = first;
    for (; o + WEIGHT_ROWS <= last; o += WEIGHT_ROWS)
        weight_tile(x, stride, dy + o * BLOCK, dw + o * inputs, inputs, outputs, WEIGHT_ROWS, count);
    for (; o < last; o++) weight_tile(x, stride, dy + o * BLOCK, dw + o * inputs, inputs, outputs, 1, count);
    for (o = first; o < last; o++) {
        float total = 0;
        for (int64_t n = 0; n < count; n++) total += dy[(n / BLOCK * outputs + o) * BLOCK + n % BLOCK];
        dbias[o] = total;
    }
}

/* Compute `count` outputs of y = W x + b for one image. inputs must be a multiple of 4. */
INLINE void linear_rows(const float *x, const float *w, const float *bias, float *y, int inputs, int count) {
    vec sum[4][PARTS] = {};
    v4 rest[4] = {};
    int i = 0;
    for (; i + ROW <= inputs; i += ROW)
        UNROLL for (int o = 0; o < count; o++)
            UNROLL for (int h = 0; h < PARTS; h++)
                sum[o][h] += LOAD(w + o * inputs + i + h * LANES) * LOAD(x + i + h * LANES);
    for (; i < inputs; i += 4)
        UNROLL for (int o = 0; o < count; o++) rest[o] += LOAD4(w + o * inputs + i) * LOAD4(x + i);
    UNROLL for (int o = 0; o < count; o++) y[o] = bias[o] + add_up(sum[o], rest[o]);
}

/* Compute y = W x + b for one image. w (outputs, inputs); inputs must be a multiple of 4. */
SEPARATE void linear(const float *x, const float *w, const float *bias, float *y, int inputs, int outputs) {
    int left = outputs;
    for (; left >= 4; left -= 4, w += 4 * inputs, bias += 4, y += 4) linear_rows(x, w, bias, y, inputs, 4);
    for (; left; left--, w += inputs) linear_rows(x, w, bias++, y++, inputs, 1);
}

/* Compute the sum over a block's images of the cross-entropy with label smoothing, and its gradient times `scale`.
   logits and gradient (classes, 16), of which `count` columns are used; the gradient of the others is 0. */
SEPARATE double cross_entropy(const float *logits, float *gradient, const int64_t *targets, int classes, int count,
                              float smoothing, float scale) {
    float losses[BLOCK], on = 1 - smoothing, off = smoothing / (float)classes;
    for (int lane = 0; lane < BLOCK; lane += LANES) {
        const float *own = logits + lane;
        vec largest = LOAD(own), sum = {}, total = {}, chosen = {};
        for (int c = 1; c < classes; c++) {
            vec x = LOAD(own + c * BLOCK);
            largest = SELECT((ivec)(x > largest), x, largest);
        }
        ivec target = {};
        for (int n = 0; n < LANES && lane + n < count; n++) target[n] = (int32_t)targets[lane + n];
        for (int c = 0; c < classes; c++) {
            vec shifted = LOAD(own + c * BLOCK) - largest, e = exponential(shifted);
            STORE(gradient + c * BLOCK + lane) = e;
            sum += e;
            total += shifted;
            chosen = SELECT((ivec)(target == c), shifted, chosen);
        }
        vec log_sum = logarithm(sum), smoothed = (float)classes * log_sum - total;
        STORE(losses + lane) = on * (log_sum - chosen) + off * smoothed;
        for (int c = 0; c < classes; c++) {
            vec wanted = SELECT((ivec)(target == c), ALL(on), (vec){}), *place = (vec *)(gradient + c * BLOCK + lane);
            *place = scale * (LOAD(place) / sum - off - wanted);
        }
    }
    double loss = 0;
    for (int n = 0; n < count; n++) loss += losses[n];
    for (int n = count; n < BLOCK; n++)
        for (int c = 0; c < classes; c++) gradient[c * BLOCK + n] = 0;
    return loss;
}
