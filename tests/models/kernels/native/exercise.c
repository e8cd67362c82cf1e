/* Call every function of the kernels with random shapes and values, and print a checksum of each result.

   Arguments: the number of cases, and the seed. Each buffer is allocated at its exact size, for the sanitizers. Compiled
   for two instruction sets, the program must print the same. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define JOIN_(name, suffix) name##_##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define NAME(name) JOIN(name, SUFFIX)

typedef struct {
    const float *parameters[10];
    int32_t size, channels, classes, average, activation;
} Network;

void NAME(lenet5_forward)(const Network *, const float *, float *, void *, float *, int64_t, int);
void NAME(lenet5_backward)(const Network *, const float *, const float *, void *, const float *, const float *, float *,
                           float *const *, int64_t, int);
int64_t NAME(lenet5_num_sums)(int64_t);
void NAME(lenet5_logits)(const Network *, const float *, float *, int64_t, int);
int64_t NAME(lenet5_workspace)(const Network *, int64_t);
float NAME(lenet5_gradients)(const Network *, const float *, const int64_t *, int64_t, float, float *, float *const *,
                             int);

typedef struct {
    const float *parameters[12];
    const int32_t *links;
    const float *prototypes;
    int32_t num_links, classes;
    float j;
} Original;

void NAME(lenet5_original_logits)(const Original *, const float *, float *, int64_t, int);
int64_t NAME(lenet5_original_workspace)(float *const *, int64_t);
float NAME(lenet5_original_gradients)(const Original *, const float *, const int64_t *, int64_t, float *, float *const *,
                                      int);

static uint64_t state;
static uint32_t draw(uint32_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}
static float value(void) { return (float)draw(1 << 20) / (1 << 19) - 1; }

static float *values(int64_t count, float scale) {
    float *result = malloc(sizeof(float) * count);
    for (int64_t i = 0; i < count; i++) result[i] = value() * scale;
    return result;
}

static void report(const char *name, const void *data, int64_t bytes) {
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < bytes; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    printf("%s %016llx\n", name, (unsigned long long)hash);
}

static void exercise_lenet5(int specials) {
    Network net = {.size = draw(2) ? 28 : 32, .channels = 1 + draw(4), .classes = 1 + draw(128)};
    net.average = draw(2), net.activation = draw(3);
    int64_t count = 1 + draw(draw(16) ? 10 : 70), pixels = count * net.channels * net.size * net.size;
    int threads = 1 + draw(4);
    int64_t sizes[] = {150 * net.channels, 6, 2400, 16, 48000, 120, 10080, 84, 84 * net.classes, net.classes};
    float *images = values(pixels, 1), *gradients[10];
    for (int i = 0; i < 10; i++) net.parameters[i] = values(sizes[i], 0.2f), gradients[i] = malloc(4 * sizes[i]);
    if (specials) images[draw(pixels)] = draw(2) ? NAN : INFINITY;
    int64_t *targets = malloc(8 * count);
    for (int64_t i = 0; i < count; i++) targets[i] = draw(net.classes);

    float *logits = malloc(4 * count * net.classes);
    NAME(lenet5_logits)(&net, images, logits, count, threads);
    if (!specials) report("logits", logits, 4 * count * net.classes);

    float *workspace = aligned_alloc(8, (4 * NAME(lenet5_workspace)(&net, count) + 7) / 8 * 8);
    float loss = NAME(lenet5_gradients)(&net, images, targets, count, draw(2) * 0.1f, workspace, gradients, threads);
    if (!specials) report("loss", &loss, 4);
    for (int i = 0; i < 10 && !specials; i++) report("gradients", gradients[i], 4 * sizes[i]);

    int64_t kept_size = count * 1744 * (net.average ? 16 : 1);
    float *s2 = malloc(4 * count * 1344), *s4 = malloc(4 * count * 400), *by_s4 = values(count * 400, 1);
    float *sums = malloc(4 * NAME(lenet5_num_sums)(count));
    void *kept = malloc(kept_size);
    NAME(lenet5_forward)(&net, images, s2, kept, s4, count, threads);
    if (!specials) report("forward", s4, 4 * count * 400);
    NAME(lenet5_backward)(&net, images, s2, kept, s4, by_s4, sums, gradients, count, threads);
    for (int i = 0; i < 4 && !specials; i++) report("backward", gradients[i], 4 * sizes[i]);
    for (int i = 0; i < 10; i++) free((void *)net.parameters[i]), free(gradients[i]);
    free(images), free(targets), free(logits), free(workspace), free(s2), free(s4), free(by_s4), free(sums), free(kept);
}

static void exercise_original(int specials) {
    int64_t count = 1 + draw(draw(16) ? 5 : 70);
    int classes = 1 + draw(128), num_links = 1 + draw(96), threads = 1 + draw(4);
    int64_t sizes[] = {150, 6, 6, 6, 25 * num_links, 16, 16, 16, 48000, 120, 10080, 84};
    float *images = values(count * 1024, 1), *prototypes = values(classes * 84, 1), *gradients[12];
    Original net = {.prototypes = prototypes, .num_links = num_links, .classes = classes};
    int64_t total = 0;
    for (int i = 0; i < 12; i++) net.parameters[i] = values(sizes[i], 0.2f), total += sizes[i];
    gradients[0] = malloc(4 * total); /* contiguous, in this order */
    for (int i = 1; i < 12; i++) gradients[i] = gradients[i - 1] + sizes[i - 1];
    if (specials) images[draw(count * 1024)] = draw(2) ? NAN : INFINITY;
    int32_t *links = malloc(8 * num_links);
    for (int i = 0; i < num_links; i++) links[2 * i] = draw(16), links[2 * i + 1] = draw(6);
    int64_t *targets = malloc(8 * count);
    for (int64_t i = 0; i < count; i++) targets[i] = draw(classes);
    net.links = links;
    net.j = (float[]){0.1f, -1, INFINITY}[draw(3)];
    float *logits = malloc(4 * count * classes);
    NAME(lenet5_original_logits)(&net, images, logits, count, threads);
    if (!specials) report("original logits", logits, 4 * count * classes);
    float *workspace = malloc(4 * NAME(lenet5_original_workspace)(gradients, count));
    float loss = NAME(lenet5_original_gradients)(&net, images, targets, count, workspace, gradients, threads);
    if (!specials) report("original loss", &loss, 4);
    for (int i = 0; i < 12 && !specials; i++) report("original gradients", gradients[i], 4 * sizes[i]);
    for (int i = 0; i < 12; i++) free((void *)net.parameters[i]);
    free(gradients[0]), free(logits), free(workspace), free(images), free(prototypes), free(links), free(targets);
}

int main(int number, char **arguments) {
    if (number < 3) return 2;
    state = strtoull(arguments[2], NULL, 10);
    for (int64_t i = strtoll(arguments[1], NULL, 10); i > 0; i--) {
        int specials = draw(10) == 0;
        exercise_lenet5(specials);
        exercise_original(specials);
    }
    return 0;
}
