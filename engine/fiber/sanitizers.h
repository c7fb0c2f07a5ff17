#pragma once

// Which sanitizers this build has: GCC defines macros, clang answers __has_feature.

#if defined(__SANITIZE_ADDRESS__)
#define HAKO_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAKO_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define HAKO_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAKO_TSAN 1
#endif
#endif

#ifndef HAKO_ASAN
#define HAKO_ASAN 0
#endif
#ifndef HAKO_TSAN
#define HAKO_TSAN 0
#endif

namespace hako::fiber {

/// Instrumented frames are several times as large.
inline constexpr unsigned kStackFactor = (HAKO_ASAN || HAKO_TSAN) ? 4 : 1;

}  // namespace hako::fiber
