/* The resource attacks of fair.c, one per name. */
#ifndef HAKO_TESTS_FAIR_ATTACKS_H
#define HAKO_TESTS_FAIR_ATTACKS_H

#include <stdint.h>

/* What an attack got hold of, and the error that stopped it. */
struct attack_result {
    unsigned long made_count;
    int last_errno;
};

typedef struct attack_result (*attack_fn)(int64_t until_us);

struct attack {
    const char* name;
    attack_fn run;
};

/* Ends with an entry without a name. */
extern const struct attack attacks[];

int64_t monotonic_us(void);

#endif
