#include "engine/registry/registry.h"

#include <algorithm>
#include <utility>

#include <sys/random.h>

#include "engine/base/ensure.h"

namespace hako::registry {

namespace {

constexpr std::string_view kLatest = "$LATEST";

bool is_simple(std::string_view name) {
    return name.find(':') == std::string_view::npos;
}

}  // namespace

Registry::Registry(Identity identity) : identity_(std::move(identity)) {
    ENSURE(getrandom(&random_, sizeof(random_), 0) == sizeof(random_), "the kernel has randomness");
}

/// 0 to 1, for weighted aliases (SplitMix64: no secret hangs on it, and it takes a nanosecond).
double Registry::draw() noexcept {
    random_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t mixed = random_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebULL;
    mixed ^= mixed >> 31U;
    return static_cast<double>(mixed >> 11U) * 0x1.0p-53;
}

std::expected<Registry::Target, ApiError> Registry::find(
    std::string_view name, std::string_view qualifier
) {
    // A name that is in the table is a valid plain name: no need to parse it.
    if (is_simple(name) && (qualifier.empty() || qualifier == kLatest)) {
        if (const auto found = by_name_.find(name); found != by_name_.end()) {
            return Target{.function = found->second->latest, .qualifier = qualifier};
        }
    }
    TRY_ASSIGN(
        const FunctionName parts,
        resolve_function_name(name, qualifier, NameShape::kNamespaced, identity_)
    );
    const auto found = by_name_.find(parts.name);
    if (found == by_name_.end()) {
        return std::unexpected(function_not_found(identity_, parts.name, parts.qualifier));
    }
    Function::Meaning meaning = found->second->resolve(parts.qualifier);
    if (meaning.version == nullptr) {
        return std::unexpected(function_not_found(identity_, parts.name, parts.qualifier));
    }
    if (meaning.alias != nullptr && meaning.alias->routing &&
        draw() < meaning.alias->routing->weight) {
        meaning.version = found->second->version(meaning.alias->routing->number);
        ENSURE(meaning.version != nullptr, "a version that an alias names is not deleted");
    }
    return Target{.function = std::move(meaning.version), .qualifier = parts.qualifier};
}

FunctionRef Registry::get(std::string_view plain_name) const {
    const auto found = by_name_.find(plain_name);
    return found == by_name_.end() ? nullptr : found->second->latest;
}

const Function* Registry::function(std::string_view plain_name) const {
    const auto found = by_name_.find(plain_name);
    return found == by_name_.end() ? nullptr : found->second.get();
}

const Policy* Registry::policy(std::string_view plain_name, std::string_view qualifier) const {
    const Function* known = function(plain_name);
    if (known == nullptr) {
        return nullptr;
    }
    const auto found = known->policies.find(qualifier);
    return found == known->policies.end() ? nullptr : &found->second;
}

std::vector<const Function*> Registry::list(std::string_view after_name, std::size_t count_max)
    const {
    std::vector<const Function*> page;
    auto next = after_name.empty() ? sorted_.begin() : sorted_.upper_bound(after_name);
    for (; next != sorted_.end() && page.size() < count_max; ++next) {
        page.push_back(next->second);
    }
    return page;
}

Function& Registry::at(std::string_view plain_name) {
    const auto found = by_name_.find(plain_name);
    ENSURE(found != by_name_.end(), "what is changed is there");
    return *found->second;
}

FunctionRef Registry::replace(FunctionRef& place, FunctionRef version) {
    if (version != nullptr) {
        code_bytes_total_ += version->code_bytes;
    }
    if (place != nullptr) {
        ENSURE(code_bytes_total_ >= place->code_bytes, "taken out what was never put in");
        code_bytes_total_ -= place->code_bytes;
    }
    return std::exchange(place, std::move(version));
}

FunctionRef Registry::put(FunctionRef version) {
    ENSURE(version != nullptr && !version->name.empty(), "a function has a name");
    const auto [place, is_new] = by_name_.try_emplace(version->name);
    if (is_new) {
        ENSURE(version->number == 0, "$LATEST comes first");
        place->second = std::make_unique<Function>();
        sorted_.emplace(place->first, place->second.get());
        reserved_total_ += version->common->reserved_concurrency.value_or(0);
    }
    Function& function = *place->second;
    ENSURE(
        is_new || function.latest->common == version->common,
        "versions share what is the function's"
    );
    if (version->number == 0) {
        return replace(function.latest, std::move(version));
    }
    function.last_number = std::max(function.last_number, version->number);
    FunctionRef& entry = function.versions[version->number];
    return replace(entry, std::move(version));
}

std::vector<FunctionRef> Registry::remove(std::string_view plain_name) {
    const auto found = by_name_.find(plain_name);
    if (found == by_name_.end()) {
        return {};
    }
    Function& function = *found->second;
    set_reserved(plain_name, std::nullopt);
    std::vector<FunctionRef> removed;
    removed.push_back(replace(function.latest, nullptr));
    for (auto& [number, version] : function.versions) {
        removed.push_back(replace(version, nullptr));
    }
    sorted_.erase(found->first);
    by_name_.erase(found);
    return removed;
}

FunctionRef Registry::remove_version(std::string_view plain_name, std::uint64_t number) {
    Function& function = at(plain_name);
    const auto found = function.versions.find(number);
    ENSURE(found != function.versions.end(), "the version is there");
    FunctionRef removed = replace(found->second, nullptr);
    function.versions.erase(found);
    return removed;
}

void Registry::put_alias(std::string_view plain_name, Alias alias) {
    Function& function = at(plain_name);
    ENSURE(function.version(alias.number) != nullptr, "an alias names a version");
    std::string name = alias.name;
    function.aliases.insert_or_assign(std::move(name), std::move(alias));
}

void Registry::remove_alias(std::string_view plain_name, std::string_view alias) {
    Function& function = at(plain_name);
    const auto found = function.aliases.find(alias);
    ENSURE(found != function.aliases.end(), "the alias is there");
    function.aliases.erase(found);
}

void Registry::put_policy(std::string_view plain_name, std::string_view qualifier, Policy policy) {
    Function& function = at(plain_name);
    if (policy.empty()) {
        function.policies.erase(std::string(qualifier));
    } else {
        function.policies.insert_or_assign(std::string(qualifier), std::move(policy));
    }
}

void Registry::set_reserved(std::string_view plain_name, std::optional<std::uint32_t> count) {
    FunctionCommon& common = at(plain_name).common();
    const std::uint64_t before = common.reserved_concurrency.value_or(0);
    ENSURE(reserved_total_ >= before, "taken out what was never put in");
    reserved_total_ += count.value_or(0);
    reserved_total_ -= before;
    common.reserved_concurrency = count;
}

void Registry::set_last_number(std::string_view plain_name, std::uint64_t number) {
    Function& function = at(plain_name);
    function.last_number = std::max(function.last_number, number);
}

std::vector<Registry::Replaced> Registry::share_provisioned(std::string_view plain_name) {
    Function& function = at(plain_name);
    std::vector<Replaced> replaced;
    const auto share = [&](FunctionRef& version) {
        std::uint32_t count = version->provisioned_own;
        for (const auto& [name, alias] : function.aliases) {
            count += alias.provisioned_of(version->number);
        }
        if (count == version->provisioned_count) {
            return;
        }
        auto after = std::make_shared<FunctionVersion>(*version);
        after->provisioned_count = count;
        replaced.push_back({.before = version, .after = after});
        version = std::move(after);
    };
    share(function.latest);
    for (auto& [number, version] : function.versions) {
        share(version);
    }
    return replaced;
}

}  // namespace hako::registry
