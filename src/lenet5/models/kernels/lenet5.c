/* The kernel of LeNet5 for one channel of 28x28 or 32x32 pixels: C1 to S4 forward and backward, the logits, and the
   loss with all gradients.

   The code uses the vector types of GCC and Clang, with 16 floats per vector, and requires AVX-512. It allocates no
   heap memory. A batch is cut into tasks by its size alone, never by the number of threads, and sums over tasks have a
   fixed order. The results are therefore the same for any number of threads. */

#include <math.h>
#include <stddef.h>

#include "convolutions.h"
#include "dense.h"
#include "pool.h"

enum { S2 = 1344, S4 = 400, PLACES = 1744, C5 = 120, F6 = 84, FEW = 8, MAX_CLASSES = 128 };
enum { S4_ROW = 416, C5_ROW = 128, F6_ROW = 96 };                           /* rows of dense_weights */
enum { DW1 = 240, DB1 = 6, DW3 = 2560, DB3 = 16, SUMS = DW1 + DB1 + DW3 + DB3 }; /* gradients of C1 and C3 */
enum { ROWS = 6 };                                                          /* rows of a weight gradient per task */

static int64_t divide_up(int64_t count, int64_t size) { return (count + size - 1) / size; }

static int64_t at_most(int64_t count, int64_t limit) { return count < limit ? count : limit; }

/* Images per task of the convolutions. */
static int64_t share(int64_t count) { return count <= 64 ? 4 : divide_up(count, 16); }

static int64_t num_shares(int64_t count) { return divide_up(count, share(count)); }

typedef struct {
    const float *images;
    int size;
    const float *w1, *b1, *w3, *b3;
    float *s2;
    int8_t *place;
    float *s4;
    int64_t count;
} Forward;

static void forward_task(void *arguments, int64_t task) {
    const Forward *a = arguments;
    int64_t own = share(a->count), end = at_most((task + 1) * own, a->count);
    for (int64_t n = task * own; n < end; n++) {
        first_stage(a->images + n * a->size * a->size, a->size, a->w1, a->b1, a->s2 + n * S2, a->place + n * PLACES);
        second_stage(a->s2 + n * S2, a->w3, a->b3, a->s4 + n * S4, a->place + n * PLACES + S2);
    }
}

/* Forward pass of C1 to S4. Inputs: images (N, 1, size, size), w1 (6, 5, 5), w3 (16, 6, 5, 5). Outputs:
   s2 (N, 6, 14, 16), place (N, 1744) for S2 and then S4, and s4 (N, 16, 5, 5). */
EXPORT void NAME(lenet5_forward)(const float *images, int size, const float *w1, const float *b1, const float *w3, const float *b3,
                    float *s2, int8_t *place, float *s4, int64_t count, int threads) {
    float by_input[2400];
    maps_last(w3, by_input);
    Forward arguments = {images, size, w1, b1, by_input, b3, s2, place, s4, count};
    run_tasks(forward_task, &arguments, num_shares(count), threads);
}

typedef struct {
    const float *images;
    int size;
    const float *w3, *s2;
    const int8_t *place;
    const float *gradients;
    float *sums;
    int64_t count;
} Backward;

static void backward_task(void *arguments, int64_t task) {
    const Backward *a = arguments;
    int64_t own = share(a->count);
    float *dw1 = a->sums + task * SUMS, *db1 = dw1 + DW1, *dw3 = db1 + DB1, *db3 = dw3 + DW3;
    memset(dw1, 0, sizeof(float) * SUMS);
    backward(a->images, a->size, a->w3, a->s2, a->place, a->gradients, dw1, db1, dw3, db3, task * own,
             at_most((task + 1) * own, a->count));
}

