/* Fully connected layers for a block of 16 images, one image per lane: activations are stored as (units, 16).

   Weights keep torch's layout (outputs, inputs). Each broadcast weight meets one vector of activations. A tile of sums
   stays in registers. */

enum { BLOCK = 16 };

/* Compute ROWS outputs from o on, and store their ReLU if relu is set; NaN propagates. */
#define DENSE_TILE(ROWS)                                                                             \
    do {                                                                                             \
        v16 sum[ROWS];                                                                               \
        for (int r = 0; r < ROWS; r++) sum[r] = (v16){} + bias[o + r];                               \
        for (int i = 0; i < inputs; i++) {                                                           \
            v16 lanes = LOAD(x + i * BLOCK);                                                         \
            _Pragma("GCC unroll 12") for (int r = 0; r < ROWS; r++)                                  \
                sum[r] += lanes * w[(o + r) * inputs + i];                                           \
        }                                                                                            \
        for (int r = 0; r < ROWS; r++)                                                               \
            *(v16 *)(y + (o + r) * BLOCK) = relu ? SELECT(sum[r] <= 0.0f, (v16){}, sum[r]) : sum[r]; \
    } while (0)

/* Compute y = W x + b, followed by ReLU if relu is set. x (inputs, 16), y (outputs, 16). */
INLINE void dense(const float *w, const float *bias, const float *x, float *y, int inputs, int outputs, int relu) {
    int o = 0;
    for (; o + 12 <= outputs; o += 12) DENSE_TILE(12);
    for (; o + 2 <= outputs; o += 2) DENSE_TILE(2);
    for (; o < outputs; o++) DENSE_TILE(1);
}

#define DENSE_INPUT_TILE(COLUMNS)                                                              \
    do {                                                                                       \
        v16 sum[COLUMNS];                                                                      \
        for (int c = 0; c < COLUMNS; c++) sum[c] = (v16){};                                    \
        for (int o = 0; o < outputs; o++) {                                                    \
            v16 lanes = LOAD(dy + o * BLOCK);                                                  \
            _Pragma("GCC unroll 12") for (int c = 0; c < COLUMNS; c++)                         \
                sum[c] += lanes * w[o * inputs + i + c];                                       \
        }                                                                                      \
        for (int c = 0; c < COLUMNS; c++) *(v16 *)(dx + (i + c) * BLOCK) = sum[c];             \
    } while (0)

/* Compute dx = W^T dy. inputs must be a multiple of 4. */
INLINE void dense_input(const float *w, const float *dy, float *dx, int inputs, int outputs) {
    int i = 0;
    for (; i + 12 <= inputs; i += 12) DENSE_INPUT_TILE(12);
    for (; i < inputs; i += 4) DENSE_INPUT_TILE(4);
}

/* Zero the gradients of units that ReLU zeroed. y and dy (units, 16). */
INLINE void mask(const float *y, float *dy, int units) {
    for (int u = 0; u < units; u++) {
        v16 value = LOAD(y + u * BLOCK);
        *(v16 *)(dy + u * BLOCK) = SELECT(value == 0.0f, (v16){}, LOAD(dy + u * BLOCK));
    }
}

/* Transpose (units, 16) to rows of `stride` values, one row per image. */
INLINE void to_rows(const float *lanes, float *rows, int units, int stride, int count) {
    for (int n = 0; n < count; n++)
        for (int u = 0; u < units; u++) rows[n * stride + u] = lanes[u * BLOCK + n];
}

#define WEIGHT_TILE(ROWS)                                                                                      \
    do {                                                                                                       \
        for (int i = 0; i < inputs; i += 2 * BLOCK) {                                                          \
            v16 sum[ROWS][2];                                                                                  \
            for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = (v16){};                                    \
            for (int64_t n = 0; n < count; n++) {                                                                 \
                const float *gradient = dy + (n / BLOCK * outputs + o) * BLOCK + n % BLOCK;                    \
                v16 left = LOAD(x + n * stride + i), right = LOAD(x + n * stride + i + BLOCK);                 \
                _Pragma("GCC unroll 6") for (int r = 0; r < ROWS; r++) {                                       \
                    sum[r][0] += left * gradient[r * BLOCK];                                                   \
                    sum[r][1] += right * gradient[r * BLOCK];                                                  \
                }                                                                                              \
            }                                                                                                  \
            int width = inputs - i < 2 * BLOCK ? inputs - i : 2 * BLOCK;                                       \
            for (int r = 0; r < ROWS; r++) memcpy(dw + (o + r) * inputs + i, sum[r], sizeof(float) * width);   \
        }                                                                                                      \
    } while (0)

/* Compute rows first to last - 1 of dW = dy x^T, and of the gradient of the bias. x (count, stride) has one row per
   image, with a stride of at least `inputs`, rounded up to a multiple of 32. dy (blocks, outputs, 16). */
static void dense_weights(const float *x, int stride, const float *dy, float *dw, float *dbias, int inputs, int outputs,
                          int first, int last, int64_t count) {
    int o = first;
    for (; o + 6 <= last; o += 6) WEIGHT_TILE(6);
    for (; o < last; o++) WEIGHT_TILE(1);
    for (o = first; o < last; o++) {
        float total = 0;
        for (int64_t n = 0; n < count; n++) total += dy[(n / BLOCK * outputs + o) * BLOCK + n % BLOCK];
        dbias[o] = total;
    }
}

/* Compute the sum over a block's images of the cross-entropy with label smoothing, and its gradient times `scale`.
   logits and gradient (classes, 16). */
static double cross_entropy(const float *logits, float *gradient, const int64_t *targets, int classes, int count,
                            float smoothing, float scale) {
    double loss = 0;
    memset(gradient, 0, sizeof(float) * classes * BLOCK);
    for (int n = 0; n < count; n++) {
        float largest = logits[n], sum = 0, total = 0;
        for (int c = 1; c < classes; c++) largest = logits[c * BLOCK + n] > largest ? logits[c * BLOCK + n] : largest;
        for (int c = 0; c < classes; c++) {
            float shifted = logits[c * BLOCK + n] - largest, exponential = expf(shifted);
            gradient[c * BLOCK + n] = exponential;
            sum += exponential;
            total += shifted;
        }
        float log_sum = logf(sum), on = 1 - smoothing, off = smoothing / classes;
        loss += on * (log_sum - (logits[targets[n] * BLOCK + n] - largest)) + off * (classes * log_sum - total);
        for (int c = 0; c < classes; c++) {
            float *own = gradient + c * BLOCK + n;
            *own = scale * (*own / sum - off - (c == targets[n] ? on : 0));
        }
    }
    return loss;
}
