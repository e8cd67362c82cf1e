/* Locks, conditions and threads of POSIX or of Windows. */

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK Lock;
typedef CONDITION_VARIABLE Condition;
#define UNLOCKED SRWLOCK_INIT
#define UNSIGNALLED CONDITION_VARIABLE_INIT
#define THREAD(name) static DWORD WINAPI name(LPVOID unused)

static inline void acquire(Lock *lock) { AcquireSRWLockExclusive(lock); }
static inline int try_to_acquire(Lock *lock) { return TryAcquireSRWLockExclusive(lock); }
static inline void release(Lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline void await(Condition *condition, Lock *lock) { SleepConditionVariableSRW(condition, lock, INFINITE, 0); }
static inline void signal_one(Condition *condition) { WakeConditionVariable(condition); }
static inline void signal_all(Condition *condition) { WakeAllConditionVariable(condition); }
static inline void call_after_fork(void (*function)(void)) { (void)function; } /* Windows has no fork */

/* Start a thread; return 0 if the system refuses. */
static inline int start_thread(LPTHREAD_START_ROUTINE function, int stack) {
    HANDLE thread = CreateThread(NULL, stack, function, NULL, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return thread && CloseHandle(thread);
}

#else

#include <pthread.h>

typedef pthread_mutex_t Lock;
typedef pthread_cond_t Condition;
#define UNLOCKED PTHREAD_MUTEX_INITIALIZER
#define UNSIGNALLED PTHREAD_COND_INITIALIZER
#define THREAD(name) static void *name(void *unused)

static inline void acquire(Lock *lock) { pthread_mutex_lock(lock); }
static inline int try_to_acquire(Lock *lock) { return !pthread_mutex_trylock(lock); }
static inline void release(Lock *lock) { pthread_mutex_unlock(lock); }
static inline void await(Condition *condition, Lock *lock) { pthread_cond_wait(condition, lock); }
static inline void signal_one(Condition *condition) { pthread_cond_signal(condition); }
static inline void signal_all(Condition *condition) { pthread_cond_broadcast(condition); }
static inline void call_after_fork(void (*function)(void)) { pthread_atfork(NULL, NULL, function); }

static inline int start_thread(void *(*function)(void *), int stack) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack);
    int refused = pthread_create(&thread, &attributes, function, NULL);
    pthread_attr_destroy(&attributes);
    return !refused;
}

#endif
