/* A pool of threads for short tasks.

   The calling thread works too. Each thread takes the next task when it has finished one, so that a thread that the
   system has suspended delays only the task that it holds. An idle thread spins briefly and then sleeps; OpenMP's spin
   for milliseconds, and keep a processor from the programs beside. */

#include <pthread.h>
#include <stdatomic.h>

#include "pool.h"

enum { MAX_THREADS = 128, SPIN = 2000, STACK = 1 << 20 };

static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER; /* held while a job runs */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;   /* held to change what follows */
static pthread_cond_t posted = PTHREAD_COND_INITIALIZER, left = PTHREAD_COND_INITIALIZER;
static int num_threads, num_seats; /* threads in the pool; how many may still join the job */
static atomic_long job;            /* number of the latest job */
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
static void *serve(void *unused) {
    long seen = atomic_load(&job);
    for (;;) {
        for (int i = 0; i < SPIN && atomic_load(&job) == seen; i++) relax();
        pthread_mutex_lock(&lock);
        while (!num_seats) pthread_cond_wait(&posted, &lock);
        seen = atomic_load(&job);
        num_seats--;
        atomic_fetch_add(&num_joined, 1);
        pthread_mutex_unlock(&lock);
        take_tasks();
        if (atomic_fetch_sub(&num_joined, 1) == 1) {
            pthread_mutex_lock(&lock);
            pthread_cond_signal(&left);
            pthread_mutex_unlock(&lock);
        }
    }
    return unused;
}

/* Start over in a forked process, which has none of the threads. */
static void forget_threads(void) {
    pthread_mutex_init(&in_use, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&posted, NULL);
    pthread_cond_init(&left, NULL);
    num_threads = num_seats = 0;
    atomic_store(&num_joined, 0);
}

/* Grow the pool; if the system refuses a thread, the others do its work. */
static void start_threads(int count) {
    static int prepared;
    if (!prepared) prepared = !pthread_atfork(NULL, NULL, forget_threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    for (pthread_t thread; num_threads < count && num_threads < MAX_THREADS; num_threads++)
        if (pthread_create(&thread, &attributes, serve, NULL)) break;
    pthread_attr_destroy(&attributes);
}

/* Run tasks 0 to count - 1 in up to `threads` threads; in the calling thread alone while another job runs. */
void run_tasks(Task task, void *arguments, int64_t count, int threads) {
    if (threads > count) threads = (int)count;
    if (threads < 2 || pthread_mutex_trylock(&in_use)) {
        for (int64_t i = 0; i < count; i++) task(arguments, i);
        return;
    }
    pthread_mutex_lock(&lock);
    if (num_threads < threads - 1) start_threads(threads - 1);
    function = task, shared = arguments, num_tasks = count, num_seats = threads - 1;
    atomic_store(&next_task, 0);
    atomic_fetch_add(&job, 1);
    if (num_seats == 1)
        pthread_cond_signal(&posted);
    else
        pthread_cond_broadcast(&posted);
    pthread_mutex_unlock(&lock);
    take_tasks();
    pthread_mutex_lock(&lock);
    num_seats = 0; /* whoever has not joined by now is not needed */
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < SPIN && atomic_load(&num_joined); i++) relax();
    pthread_mutex_lock(&lock);
    while (atomic_load(&num_joined)) pthread_cond_wait(&left, &lock);
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&in_use);
}