/* Add the sums of all tasks in order, and store them in torch's layout. */
static void add_sums(float *sums, int64_t tasks, float *dw1, float *db1, float *dw3, float *db3) {
    for (int64_t t = 1; t < tasks; t++)
        for (int i = 0; i < SUMS; i++) sums[i] += sums[t * SUMS + i];
    for (int i = 0; i < 6 * 5; i++) memcpy(dw1 + i * 5, sums + i * 8, sizeof(float) * 5);
    memcpy(db1, sums + DW1, sizeof(float) * DB1);
    const float *rows = sums + DW1 + DB1;
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 5; j++)
                for (int c = 0; c < 6; c++)
                    dw3[((k * 6 + c) * 5 + i) * 5 + j] = rows[(k * 5 + i) * 32 + j * 6 + c];
    memcpy(db3, rows + DW3, sizeof(float) * DB3);
}

/* Store C3's kernels for second_input, as (16, 2, 7, 48): each row holds 5 columns of 6 maps. Each kernel is stored
   twice, for a maximum in the left and in the right column of a pooling window. Rows of zeros above and below serve its
   upper and its lower row. */
static void shift_kernels(const float *w3, float *shifted) {
    memset(shifted, 0, sizeof(float) * 16 * 2 * 7 * SHIFTED);
    for (int k = 0; k < 16; k++)
        for (int right = 0; right < 2; right++)
            for (int i = 0; i < 5; i++)
                for (int j = 0; j < 5; j++)
                    for (int c = 0; c < 6; c++)
                        shifted[((k * 2 + right) * 7 + i + 1) * SHIFTED + (j + right) * 6 + c] =
                            w3[((k * 6 + c) * 5 + i) * 5 + j];
}

/* Return the number of floats that lenet5_backward needs for its sums. */
EXPORT int64_t NAME(lenet5_num_sums)(int64_t count) { return num_shares(count) * SUMS; }

/* Backward pass of C1 to S4: the gradients of the weights and biases. */
EXPORT void NAME(lenet5_backward)(const float *images, int size, const float *w3, const float *s2, const int8_t *place,
                     const float *gradients, float *sums, float *dw1, float *db1, float *dw3, float *db3, int64_t count,
                     int threads) {
    float shifted[16 * 2 * 7 * SHIFTED];
    shift_kernels(w3, shifted);
    Backward arguments = {images, size, shifted, s2, place, gradients, sums, count};
    run_tasks(backward_task, &arguments, num_shares(count), threads);
    add_sums(sums, num_shares(count), dw1, db1, dw3, db3);
}

typedef struct {
    const float *images;
    int size;
    const float *w1, *b1, *w3, *b3, *w5, *b5, *w6, *b6, *w7, *b7;
    int classes;
    float *logits;
    int64_t count;
} Network;

/* Compute y = W x + b for one example, followed by ReLU if relu is set. w (outputs, inputs); inputs must be a multiple
   of 4. */
INLINE void linear(const float *x, const float *w, const float *bias, float *y, int inputs, int outputs, int relu) {
    for (int o = 0; o < outputs; o++, w += inputs) {
        v16 sum = {};
        int i = 0;
        for (; i + 16 <= inputs; i += 16) sum += LOAD(w + i) * LOAD(x + i);
        const float *lanes = (const float *)&sum;
        v4 four = (LOAD4(lanes) + LOAD4(lanes + 4)) + (LOAD4(lanes + 8) + LOAD4(lanes + 12));
        for (; i < inputs; i += 4) four += LOAD4(w + i) * LOAD4(x + i);
        float total = bias[o] + (four[0] + four[1]) + (four[2] + four[3]);
        y[o] = relu && total <= 0 ? 0 : total; /* NaN propagates */
    }
}

/* Compute the logits of one image. */
static void image_task(void *arguments, int64_t n) {
    const Network *a = arguments;
    float s2[S2], s4[S4], c5[C5], f6[F6];
    int8_t place[PLACES];
    first_stage(a->images + n * a->size * a->size, a->size, a->w1, a->b1, s2, place);
    second_stage(s2, a->w3, a->b3, s4, place + S2);
    linear(s4, a->w5, a->b5, c5, S4, C5, 1);
    linear(c5, a->w6, a->b6, f6, C5, F6, 1);
    linear(f6, a->w7, a->b7, a->logits + n * a->classes, F6, a->classes, 0);
}

