#include "engine/registry/registry.h"

#include <utility>

#include "engine/base/ensure.h"

namespace hako::registry {

namespace {

constexpr std::string_view kLatest = "$LATEST";

bool is_simple(std::string_view name) {
    return name.find(':') == std::string_view::npos;
}

}  // namespace

std::expected<FunctionRef, ApiError> Registry::find(
    std::string_view name, std::string_view qualifier
) const {
    // A name that is in the table is a valid plain name: no need to parse it.
    if (is_simple(name) && (qualifier.empty() || qualifier == kLatest)) {
        if (const auto found = by_name_.find(name); found != by_name_.end()) {
            return found->second;
        }
    }
    TRY_ASSIGN(
        const FunctionName parts,
        resolve_function_name(name, qualifier, NameShape::kNamespaced, identity_)
    );
    const auto found = by_name_.find(parts.name);
    const bool is_latest = parts.qualifier.empty() || parts.qualifier == kLatest;
    if (found == by_name_.end() || !is_latest) {
        return std::unexpected(function_not_found(identity_, parts.name, parts.qualifier));
    }
    return found->second;
}

FunctionRef Registry::get(std::string_view plain_name) const {
    const auto found = by_name_.find(plain_name);
    return found == by_name_.end() ? nullptr : found->second;
}

std::vector<FunctionRef> Registry::list(std::string_view after_name, std::size_t count_max) const {
    std::vector<FunctionRef> page;
    auto next = after_name.empty() ? sorted_.begin() : sorted_.upper_bound(after_name);
    for (; next != sorted_.end() && page.size() < count_max; ++next) {
        page.push_back(*next->second);
    }
    return page;
}

void Registry::count(const FunctionVersion& function, bool adding) noexcept {
    const std::uint64_t reserved = function.reserved_concurrency.value_or(0);
    if (adding) {
        code_bytes_total_ += function.code_bytes;
        reserved_total_ += reserved;
        return;
    }
    ENSURE(code_bytes_total_ >= function.code_bytes, "taken out what was never put in");
    ENSURE(reserved_total_ >= reserved, "taken out what was never put in");
    code_bytes_total_ -= function.code_bytes;
    reserved_total_ -= reserved;
}

FunctionRef Registry::put(FunctionRef function) {
    ENSURE(function != nullptr && !function->name.empty(), "a function has a name");
    count(*function, true);
    const auto [place, is_new] = by_name_.try_emplace(function->name);
    if (is_new) {
        sorted_.emplace(place->first, &place->second);
    } else {
        count(*place->second, false);
    }
    return std::exchange(place->second, std::move(function));
}

FunctionRef Registry::remove(std::string_view plain_name) {
    const auto found = by_name_.find(plain_name);
    if (found == by_name_.end()) {
        return nullptr;
    }
    FunctionRef before = std::move(found->second);
    count(*before, false);
    sorted_.erase(found->first);
    by_name_.erase(found);
    return before;
}

}  // namespace hako::registry
