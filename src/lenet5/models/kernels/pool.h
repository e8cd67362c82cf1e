/* A pool of threads for short tasks; see pool.c. */

#include <stdint.h>

typedef void (*Task)(void *arguments, int64_t number);

void run_tasks(Task task, void *arguments, int64_t count, int threads);
