#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "engine/registry/control_service.h"
#include "engine/registry/request.h"

// Inside of ControlService, shared by its source files.
namespace hako::registry {

struct ControlService::Call {
    const Request& request;
    std::span<const std::byte> blob;
    bool code_released = false;  // the operation let go of a package: collect when it is done

    [[nodiscard]] bool has_zip() const noexcept { return request.blob() || !blob.empty(); }
    /// The uploaded zip, whichever way it came; empty if none did.
    [[nodiscard]] std::span<const std::byte> zip() const noexcept {
        return request.blob() ? std::span<const std::byte>(*request.blob()) : blob;
    }
};

struct ControlService::Route {
    std::string_view name;
    Outcome (ControlService::*handle)(Call& call);
};

/// While it lives no other operation may change the function.
class ControlService::BusyMark {
public:
    BusyMark(std::unordered_set<std::string>& names, std::string name)
        : names_(&names), name_(std::move(name)) {
        names_->insert(name_);
    }
    BusyMark(BusyMark&& other) noexcept
        : names_(std::exchange(other.names_, nullptr)), name_(std::move(other.name_)) {}
    BusyMark& operator=(BusyMark&&) = delete;
    BusyMark(const BusyMark&) = delete;
    BusyMark& operator=(const BusyMark&) = delete;
    ~BusyMark() {
        if (names_ != nullptr) {
            names_->erase(name_);
        }
    }

private:
    std::unordered_set<std::string>* names_;
    std::string name_;
};

}  // namespace hako::registry
