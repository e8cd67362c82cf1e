/* The kernel of LeNet5Original: the distances, or the loss and the gradient of each parameter.

   A batch is cut into tasks by its size alone, and each task computes one image after another. The lanes hold the
   columns of the maps in C1 and S2, and the maps in C3 and S4. In names, by_x is the gradient of the loss with respect
   to x. */

#include <math.h>
#include <stddef.h>

#include "pool.h"
#include "vectors.h"

enum { FIELD = 48, CLASSES = 128, F5 = 128, F6 = 96 }; /* padded lengths of an input row and of the longest vectors */
enum { WIDE = 2 * LANES, SLICE = 4096 };               /* columns of C1 at once; values of a gradient per task */

static const float A = 1.7159f, S = 2.0f / 3.0f;

/* Pointers to the parameters or to their gradients, in the order of model.parameters(). */
typedef struct {
    float *w1, *b1, *coefficient2, *bias2, *w3, *b3, *coefficient4, *bias4, *w5, *b5, *w6, *b6;
} Parameters;

/* The network as Python describes it. links (num_links, 2): the map of C3 and the map of S2 that each kernel of w3
   connects. prototypes (classes, 84), for at most 128 classes. */
typedef struct {
    Parameters parameters;
    const int32_t *links;
    const float *prototypes;
    int32_t num_links, classes;
    float j; /* negative for the loss of equation 8 of the paper, positive for equation 9, infinite for cross-entropy */
} Original;

/* The activations of all layers for one image. sum2 and sum4 are the window sums of S2 and S4. */
typedef struct {
    float field[32][FIELD];
    float c1[6][28][32];
    float sum2[6][14][16], s2[6][14][16];
    float c3[10][10][16];
    float sum4[5][5][16], s4[5][5][16];
    float s4_by_map[400], c5[F5], f6[F6];
} Answers;

INLINE float total(const float *x, int count) {
    float sum = 0;
    for (int i = 0; i < count; i++) sum += x[i];
    return sum;
}

/* Replace the 16 values of a row by A tanh(S a). */
INLINE void squash(float *row) {
    for (int i = 0; i < ROW; i += LANES) STORE(row + i) = A * hyperbolic_tangent(S * LOAD(row + i));
}

/* Return the derivative of the activation at the input where its output is y. */
INLINE vec slope(vec y) { return S * (A - y * y * (1 / A)); }

SEPARATE void forward_c1(Answers *x, const float *w, const float *bias) {
    for (int y = 0; y < 28; y++) {
        for (int first = 0; first < 32; first += WIDE) {
            vec sum[6][2];
            UNROLL for (int c = 0; c < 6; c++) sum[c][0] = sum[c][1] = ALL(bias[c]);
            for (int i = 0; i < 5; i++)
                UNROLL for (int j = 0; j < 5; j++) {
                    const float *field = x->field[y + i] + first + j;
                    vec left = LOAD(field), right = LOAD(field + LANES);
                    UNROLL for (int c = 0; c < 6; c++) {
                        vec weight = ALL(w[25 * c + 5 * i + j]);
                        sum[c][0] += left * weight;
                        sum[c][1] += right * weight;
                    }
                }
            UNROLL for (int c = 0; c < 6; c++) {
                STORE(x->c1[c][y] + first) = sum[c][0];
                STORE(x->c1[c][y] + first + LANES) = sum[c][1];
            }
        }
        for (int c = 0; c < 6; c++) squash(x->c1[c][y]), squash(x->c1[c][y] + ROW);
    }
}

SEPARATE void forward_s2(Answers *x, const float *coefficient, const float *bias) {
    for (int c = 0; c < 6; c++)
        for (int y = 0; y < 14; y++) {
            const float *upper = x->c1[c][2 * y], *lower = x->c1[c][2 * y + 1];
            for (int i = 0; i < ROW; i += LANES) {
                vec left = LOAD(upper + 2 * i) + LOAD(lower + 2 * i);
                vec right = LOAD(upper + 2 * i + LANES) + LOAD(lower + 2 * i + LANES);
                vec sum = EVEN(left, right) + ODD(left, right);
                STORE(x->sum2[c][y] + i) = sum;
                STORE(x->s2[c][y] + i) = sum * coefficient[c] + bias[c];
            }
            squash(x->s2[c][y]);
        }
}

