/* What a simulation's thread must not get from the machine.
 *
 * Randomness: the hash maps' keys, tokio's select, openraft's election timeouts. The standard library and the getrandom
 * crate ask for a symbol of this name before the system. A thread whose name is "sim:" and a number draws from that; all
 * others get what the system gives.
 *
 * Time: the programs take theirs from tokio. What else looks at a clock (h2, which forgets streams by it; the dates in
 * answers) must not see how busy the machine is: on that thread a microsecond passes with each look. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static _Thread_local enum { UNKNOWN, SEEDED, OTHER } kind = UNKNOWN;
static _Thread_local uint64_t state;

static uint64_t next(void) {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int look(void) {
    char name[16] = {0};
    if (pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strncmp(name, "sim:", 4) == 0) {
        state = strtoull(name + 4, NULL, 10);
        kind = SEEDED;
    }
    return kind == SEEDED;
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    if (kind != SEEDED && !look()) {
        return syscall(SYS_getrandom, buffer, length, flags);
    }
    unsigned char *out = buffer;
    for (size_t done = 0; done < length; done += 8) {
        uint64_t word = next();
        size_t rest = length - done;
        memcpy(out + done, &word, rest < 8 ? rest : 8);
    }
    return (ssize_t)length;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static _Thread_local time_t begun[2];
    static _Thread_local long looks;
    if ((clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) || (kind != SEEDED && !look())) {
        return (int)syscall(SYS_clock_gettime, clock, now);
    }
    int which = clock == CLOCK_MONOTONIC;
    if (begun[which] == 0) {
        syscall(SYS_clock_gettime, clock, now);
        begun[which] = now->tv_sec;
    }
    looks += 1;
    now->tv_sec = begun[which] + looks / 1000000;
    now->tv_nsec = looks % 1000000 * 1000;
    return 0;
}
