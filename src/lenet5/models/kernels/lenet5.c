/* The kernel of LeNet5 for images of 28x28 or 32x32 pixels: C1 to S4 forward and backward, the logits, and the loss
   with all gradients.

   It allocates no heap memory. A batch is cut into tasks by its size alone, never by the number of threads, and sums
   over tasks have a fixed order. The results are therefore the same for any number of threads. */

#include <stddef.h>

#include "dense.h"
#include "pool.h"

enum { C5 = 120, F6 = 84, FEW = 8, MAX_CLASSES = 128 };
enum { S4_ROW = 416, C5_ROW = 128, F6_ROW = 96 }; /* rows of dense_weights */
enum { ROWS = 6 };                                /* rows of a weight gradient per task */

static int64_t divide_up(int64_t count, int64_t size) { return (count + size - 1) / size; }

static int64_t at_most(int64_t count, int64_t limit) { return count < limit ? count : limit; }

/* Images per task of the convolutions. */
static int64_t share(int64_t count) { return count <= 64 ? 4 : divide_up(count, 16); }

static int64_t num_shares(int64_t count) { return divide_up(count, share(count)); }

/* What an image's Kept takes: bytes with max pooling, floats with average pooling. */
static int64_t kept_size(const Network *net) { return net->average ? 4 * PLACES : PLACES; }

static Kept kept_of(const Network *net, void *kept, int64_t image) {
    Kept result = {.place = kept};
    if (net->average)
        result.slopes += image * kept_size(net);
    else
        result.place += image * kept_size(net);
    return result;
}

static const float *image_at(const Network *net, const float *images, int64_t n) {
    return images + n * net->channels * net->size * net->size;
}

/* Sums of the gradients of C1 and C3 for a part of a batch. */
typedef struct {
    float dw1[6 * MAX_CHANNELS * 40], db1[6], dw3[16 * 5 * 32], db3[16];
} Sums;

/* Compute C1 to S4 of one image; kept may be NULL if there is no backward pass. */
static void stages(const Network *net, const float *image, const float *w3, Columns *columns, float *s2, float *s4,
                   Kept kept) {
    split_columns(image, net->size, net->channels, columns);
    first_stage(net, columns, s2, kept);
    second_stage(net, s2, w3, s4, kept);
}

/* Add an image's gradients of C1 and C3 to the sums. gradients (400) with respect to S4; w3: see shift_kernels. */
static void backward_stages(const Network *net, const float *image, const float *w3, const float *s2, const float *s4,
                            Kept kept, const float *gradients, Sums *sums) {
    float field[MAX_CHANNELS * FIELD * STRIDE], maps[16 * CL], inputs[16 * CL], by_s4[S4]; /* 2 rows are read in vain */
    int margin = (FIELD - net->size) / 2, size = net->size;
    memset(field, 0, sizeof(float) * net->channels * FIELD * STRIDE);
    for (int c = 0; c < net->channels; c++)
        for (int y = 0; y < size; y++)
            memcpy(field + (c * FIELD + y + margin) * STRIDE + margin, image + (c * size + y) * size,
                   sizeof(float) * size);
    for (int c = 0; c < 6; c++)
        for (int y = 0; y < 14; y++)
            for (int x = 0; x < 14; x++) maps[y * CL + x * 6 + c] = s2[(c * 14 + y) * ROW + x];
    memset(maps + 14 * CL, 0, sizeof(float) * 2 * CL);
    if (!net->average && net->activation != RELU) {
        memcpy(by_s4, gradients, sizeof by_s4);
        backward_activation(s4, by_s4, S4, net->activation);
        gradients = by_s4;
    }
    second_weights(net, maps, gradients, kept, sums->dw3, sums->db3);
    second_input(net, w3, gradients, kept, inputs);
    if (!net->average && net->activation != RELU) backward_activation(maps, inputs, 14 * CL + 8, net->activation);
    first_weights(net, field, inputs, kept, sums->dw1, sums->db1);
}

/* Store C3's kernels for second_input, as (16, 2, 7, 48): each row holds 5 columns of 6 maps. Each kernel is stored
   twice, for a value in the left and in the right column of a pooling window. Rows of zeros above and below serve its
   upper and its lower row. */
