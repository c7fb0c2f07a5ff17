#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/registry/pattern_set.h"

#include <pcre2.h>

#include "engine/base/ensure.h"

namespace hako::registry {

namespace {

// Steps of the matcher. The longest text the model lets near a pattern (10 000 characters) takes
// some 40 000; a pattern that explodes stops here, after some milliseconds.
constexpr std::uint32_t kMatchSteps = 500'000;

pcre2_code* compile(std::string_view pattern) {
    // As Java's matches(): the whole text, `$` not before a last newline, classes of ASCII only.
    constexpr std::uint32_t kOptions =
        PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY;
    int error = 0;
    PCRE2_SIZE offset = 0;
    return pcre2_compile(
        reinterpret_cast<PCRE2_SPTR>(pattern.data()),
        pattern.size(),
        kOptions,
        &error,
        &offset,
        nullptr
    );
}

}  // namespace

void PatternSet::Free::operator()(pcre2_real_code_8* code) const noexcept {
    pcre2_code_free(code);
}

PatternSet::PatternSet() {
    for (const model::Type& type : model::types()) {
        codes_.emplace_back(type.pattern.empty() ? nullptr : compile(type.pattern));
        ENSURE(type.pattern.empty() || codes_.back() != nullptr, "the model's patterns compile");
    }
}

bool PatternSet::matches(const model::Type& type, std::string_view text) const {
    const pcre2_code* code = codes_[static_cast<std::size_t>(&type - model::types().data())].get();
    if (code == nullptr) {
        return true;
    }
    pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
    pcre2_match_context* context = pcre2_match_context_create(nullptr);
    ENSURE(data != nullptr && context != nullptr, "memory for a match");
    pcre2_set_match_limit(context, kMatchSteps);
    const int found = pcre2_match(
        code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data, context
    );
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    return found >= 0;
}

}  // namespace hako::registry
