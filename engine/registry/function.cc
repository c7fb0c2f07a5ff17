#include "engine/registry/function.h"

#include <charconv>
#include <cmath>

namespace hako::registry {

namespace {

constexpr std::string_view kLatest = "$LATEST";

}  // namespace

bool is_same_content(const FunctionVersion& latest, const FunctionVersion& published) {
    return latest.runtime == published.runtime && latest.handler == published.handler &&
           latest.role == published.role && latest.memory_mib == published.memory_mib &&
           latest.timeout_s == published.timeout_s &&
           latest.ephemeral_mib == published.ephemeral_mib &&
           latest.environment == published.environment &&
           latest.environment_given == published.environment_given &&
           latest.code_id == published.code_id && latest.tracing_mode == published.tracing_mode &&
           latest.dead_letter_arn == published.dead_letter_arn;
}

std::uint32_t Alias::provisioned_of(std::uint64_t version_number) const noexcept {
    const double weight = routing ? routing->weight : 0;
    const auto second = static_cast<std::uint32_t>(std::floor(weight * provisioned_count));
    std::uint32_t count = version_number == number ? provisioned_count - second : 0;
    if (routing && routing->number == version_number) {
        count += second;
    }
    return count;
}

FunctionRef Function::version(std::uint64_t number) const {
    if (number == 0) {
        return latest;
    }
    const auto found = versions.find(number);
    return found == versions.end() ? nullptr : found->second;
}

const Alias* Function::alias(std::string_view alias_name) const {
    const auto found = aliases.find(alias_name);
    return found == aliases.end() ? nullptr : &found->second;
}

Function::Meaning Function::resolve(std::string_view qualifier) const {
    if (qualifier.empty()) {
        return {.version = latest};
    }
    if (const auto number = version_number(qualifier)) {
        return {.version = version(*number)};
    }
    const Alias* found = alias(qualifier);
    return found == nullptr ? Meaning{}
                            : Meaning{.version = version(found->number), .alias = found};
}

std::string policy_text(const Policy& policy) {
    std::string text = R"({"Version":"2012-10-17","Id":"default","Statement":[)";
    for (std::size_t at = 0; at < policy.size(); ++at) {
        text += (at == 0 ? "" : ",") + policy[at].json;
    }
    return text + "]}";
}

std::string version_text(std::uint64_t number) {
    return number == 0 ? std::string(kLatest) : std::to_string(number);
}

std::optional<std::uint64_t> version_number(std::string_view text) {
    if (text == kLatest) {
        return 0;
    }
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    // A zero at the front would be another name for the same version; 0 is not one.
    if (error != std::errc() || end != text.data() + text.size() || text.starts_with('0')) {
        return std::nullopt;
    }
    return number;
}

}  // namespace hako::registry