SEPARATE void shift_kernels(const float *w3, float *shifted) {
    memset(shifted, 0, sizeof(float) * 16 * 2 * 7 * SHIFTED);
    for (int k = 0; k < 16; k++)
        for (int right = 0; right < 2; right++)
            for (int i = 0; i < 5; i++)
                for (int j = 0; j < 5; j++)
                    for (int c = 0; c < 6; c++)
                        shifted[((k * 2 + right) * 7 + i + 1) * SHIFTED + (j + right) * 6 + c] =
                            w3[((k * 6 + c) * 5 + i) * 5 + j];
}

/* Add the sums of all tasks in order, and store them in torch's layout. */
SEPARATE void add_sums(Sums *sums, int64_t tasks, int channels, float *const *gradients) {
    float *total = (float *)sums;
    for (int64_t t = 1; t < tasks; t++)
        for (size_t i = 0; i < sizeof(Sums) / sizeof(float); i++) total[i] += ((const float *)(sums + t))[i];
    for (int i = 0; i < 6 * channels * 5; i++) memcpy(gradients[0] + i * 5, sums->dw1 + i * 8, sizeof(float) * 5);
    memcpy(gradients[1], sums->db1, sizeof sums->db1);
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 5; j++)
                for (int c = 0; c < 6; c++)
                    gradients[2][((k * 6 + c) * 5 + i) * 5 + j] = sums->dw3[(k * 5 + i) * 32 + j * 6 + c];
    memcpy(gradients[3], sums->db3, sizeof sums->db3);
}

typedef struct {
    const Network *net;
    const float *images, *w3;
    float *s2, *s4;
    void *kept;
    const float *gradients;
    Sums *sums;
    int64_t count;
} Stages;

static void forward_task(void *arguments, int64_t task) {
    const Stages *a = arguments;
    Columns columns = {};
    int64_t own = share(a->count), end = at_most((task + 1) * own, a->count);
    for (int64_t n = task * own; n < end; n++)
        stages(a->net, image_at(a->net, a->images, n), a->w3, &columns, a->s2 + n * S2, a->s4 + n * S4,
               kept_of(a->net, a->kept, n));
}

/* Forward pass of C1 to S4. images (N, channels, size, size). Outputs: s2 (N, 6, 14, 16); kept (N, 1744) int8 with max
   pooling, (N, 4, 1744) float with average pooling; s4 (N, 16, 5, 5). Only the first four parameters are read. */
EXPORT void NAME(lenet5_forward)(const Network *net, const float *images, float *s2, void *kept, float *s4,
                                 int64_t count, int threads) {
    float w3[2400];
    maps_last(net->parameters[2], w3);
    Stages arguments = {.net = net, .images = images, .w3 = w3, .s2 = s2, .s4 = s4, .kept = kept, .count = count};
    run_tasks(forward_task, &arguments, num_shares(count), threads);
}

static void backward_task(void *arguments, int64_t task) {
    const Stages *a = arguments;
    int64_t own = share(a->count), end = at_most((task + 1) * own, a->count);
    memset(a->sums + task, 0, sizeof(Sums));
    for (int64_t n = task * own; n < end; n++)
        backward_stages(a->net, image_at(a->net, a->images, n), a->w3, a->s2 + n * S2, a->s4 + n * S4,
                        kept_of(a->net, a->kept, n), a->gradients + n * S4, a->sums + task);
}

/* Return the number of floats that lenet5_backward needs for its sums. */
EXPORT int64_t NAME(lenet5_num_sums)(int64_t count) { return num_shares(count) * (int64_t)(sizeof(Sums) / sizeof(float)); }

/* Backward pass of C1 to S4, from the gradients (N, 400) of S4 to those of the weights and biases of C1 and C3. */
EXPORT void NAME(lenet5_backward)(const Network *net, const float *images, const float *s2, void *kept, const float *s4,
                                  const float *by_s4, float *sums, float *const *gradients, int64_t count, int threads) {
    float w3[16 * 2 * 7 * SHIFTED];
    shift_kernels(net->parameters[2], w3);
    Stages arguments = {net, images, w3, (float *)s2, (float *)s4, kept, by_s4, (Sums *)sums, count};
    run_tasks(backward_task, &arguments, num_shares(count), threads);
    add_sums((Sums *)sums, num_shares(count), net->channels, gradients);
}

typedef struct {
    const Network *net;
    const float *images, *w3;
    float *logits;
    int64_t count;
} Inference;