/* kernels (6, 5, 5, 16), 0 where a map of C3 is not connected to a map of S2. */
SEPARATE void forward_c3(Answers *x, const float *kernels, const float *bias) {
    for (int y = 0; y < 10; y++) {
        for (int part = 0; part < ROW; part += LANES) {
            vec sum[10];
            UNROLL for (int p = 0; p < 10; p++) sum[p] = LOAD(bias + part);
            for (int c = 0; c < 6; c++)
                for (int i = 0; i < 5; i++) {
                    const float *row = x->s2[c][y + i], *kernel = kernels + (c * 5 + i) * 80 + part;
                    UNROLL for (int j = 0; j < 5; j++) {
                        vec weight = LOAD(kernel + ROW * j);
                        UNROLL for (int p = 0; p < 10; p++) sum[p] += weight * row[p + j];
                    }
                }
            UNROLL for (int p = 0; p < 10; p++) STORE(x->c3[y][p] + part) = sum[p];
        }
        for (int p = 0; p < 10; p++) squash(x->c3[y][p]);
    }
}

SEPARATE void forward_s4(Answers *x, const float *coefficient, const float *bias) {
    for (int y = 0; y < 5; y++)
        for (int p = 0; p < 5; p++) {
            for (int i = 0; i < ROW; i += LANES) {
                vec sum = LOAD(x->c3[2 * y][2 * p] + i) + LOAD(x->c3[2 * y][2 * p + 1] + i) +
                          LOAD(x->c3[2 * y + 1][2 * p] + i) + LOAD(x->c3[2 * y + 1][2 * p + 1] + i);
                STORE(x->sum4[y][p] + i) = sum;
                STORE(x->s4[y][p] + i) = sum * LOAD(coefficient + i) + LOAD(bias + i);
            }
            squash(x->s4[y][p]);
            for (int k = 0; k < 16; k++) x->s4_by_map[25 * k + 5 * y + p] = x->s4[y][p][k];
        }
}

/* Compute a fully connected layer and its activation. The outputs are padded with 0 to a multiple of 16. */
SEPARATE void forward_full(const float *inputs, int length, const float *w, const float *bias, float *outputs, int count) {
    int padded = (count + 15) / 16 * 16, whole = length / 16 * 16;
    for (int o = 0; o < count; o++) {
        const float *row = w + o * length;
        vec sum[PARTS] = {};
        v4 rest = {};
        for (int i = 0; i < whole; i += ROW)
            UNROLL for (int h = 0; h < PARTS; h++) sum[h] += LOAD(inputs + i + h * LANES) * LOAD(row + i + h * LANES);
        for (int i = whole; i < length; i += 4) rest += LOAD4(inputs + i) * LOAD4(row + i);
        outputs[o] = bias[o] + add_up(sum, rest);
    }
    for (int o = count; o < padded; o++) outputs[o] = 0;
    for (int o = 0; o < padded; o += ROW) squash(outputs + o);
}

/* Compute all layers below the output for one image (32, 32). */
static void forward(Answers *x, const Parameters *p, const float *image, const float *kernels) {
    for (int y = 0; y < 32; y++) memcpy(x->field[y], image + y * 32, 32 * sizeof(float));
    forward_c1(x, p->w1, p->b1);
    forward_s2(x, p->coefficient2, p->bias2);
    forward_c3(x, kernels, p->b3);
    forward_s4(x, p->coefficient4, p->bias4);
    forward_full(x->s4_by_map, 400, p->w5, p->b5, x->c5, 120);
    forward_full(x->c5, 120, p->w6, p->b6, x->f6, 84);
}

/* Compute the squared distances of F6 to each prototype. */
SEPARATE void distances(const float *f6, const float *prototypes, int classes, float *distance) {
    for (int i = 0; i < classes; i++, prototypes += 84) {
        float away[F6] = {};
        vec sum[PARTS] = {};
        for (int k = 0; k < 84; k++) away[k] = f6[k] - prototypes[k];
        for (int k = 0; k < F6; k += ROW)
            UNROLL for (int h = 0; h < PARTS; h++) {
                vec x = LOAD(away + k + h * LANES);
                sum[h] -= x * x; /* 0 + x * x would be a product, which compilers fuse with either neighbour */
            }
        distance[i] = -add_up(sum, (v4){});
    }
}

