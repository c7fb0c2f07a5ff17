/*
 * Counts the primes up to {"limit": N} with a segmented sieve of Eratosthenes, and shows the last
 * ones. Plain C, built as an executable: Runtime executable, Handler primes.
 */
#include "hako/function.h"

#include <stdbool.h>

#define LIMIT_MAX 2000000000u
#define SEGMENT_NUMBERS 262144u /* half as many bytes: odd numbers only, fits the second cache */
#define SHOWN_COUNT 5u

/* Finds "limit": N in the event. The engine has checked that it is JSON. */
static bool read_limit(hako_view event, uint64_t* limit) {
    static const char name[] = "\"limit\"";
    const char* const end = event.data + event.bytes;
    const char* at = memmem(event.data, event.bytes, name, sizeof(name) - 1);
    if (at == NULL) {
        return false;
    }
    at += sizeof(name) - 1;
    while (at < end && (*at == ' ' || *at == ':' || *at == '\t' || *at == '\n' || *at == '\r')) {
        ++at;
    }
    uint64_t value = 0;
    int digits = 0;
    for (; at < end && *at >= '0' && *at <= '9' && digits < 12; ++at, ++digits) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *limit = value;
    return digits > 0 && (at == end || *at == ',' || *at == '}' || *at == ' ' || *at == '\n');
}

struct sieve {
    uint32_t* base; /* the odd primes up to the square root of the limit */
    uint32_t* next; /* for each, its next odd multiple to strike */
    size_t base_count;
    uint64_t primes_count;
    uint64_t last[SHOWN_COUNT]; /* a ring: prime number n is at n % SHOWN_COUNT */
};

static void found(struct sieve* sieve, uint64_t prime) {
    sieve->last[sieve->primes_count++ % SHOWN_COUNT] = prime;
}

static bool find_base(struct sieve* sieve, uint64_t limit) {
    uint32_t root = 1;
    while ((uint64_t)(root + 1) * (root + 1) <= limit) {
        ++root;
    }
    bool* const composite = calloc(root + 1, sizeof(bool));
    sieve->base = malloc((root / 2 + 1) * sizeof(uint32_t));
    sieve->next = malloc((root / 2 + 1) * sizeof(uint32_t));
    if (composite == NULL || sieve->base == NULL || sieve->next == NULL) {
        free(composite);
        return false;
    }
    for (uint32_t n = 3; n <= root; n += 2) {
        if (composite[n]) {
            continue;
        }
        sieve->base[sieve->base_count] = n;
        sieve->next[sieve->base_count++] = n * n;
        for (uint32_t multiple = n * n; multiple <= root; multiple += 2 * n) {
            composite[multiple] = true;
        }
    }
    free(composite);
    return true;
}

/* Sieves the odd numbers of [low, low + SEGMENT_NUMBERS); low is even. */
static void sieve_segment(struct sieve* sieve, uint64_t low, uint64_t limit) {
    static bool composite[SEGMENT_NUMBERS / 2];
    const uint64_t high = low + SEGMENT_NUMBERS;
    memset(composite, 0, sizeof(composite));
    for (size_t i = 0; i < sieve->base_count; ++i) {
        uint64_t multiple = sieve->next[i];
        for (; multiple < high; multiple += 2 * (uint64_t)sieve->base[i]) {
            composite[(multiple - low) / 2] = true;
        }
        sieve->next[i] = (uint32_t)multiple;
    }
    for (uint64_t n = low + 1; n < high && n <= limit; n += 2) {
        if (n > 1 && !composite[(n - low) / 2]) {
            found(sieve, n);
        }
    }
}

static int answer(hako_invocation* inv, const struct sieve* sieve, uint64_t limit) {
    size_t room = 0;
    char* const out = hako_response_buffer(inv, &room);
    size_t bytes = (size_t)snprintf(
        out,
        room,
        "{\"limit\":%llu,\"count\":%llu,\"last\":[",
        (unsigned long long)limit,
        (unsigned long long)sieve->primes_count
    );
    const uint64_t shown = sieve->primes_count < SHOWN_COUNT ? sieve->primes_count : SHOWN_COUNT;
    for (uint64_t i = sieve->primes_count - shown; i < sieve->primes_count; ++i) {
        const char* const separator = i + 1 < sieve->primes_count ? "," : "";
        const unsigned long long prime = sieve->last[i % SHOWN_COUNT];
        bytes += (size_t)snprintf(out + bytes, room - bytes, "%llu%s", prime, separator);
    }
    bytes += (size_t)snprintf(out + bytes, room - bytes, "]}");
    return hako_respond_in_place(inv, bytes);
}

static int count_primes(hako_invocation* inv) {
    uint64_t limit = 0;
    if (!read_limit(hako_event(inv), &limit) || limit > LIMIT_MAX) {
        return hako_fail(inv, "BadRequest", "limit must be a number from 0 to 2000000000");
    }
    struct sieve sieve = {0};
    if (!find_base(&sieve, limit)) {
        free(sieve.base);
        free(sieve.next);
        return hako_fail(inv, "OutOfMemory", "no memory for the sieve");
    }
    if (limit >= 2) {
        found(&sieve, 2);
    }
    for (uint64_t low = 0; low <= limit; low += SEGMENT_NUMBERS) {
        sieve_segment(&sieve, low, limit);
    }
    hako_log(
        "%llu primes, %lld ms left",
        (unsigned long long)sieve.primes_count,
        (long long)hako_remaining_ms(inv)
    );
    free(sieve.base);
    free(sieve.next);
    return answer(inv, &sieve, limit);
}

HAKO_FUNCTION(count_primes)