/* Compute the logits of one image. */
static void image_task(void *arguments, int64_t n) {
    const Inference *a = arguments;
    const float *const *p = a->net->parameters;
    Columns columns = {};
    float s2[S2], slopes[4 * PLACES], s4[S4], c5[C5_ROW] = {}, f6[F6_ROW] = {};
    Kept kept = {.slopes = a->net->average ? slopes : NULL};
    stages(a->net, image_at(a->net, a->images, n), a->w3, &columns, s2, s4, kept);
    linear(s4, p[4], p[5], c5, S4, C5);
    activate_all(c5, C5_ROW, a->net->activation);
    linear(c5, p[6], p[7], f6, C5, F6);
    activate_all(f6, F6_ROW, a->net->activation);
    linear(f6, p[8], p[9], a->logits + n * a->net->classes, F6, a->net->classes);
}

/* Compute C5, F6 and the logits of a block from its maps of S4 (400, 16). */
static void block_dense(const Network *net, const float *s4, float *c5, float *f6, float *logits) {
    const float *const *p = net->parameters;
    dense(p[4], p[5], s4, c5, S4, C5);
    activate_all(c5, C5 * BLOCK, net->activation);
    dense(p[6], p[7], c5, f6, C5, F6);
    activate_all(f6, F6 * BLOCK, net->activation);
    dense(p[8], p[9], f6, logits, F6, net->classes);
}

/* Compute the logits of a block of up to 16 images. */
static void block_task(void *arguments, int64_t block) {
    const Inference *a = arguments;
    int count = (int)at_most(a->count - block * BLOCK, BLOCK), classes = a->net->classes;
    Columns columns = {};
    float s2[S2], slopes[4 * PLACES], row[S4], s4[S4 * BLOCK] = {}, c5[C5 * BLOCK], f6[F6 * BLOCK];
    float logits[MAX_CLASSES * BLOCK];
    Kept kept = {.slopes = a->net->average ? slopes : NULL};
    for (int n = 0; n < count; n++) {
        stages(a->net, image_at(a->net, a->images, block * BLOCK + n), a->w3, &columns, s2, row, kept);
        for (int i = 0; i < S4; i++) s4[i * BLOCK + n] = row[i];
    }
    block_dense(a->net, s4, c5, f6, logits);
    to_rows(logits, a->logits + block * BLOCK * classes, classes, classes, count);
}

/* Forward pass of the whole network. Only the logits (N, classes) are stored; classes must not exceed MAX_CLASSES. */
EXPORT void NAME(lenet5_logits)(const Network *net, const float *images, float *logits, int64_t count, int threads) {
    float w3[2400];
    maps_last(net->parameters[2], w3);
    Inference arguments = {net, images, w3, logits, count};
    if (count <= FEW)
        run_tasks(image_task, &arguments, count, threads);
    else
        run_tasks(block_task, &arguments, divide_up(count, BLOCK), threads);
}

/* What a training step keeps of a batch. d5, d6 and d7 (blocks, units, 16) are the gradients of C5, F6 and the logits,
   before the activation. */
typedef struct {
    const Network *net;
    const float *images, *w3, *shifted;
    const int64_t *targets;
    float *const *gradients;
    float smoothing;
    int64_t count;
    double *losses;
    Sums *sums;
    float *s4, *c5, *f6, *d5, *d6, *d7, *slopes;
} Step;

/* Lay a step's arrays out in the workspace; return its size in floats. */
static int64_t lay_out(Step *step, float *workspace) {
    int64_t count = step->count, blocks = divide_up(count, BLOCK), classes = step->net->classes;
    step->losses = (double *)workspace;
    step->sums = (Sums *)(workspace + 2 * blocks);
    step->s4 = (float *)(step->sums + blocks);
    step->c5 = step->s4 + count * S4_ROW;
    step->f6 = step->c5 + count * C5_ROW;
    step->d5 = step->f6 + count * F6_ROW;
    step->d6 = step->d5 + blocks * C5 * BLOCK;
    step->d7 = step->d6 + blocks * F6 * BLOCK;
    step->slopes = step->d7 + blocks * classes * BLOCK;
    return step->slopes + (step->net->average ? count * kept_size(step->net) : 0) - workspace;
}

