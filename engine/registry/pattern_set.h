#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/model/model.h"

struct pcre2_real_code_8;

namespace hako::registry {

/// The patterns of the API's types, compiled once. Matching is const and thread-safe.
class PatternSet {
public:
    /// Takes under a millisecond. A pattern that does not compile is a broken build: ends here.
    PatternSet();

    /// Whether the whole of `text` (valid UTF-8) is what `type` allows; true if it has no pattern.
    /// A text on which the matcher would search for too long does not match.
    [[nodiscard]] bool matches(const model::Type& type, std::string_view text) const;

private:
    struct Free {
        void operator()(pcre2_real_code_8* code) const noexcept;
    };
    std::vector<std::unique_ptr<pcre2_real_code_8, Free>> codes_;  // by index of the type
};

}  // namespace hako::registry
