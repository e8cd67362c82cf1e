/* A pool of threads for short tasks.

   The calling thread works too. Each thread takes the next task when it has finished one, so that a thread that the
   system has suspended delays only the task that it holds. An idle thread spins briefly and then sleeps; OpenMP's spin
   for milliseconds, and keep a processor from the programs beside. */

#include <stdatomic.h>

#include "pool.h"
#include "threads.h"

enum { MAX_THREADS = 128, SPIN = 2000, STACK = 1 << 20 };

static Lock in_use = UNLOCKED; /* held while a job runs */
static Lock lock = UNLOCKED;   /* held to change what follows */
static Condition posted = UNSIGNALLED, left = UNSIGNALLED;
static int num_threads, num_seats; /* threads in the pool; how many may still join the job */
static _Atomic int64_t job;        /* number of the latest job */
static atomic_int num_joined;      /* threads at work on it */
static Task function;
static void *shared;
static int64_t num_tasks;
static _Atomic int64_t next_task;

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_tasks(void) {
    for (int64_t task; (task = atomic_fetch_add(&next_task, 1)) < num_tasks;) function(shared, task);
}

/* The life of a thread of the pool: join the next job that has a free seat, and work. */
THREAD(serve) {
    int64_t seen = atomic_load(&job);
    for (;;) {
        for (int i = 0; i < SPIN && atomic_load(&job) == seen; i++) relax();
        acquire(&lock);
        while (!num_seats) await(&posted, &lock);
        seen = atomic_load(&job);
        num_seats--;
        atomic_fetch_add(&num_joined, 1);
        release(&lock);
        take_tasks();
        if (atomic_fetch_sub(&num_joined, 1) == 1) {
            acquire(&lock);
            signal_one(&left);
            release(&lock);
        }
    }
    return 0;
}

/* Start over in a forked process, which has none of the threads. */
static void forget_threads(void) {
    in_use = lock = (Lock)UNLOCKED;
    posted = left = (Condition)UNSIGNALLED;
    num_threads = num_seats = 0;
    atomic_store(&num_joined, 0);
}

/* Grow the pool; if the system refuses a thread, the others do its work. */
static void start_threads(int count) {
    static int prepared;
    if (!prepared) call_after_fork(forget_threads);
    prepared = 1;
    while (num_threads < count && num_threads < MAX_THREADS && start_thread(serve, STACK)) num_threads++;
}

/* Run tasks 0 to count - 1 in up to `threads` threads; in the calling thread alone while another job runs. */
void run_tasks(Task task, void *arguments, int64_t count, int threads) {
    if (threads > count) threads = (int)count;
    if (threads < 2 || !try_to_acquire(&in_use)) {
        for (int64_t i = 0; i < count; i++) task(arguments, i);
        return;
    }
    acquire(&lock);
    if (num_threads < threads - 1) start_threads(threads - 1);
    function = task, shared = arguments, num_tasks = count, num_seats = threads - 1;
    atomic_store(&next_task, 0);
    atomic_fetch_add(&job, 1);
    if (num_seats == 1)
        signal_one(&posted);
    else
        signal_all(&posted);
    release(&lock);
    take_tasks();
    acquire(&lock);
    num_seats = 0; /* whoever has not joined by now is not needed */
    release(&lock);
    for (int i = 0; i < SPIN && atomic_load(&num_joined); i++) relax();
    acquire(&lock);
    while (atomic_load(&num_joined)) await(&left, &lock);
    release(&lock);
    release(&in_use);
}
