#include "engine/model/model.h"

#include <algorithm>

#include "engine/base/ensure.h"

namespace hako::model {

namespace {

#include "engine/model/api_tables.inc"

const Member* find(std::span<const Member> members, std::string_view name) noexcept {
    const auto found = std::ranges::find(members, name, &Member::name);
    return found == members.end() ? nullptr : &*found;
}

}  // namespace

const Member* Type::find_member(std::string_view member) const noexcept {
    return find(members, member);
}

const Member* Operation::find_member(std::string_view member) const noexcept {
    return find(members, member);
}

std::size_t Operation::index() const noexcept {
    const auto position = this - &kOperations[0];
    ENSURE(
        position >= 0 && static_cast<std::size_t>(position) < std::size(kOperations),
        "an operation is one of the table"
    );
    return static_cast<std::size_t>(position);
}

std::span<const Operation> operations() noexcept {
    return kOperations;
}

std::span<const Type> types() noexcept {
    return kTypes;
}

const Operation* find_operation(std::string_view name) noexcept {
    const auto found = std::ranges::find(kOperations, name, &Operation::name);
    return found == std::end(kOperations) ? nullptr : &*found;
}

}  // namespace hako::model