/* Compute the maps of S4 of up to 16 images as (400, 16), and keep what the backward pass needs. */
static void block_forward(const Network *a, int64_t first, int count, float *s2, int8_t *place, float *rows, int stride,
                          float *s4) {
    memset(s4, 0, sizeof(float) * S4 * BLOCK);
    for (int n = 0; n < count; n++) {
        first_stage(a->images + (first + n) * a->size * a->size, a->size, a->w1, a->b1, s2 + n * S2, place + n * PLACES);
        second_stage(s2 + n * S2, a->w3, a->b3, rows + n * stride, place + n * PLACES + S2);
        for (int i = 0; i < S4; i++) s4[i * BLOCK + n] = rows[n * stride + i];
    }
}

/* Compute the logits of a block of up to 16 images. */
static void block_task(void *arguments, int64_t block) {
    const Network *a = arguments;
    int count = (int)at_most(a->count - block * BLOCK, BLOCK);
    float s2[BLOCK * S2], rows[BLOCK * S4], s4[S4 * BLOCK], c5[C5 * BLOCK], f6[F6 * BLOCK];
    float logits[MAX_CLASSES * BLOCK];
    int8_t place[BLOCK * PLACES];
    block_forward(a, block * BLOCK, count, s2, place, rows, S4, s4);
    dense(a->w5, a->b5, s4, c5, S4, C5, 1);
    dense(a->w6, a->b6, c5, f6, C5, F6, 1);
    dense(a->w7, a->b7, f6, logits, F6, a->classes, 0);
    to_rows(logits, a->logits + block * BLOCK * a->classes, a->classes, a->classes, count);
}

/* Forward pass of the whole network. Only the logits (N, classes) are stored; classes must not exceed MAX_CLASSES. */
EXPORT void NAME(lenet5_logits)(const float *images, int size, const float *w1, const float *b1, const float *w3, const float *b3,
                   const float *w5, const float *b5, const float *w6, const float *b6, const float *w7, const float *b7,
                   int classes, float *logits, int64_t count, int threads) {
    float by_input[2400];
    maps_last(w3, by_input);
    Network arguments = {images, size, w1, b1, by_input, b3, w5, b5, w6, b6, w7, b7, classes, logits, count};
    if (count <= FEW)
        run_tasks(image_task, &arguments, count, threads);
    else
        run_tasks(block_task, &arguments, divide_up(count, BLOCK), threads);
}

/* What a training step keeps of a batch. d5, d6 and d7 (blocks, units, 16) are the gradients of C5, F6 and the logits,
   before ReLU. */
typedef struct {
    Network network;
    const float *shifted;
    const int64_t *targets;
    float smoothing;
    double *losses;
    float *s4, *c5, *f6, *d5, *d6, *d7, *sums;
    float *dw5, *db5, *dw6, *db6, *dw7, *db7, *dw1, *db1, *dw3, *db3;
} Step;

/* Compute the loss of a block of up to 16 images, and backpropagate it to all layers and to the weights of C1 and C3. */
static void gradient_task(void *arguments, int64_t block) {
    const Step *a = arguments;
    const Network *net = &a->network;
    int64_t first = block * BLOCK;
    int count = (int)at_most(net->count - first, BLOCK), classes = net->classes;
    float s2[BLOCK * S2], s4[S4 * BLOCK], c5[C5 * BLOCK], f6[F6 * BLOCK], logits[MAX_CLASSES * BLOCK], rows[BLOCK * S4];
    int8_t place[BLOCK * PLACES];
    float *d5 = a->d5 + block * C5 * BLOCK, *d6 = a->d6 + block * F6 * BLOCK, *d7 = a->d7 + block * classes * BLOCK;
    block_forward(net, first, count, s2, place, a->s4 + first * S4_ROW, S4_ROW, s4);
    dense(net->w5, net->b5, s4, c5, S4, C5, 1);
    to_rows(c5, a->c5 + first * C5_ROW, C5, C5_ROW, count);
    dense(net->w6, net->b6, c5, f6, C5, F6, 1);
    to_rows(f6, a->f6 + first * F6_ROW, F6, F6_ROW, count);
    dense(net->w7, net->b7, f6, logits, F6, classes, 0);
    float scale = 1 / (float)net->count;
    a->losses[block] = cross_entropy(logits, d7, a->targets + first, classes, count, a->smoothing, scale);
    dense_input(net->w7, d7, d6, F6, classes);
    mask(f6, d6, F6);
    dense_input(net->w6, d6, d5, C5, F6);
    mask(c5, d5, C5);
    dense_input(net->w5, d5, s4, S4, C5);
    to_rows(s4, rows, S4, S4, count);
    float *dw1 = a->sums + block * SUMS, *db1 = dw1 + DW1, *dw3 = db1 + DB1, *db3 = dw3 + DW3;
    memset(dw1, 0, sizeof(float) * SUMS);
    backward(net->images + first * net->size * net->size, net->size, a->shifted, s2, place, rows, dw1, db1, dw3, db3, 0,
             count);
}

