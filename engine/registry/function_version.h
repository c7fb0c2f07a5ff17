#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/wire/spawner_protocol.h"

namespace hako::registry {

struct CodePackage;
/// Keeps a code package on disk for as long as a copy lives. Dropping the last one never blocks;
/// `CodeStore::collect` does the removing.
using CodeLease = std::shared_ptr<const CodePackage>;

/// One immutable state of a function. Instances belong to exactly one `id`: each change of code or
/// configuration makes a new one, never reused, not even after a restart. Changes of the two
/// concurrency settings make a new object with the same id.
struct FunctionVersion {
    std::uint64_t id = 0;
    std::string name;
    std::string version = "$LATEST";
    std::string arn;  // unqualified
    std::string runtime;
    std::string handler;
    std::string role;
    std::string description;
    spawner::RuntimeKind kind = spawner::RuntimeKind::kNative;
    std::uint32_t memory_mib = 128;
    std::uint32_t timeout_s = 3;
    std::uint32_t ephemeral_mib = 512;
    std::vector<std::pair<std::string, std::string>> environment;
    bool environment_given =
        false;                     // an empty map that was given is shown, one that was not is not
    std::string code_id;           // 64 hex digits: the package's directory below STATE/code
    std::string code_sha256;       // base64 of the zip's SHA-256
    std::uint64_t code_bytes = 0;  // of the zip
    std::string last_modified;     // 2017-12-14T10:00:00.123+0000
    std::string revision_id;
    std::uint32_t provisioned_count = 0;
    std::string provisioned_modified;  // when that was set; empty if never
    std::optional<std::uint32_t> reserved_concurrency;
    std::string tracing_mode = "PassThrough";  // stored and shown; hako does not trace
    std::vector<std::pair<std::string, std::string>> tags;
    CodeLease code;  // the package stays on disk while this object lives
};
using FunctionRef = std::shared_ptr<const FunctionVersion>;

}  // namespace hako::registry