/* Return the loss, and compute its gradient with respect to F6; see Original for j. */
SEPARATE float output_layer(const float *f6, const float *prototypes, int classes, int target, float j, float *gradient) {
    float distance[CLASSES], share[CLASSES] = {}, nearest = j < 0 ? INFINITY : j, all = 0;
    distances(f6, prototypes, classes, distance);
    for (int i = 0; i < classes; i++)
        if (distance[i] < nearest) nearest = distance[i];
    for (int i = 0; i < classes; i++) share[i] = nearest - distance[i];
    for (int i = 0; i < classes; i += LANES) STORE(share + i) = exponential(LOAD(share + i));
    for (int i = 0; i < classes; i++) all += share[i];
    if (j >= 0) all += exponential(ALL(nearest - j))[0];
    memset(gradient, 0, F6 * sizeof(float));
    for (int i = 0; i < classes; i++) {
        float by_distance = (i == target) - (j < 0 ? 0 : share[i] / all);
        for (int k = 0; k < 84; k++) gradient[k] += 2 * by_distance * (f6[k] - prototypes[84 * i + k]);
    }
    return distance[target] + (j < 0 ? 0 : logarithm(ALL(all))[0] - nearest);
}

/* Backpropagate through a fully connected layer and its activation: compute by_inputs, and add to by_w and by_bias.
   gradient, with respect to the outputs, is overwritten. */