/* Compute ROWS rows of the gradient of a weight matrix; the last task adds the sums of C1 and C3. */
static void weight_task(void *arguments, int64_t task) {
    const Step *a = arguments;
    const Network *net = &a->network;
    int64_t count = net->count;
    int row = (int)task * ROWS, classes = net->classes;
    if (row < C5) {
        dense_weights(a->s4, S4_ROW, a->d5, a->dw5, a->db5, S4, C5, row, row + ROWS, count);
    } else if ((row -= C5) < F6) {
        dense_weights(a->c5, C5_ROW, a->d6, a->dw6, a->db6, C5, F6, row, row + ROWS, count);
    } else if ((row -= F6) < classes) {
        int last = (int)at_most(row + ROWS, classes);
        dense_weights(a->f6, F6_ROW, a->d7, a->dw7, a->db7, F6, classes, row, last, count);
    } else {
        add_sums(a->sums, divide_up(count, BLOCK), a->dw1, a->db1, a->dw3, a->db3);
    }
}

/* Return the number of floats that lenet5_gradients needs as workspace. */
EXPORT int64_t NAME(lenet5_workspace)(int64_t count, int classes) {
    int64_t blocks = divide_up(count, BLOCK);
    return count * (S4_ROW + C5_ROW + F6_ROW) + blocks * ((C5 + F6 + classes) * BLOCK + SUMS + 2);
}

/* Return the mean cross-entropy with label smoothing, and compute its gradient with respect to each parameter.
   targets (N,) from 0 to classes - 1. parameters and gradients point to the weight and the bias of C1, C3, C5, F6 and
   the output layer. workspace starts at a multiple of 8 bytes. */
EXPORT float NAME(lenet5_gradients)(const float *images, int size, const int64_t *targets, int64_t count, const float *const *parameters,
                       int classes, float smoothing, float *workspace, float *const *gradients, int threads) {
    float by_input[2400], shifted[16 * 2 * 7 * SHIFTED];
    const float *const *p = parameters;
    float *const *g = gradients;
    int64_t blocks = divide_up(count, BLOCK);
    maps_last(p[2], by_input);
    shift_kernels(p[2], shifted);
    Network network = {images, size, p[0], p[1], by_input, p[3], p[4], p[5], p[6], p[7], p[8], p[9], classes, NULL, count};
    double *losses = (double *)workspace;
    float *s4 = workspace + 2 * blocks, *c5 = s4 + count * S4_ROW, *f6 = c5 + count * C5_ROW;
    float *d5 = f6 + count * F6_ROW, *d6 = d5 + blocks * C5 * BLOCK, *d7 = d6 + blocks * F6 * BLOCK;
    Step step = {network, shifted, targets, smoothing, losses, s4, c5, f6, d5, d6, d7, d7 + blocks * classes * BLOCK,
                 g[4], g[5], g[6], g[7], g[8], g[9], g[0], g[1], g[2], g[3]};
    run_tasks(gradient_task, &step, blocks, threads);
    run_tasks(weight_task, &step, (C5 + F6) / ROWS + divide_up(classes, ROWS) + 1, threads);
    double loss = 0;
    for (int64_t b = 0; b < blocks; b++) loss += losses[b];
    return (float)(loss / (double)count);
}