/* Compute the loss of a block of up to 16 images, and backpropagate it to all layers and to the weights of C1 and C3. */
static void gradient_task(void *arguments, int64_t block) {
    const Step *a = arguments;
    const Network *net = a->net;
    const float *const *p = net->parameters;
    int64_t first = block * BLOCK;
    int count = (int)at_most(a->count - first, BLOCK), classes = net->classes;
    Columns columns = {};
    float s2[BLOCK * S2], s4[S4 * BLOCK] = {}, c5[C5 * BLOCK], f6[F6 * BLOCK], logits[MAX_CLASSES * BLOCK];
    int8_t place[BLOCK * PLACES];
    void *kept = net->average ? (void *)(a->slopes + first * kept_size(net)) : (void *)place;
    float *rows = a->s4 + first * S4_ROW;
    for (int n = 0; n < count; n++) {
        stages(net, image_at(net, a->images, first + n), a->w3, &columns, s2 + n * S2, rows + n * S4_ROW,
               kept_of(net, kept, n));
        for (int i = 0; i < S4; i++) s4[i * BLOCK + n] = rows[n * S4_ROW + i];
    }
    block_dense(net, s4, c5, f6, logits);
    to_rows(c5, a->c5 + first * C5_ROW, C5, C5_ROW, count);
    to_rows(f6, a->f6 + first * F6_ROW, F6, F6_ROW, count);
    float *d5 = a->d5 + block * C5 * BLOCK, *d6 = a->d6 + block * F6 * BLOCK, *d7 = a->d7 + block * classes * BLOCK;
    float scale = 1 / (float)a->count, by_s4[S4];
    a->losses[block] = cross_entropy(logits, d7, a->targets + first, classes, count, a->smoothing, scale);
    dense_input(p[8], d7, d6, F6, classes);
    backward_activation(f6, d6, F6 * BLOCK, net->activation);
    dense_input(p[6], d6, d5, C5, F6);
    backward_activation(c5, d5, C5 * BLOCK, net->activation);
    dense_input(p[4], d5, s4, S4, C5);
    memset(a->sums + block, 0, sizeof(Sums));
    for (int n = 0; n < count; n++) {
        for (int i = 0; i < S4; i++) by_s4[i] = s4[i * BLOCK + n];
        backward_stages(net, image_at(net, a->images, first + n), a->shifted, s2 + n * S2, rows + n * S4_ROW,
                        kept_of(net, kept, n), by_s4, a->sums + block);
    }
}

/* Compute ROWS rows of the gradient of a weight matrix; the last task adds the sums of C1 and C3. */
static void weight_task(void *arguments, int64_t task) {
    const Step *a = arguments;
    float *const *g = a->gradients;
    int64_t count = a->count;
    int row = (int)task * ROWS, classes = a->net->classes;
    if (row < C5) {
        dense_weights(a->s4, S4_ROW, a->d5, g[4], g[5], S4, C5, row, row + ROWS, count);
    } else if ((row -= C5) < F6) {
        dense_weights(a->c5, C5_ROW, a->d6, g[6], g[7], C5, F6, row, row + ROWS, count);
    } else if ((row -= F6) < classes) {
        int last = (int)at_most(row + ROWS, classes);
        dense_weights(a->f6, F6_ROW, a->d7, g[8], g[9], F6, classes, row, last, count);
    } else {
        add_sums(a->sums, divide_up(count, BLOCK), a->net->channels, g);
    }
}

/* Return the number of floats that lenet5_gradients needs as workspace. */
EXPORT int64_t NAME(lenet5_workspace)(const Network *net, int64_t count) {
    Step step = {.net = net, .count = count};
    static float start[2];
    return lay_out(&step, start);
}

/* Return the mean cross-entropy with label smoothing, and compute its gradient with respect to each parameter.
   targets (N,) from 0 to classes - 1. gradients point to the gradients of the parameters. workspace starts at a multiple
   of 8 bytes. */
EXPORT float NAME(lenet5_gradients)(const Network *net, const float *images, const int64_t *targets, int64_t count,
                                    float smoothing, float *workspace, float *const *gradients, int threads) {
    float w3[2400], shifted[16 * 2 * 7 * SHIFTED];
    maps_last(net->parameters[2], w3);
    shift_kernels(net->parameters[2], shifted);
    Step step = {.net = net, .images = images, .w3 = w3, .shifted = shifted, .targets = targets,
                 .gradients = gradients, .smoothing = smoothing, .count = count};
    lay_out(&step, workspace);
    int64_t blocks = divide_up(count, BLOCK);
    run_tasks(gradient_task, &step, blocks, threads);
    run_tasks(weight_task, &step, (C5 + F6) / ROWS + divide_up(net->classes, ROWS) + 1, threads);
    double loss = 0;
    for (int64_t b = 0; b < blocks; b++) loss += step.losses[b];
    return (float)(loss / (double)count);
}