SEPARATE void backward_full(const float *inputs, int length, const float *w, const float *outputs, int count,
                            float *gradient, float *by_inputs, float *by_w, float *by_bias) {
    int whole = length / LANES * LANES;
    for (int o = 0; o < count; o += LANES) STORE(gradient + o) *= slope(LOAD(outputs + o));
    memset(by_inputs, 0, length * sizeof(float));
    for (int o = 0; o < count; o++) {
        const float *row = w + o * length;
        float *by_row = by_w + o * length, g = gradient[o];
        by_bias[o] += g;
        for (int i = 0; i < whole; i += LANES) {
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
SEPARATE void backward_s4(const Answers *x, const float *coefficient, const float *gradient, float by_c3[16][18][32],
                          float by_sums[10][10][16], float *by_coefficient, float *by_bias) {
    for (int y = 0; y < 5; y++)
        for (int p = 0; p < 5; p++) {
            float by_s4[ROW];
            for (int k = 0; k < 16; k++) by_s4[k] = gradient[25 * k + 5 * y + p];
            for (int i = 0; i < ROW; i += LANES) {
                vec g = LOAD(by_s4 + i) * slope(LOAD(x->s4[y][p] + i));
                STORE(by_bias + i) += g;
                STORE(by_coefficient + i) += g * LOAD(x->sum4[y][p] + i);
                g *= LOAD(coefficient + i);
                for (int quarter = 0; quarter < 4; quarter++) {
                    int row = 2 * y + quarter / 2, column = 2 * p + quarter % 2;
                    STORE(by_sums[row][column] + i) = g * slope(LOAD(x->c3[row][column] + i));
                }
            }
            for (int quarter = 0; quarter < 4; quarter++) {
                int row = 2 * y + quarter / 2, column = 2 * p + quarter % 2;
                for (int k = 0; k < 16; k++) by_c3[k][4 + row][4 + column] = by_sums[row][column][k];
            }
        }
}

/* Compute the gradient of C3's kernels (6, 5, 5, 16), and add to the gradient of its biases. */
SEPARATE void backward_c3_parameters(const Answers *x, float by_sums[10][10][16], float *by_kernels, float *by_bias) {
    for (int part = 0; part < ROW; part += LANES) {
        for (int y = 0; y < 10; y++)
            for (int p = 0; p < 10; p++) STORE(by_bias + part) += LOAD(by_sums[y][p] + part);
        for (int c = 0; c < 6; c++)
            for (int i = 0; i < 5; i++) {
                vec sum[5] = {};
                for (int y = 0; y < 10; y++)
                    UNROLL for (int p = 0; p < 10; p++) {
                        vec g = LOAD(by_sums[y][p] + part);
                        UNROLL for (int j = 0; j < 5; j++) sum[j] += g * x->s2[c][y + i][p + j];
                    }
                UNROLL for (int j = 0; j < 5; j++) STORE(by_kernels + ((c * 5 + i) * 5 + j) * ROW + part) = sum[j];
            }
    }
}

/* Backpropagate from the sums of C3 to the outputs of one map of S2: by_s2 (14, 16). */
SEPARATE void backward_c3_inputs(const float *w, const int32_t *links, int num_links, int map, float by_c3[16][18][32],
                                 float by_s2[14][16]) {
    for (int part = 0; part < ROW; part += LANES) {
        vec sum[14];
        UNROLL for (int y = 0; y < 14; y++) sum[y] = (vec){};
        for (int link = 0; link < num_links; link++) {
            if (links[2 * link + 1] != map) continue;
            for (int i = 0; i < 5; i++)
                for (int j = 0; j < 5; j++) {
                    vec weight = ALL(w[25 * link + 5 * i + j]);
                    const float *g = by_c3[links[2 * link]][4 - i] + 4 - j + part;
                    UNROLL for (int y = 0; y < 14; y++) sum[y] += weight * LOAD(g + y * 32);
                }
        }
        UNROLL for (int y = 0; y < 14; y++) STORE(by_s2[y] + part) = sum[y];
    }
}

/* Backpropagate from the outputs of one map of S2 to the sums of its map in C1, and add to the gradients of the
   parameters of both layers. */
SEPARATE void backward_first(const Answers *x, int map, float by_s2[14][16], float coefficient, float *by_coefficient,
                             float *by_bias2, float *by_w, float *by_bias1) {
    float sums[28][32], coefficients[ROW] = {}, biases2[ROW] = {}, biases1[32] = {};
    for (int y = 0; y < 14; y++)
        for (int i = 0; i < ROW; i += LANES) {
            vec g = LOAD(by_s2[y] + i) * slope(LOAD(x->s2[map][y] + i));
            STORE(biases2 + i) += g;
            STORE(coefficients + i) += g * LOAD(x->sum2[map][y] + i);
            g *= coefficient;
            vec left = LOWER_TWICE(g), right = UPPER_TWICE(g);
            for (int row = 2 * y; row < 2 * y + 2; row++) {
                const float *c1 = x->c1[map][row] + 2 * i;
                float *own = sums[row] + 2 * i;
                STORE(own) = left * slope(LOAD(c1));
                STORE(own + LANES) = right * slope(LOAD(c1 + LANES));
                STORE(biases1 + 2 * i) += LOAD(own);
                STORE(biases1 + 2 * i + LANES) += LOAD(own + LANES);
            }
        }
    *by_coefficient += total(coefficients, ROW);
    *by_bias2 += total(biases2, ROW);
    *by_bias1 += total(biases1, 32);
    for (int i = 0; i < 5; i++) {
        float products[5][32];
        for (int first = 0; first < 32; first += WIDE) {
            vec sum[5][2] = {};
            for (int y = 0; y < 28; y++)
                UNROLL for (int j = 0; j < 5; j++) {
                    const float *field = x->field[y + i] + first + j;
                    sum[j][0] += LOAD(sums[y] + first) * LOAD(field);
                    sum[j][1] += LOAD(sums[y] + first + LANES) * LOAD(field + LANES);
                }
            for (int j = 0; j < 5; j++) {
                STORE(products[j] + first) = sum[j][0];
                STORE(products[j] + first + LANES) = sum[j][1];
            }
        }
        for (int j = 0; j < 5; j++) by_w[5 * i + j] += total(products[j], 32);
    }
}

/* Arrange C3's kernels as (6, 5, 5, 16), with 0 where maps are not connected. */
static void arrange(const Original *net, float *kernels) {
    memset(kernels, 0, 6 * 25 * 16 * sizeof(float));
    for (int link = 0; link < net->num_links; link++)
        for (int tap = 0; tap < 25; tap++)
            kernels[(net->links[2 * link + 1] * 25 + tap) * 16 + net->links[2 * link]] =
                net->parameters.w3[25 * link + tap];
}

/* Add the gradients of one image, whose layers are computed, to g. Return its loss. */
static float backward(const Original *net, const Answers *x, int target, float by_c3[16][18][32], const Parameters *g) {
    float by_kernels[6 * 25 * 16], by_sums[10][10][16], by_f6[F6], by_c5[F5] = {}, by_s4[400];
    const Parameters *p = &net->parameters;
    float loss = output_layer(x->f6, net->prototypes, net->classes, target, net->j, by_f6);
    backward_full(x->c5, 120, p->w6, x->f6, 84, by_f6, by_c5, g->w6, g->b6);
    backward_full(x->s4_by_map, 400, p->w5, x->c5, 120, by_c5, by_s4, g->w5, g->b5);
    backward_s4(x, p->coefficient4, by_s4, by_c3, by_sums, g->coefficient4, g->bias4);
    backward_c3_parameters(x, by_sums, by_kernels, g->b3);
    for (int link = 0; link < net->num_links; link++)
        for (int tap = 0; tap < 25; tap++)
            g->w3[25 * link + tap] += by_kernels[(net->links[2 * link + 1] * 25 + tap) * 16 + net->links[2 * link]];
    for (int map = 0; map < 6; map++) {
        float by_s2[14][16];
        backward_c3_inputs(p->w3, net->links, net->num_links, map, by_c3, by_s2);
        backward_first(x, map, by_s2, p->coefficient2[map], g->coefficient2 + map, g->bias2 + map, g->w1 + 25 * map,
                       g->b1 + map);
    }
    return loss;
}

typedef struct {
    const Original *net;
    const float *images, *kernels;
    const int64_t *targets;
    int64_t count, size; /* of a gradient, in floats */
    float *logits, *losses, *parts;
    const Parameters *gradients;
} Batch;

static int64_t divide_up(int64_t count, int64_t size) { return (count + size - 1) / size; }

/* Images per task: few parts keep their sum cheap, and one image per step needs none. */
static int64_t share(int64_t count) { return count <= 64 ? 4 : divide_up(count, 16); }

static int64_t num_parts(int64_t count) { return divide_up(count, share(count)); }

static void logits_task(void *arguments, int64_t task) {
    const Batch *a = arguments;
    int64_t own = share(a->count), end = (task + 1) * own < a->count ? (task + 1) * own : a->count;
    int classes = a->net->classes;
    Answers x;
    memset(&x, 0, sizeof x); /* including the padding */
    for (int64_t n = task * own; n < end; n++) {
        forward(&x, &a->net->parameters, a->images + n * 32 * 32, a->kernels);
        distances(x.f6, a->net->prototypes, classes, a->logits + n * classes);
        for (int i = 0; i < classes; i++) a->logits[n * classes + i] = -a->logits[n * classes + i];
    }
}

/* Compute the logits (count, classes) of images (count, 32, 32). */
EXPORT void NAME(lenet5_original_logits)(const Original *net, const float *images, float *logits, int64_t count,
                                         int threads) {
    float kernels[6 * 25 * 16];
    arrange(net, kernels);
    Batch batch = {.net = net, .images = images, .kernels = kernels, .count = count, .logits = logits};
    run_tasks(logits_task, &batch, num_parts(count), threads);
}

/* Compute the gradients of a part of the batch. */
static void gradient_task(void *arguments, int64_t task) {
    const Batch *a = arguments;
    int64_t own = share(a->count), end = (task + 1) * own < a->count ? (task + 1) * own : a->count;
    float by_c3[16][18][32] = {}, loss = 0, *const *whole = (float *const *)a->gradients, *part[12];
    float *start = a->parts ? a->parts + task * a->size : a->gradients->w1;
    for (int i = 0; i < 12; i++) part[i] = start + (whole[i] - whole[0]);
    Answers x;
    memset(&x, 0, sizeof x); /* including the padding */
    memset(start, 0, a->size * sizeof(float));
    for (int64_t n = task * own; n < end; n++) {
        forward(&x, &a->net->parameters, a->images + n * 32 * 32, a->kernels);
        loss += backward(a->net, &x, (int)a->targets[n], by_c3, (const Parameters *)part);
    }
    a->losses[task] = loss;
}

/* Average a slice of the gradient over the batch. */
static void average_task(void *arguments, int64_t task) {
    const Batch *a = arguments;
    int64_t parts = num_parts(a->count), end = (task + 1) * SLICE < a->size ? (task + 1) * SLICE : a->size;
    for (int64_t i = task * SLICE; i < end; i++) {
        float sum = a->parts ? a->parts[i] : a->gradients->w1[i];
        for (int64_t part = 1; part < parts; part++) sum += a->parts[part * a->size + i];
        a->gradients->w1[i] = sum / (float)a->count;
    }
}

static int64_t gradient_size(const Parameters *gradients) { return gradients->b6 + 84 - gradients->w1; }

/* Return the number of floats that lenet5_original_gradients needs as workspace. */
EXPORT int64_t NAME(lenet5_original_workspace)(const Parameters *gradients, int64_t count) {
    int64_t parts = num_parts(count);
    return parts + (parts > 1 ? parts * gradient_size(gradients) : 0);
}

/* Return the mean loss of images (count, 32, 32), and compute its gradient with respect to each parameter. The gradients
   are contiguous in memory, in the order of the struct, from gradients->w1 on. */
EXPORT float NAME(lenet5_original_gradients)(const Original *net, const float *images, const int64_t *targets,
                                             int64_t count, float *workspace, const Parameters *gradients,
                                             int threads) {
    float kernels[6 * 25 * 16], loss = 0;
    int64_t parts = num_parts(count);
    arrange(net, kernels);
    Batch batch = {.net = net, .images = images, .kernels = kernels, .targets = targets, .count = count,
                   .size = gradient_size(gradients), .losses = workspace,
                   .parts = parts > 1 ? workspace + parts : NULL, .gradients = gradients};
    run_tasks(gradient_task, &batch, parts, threads);
    if (count > 1) run_tasks(average_task, &batch, divide_up(batch.size, SLICE), threads);
    for (int64_t part = 0; part < parts; part++) loss += workspace[part];
    return loss / (float)count;
}
