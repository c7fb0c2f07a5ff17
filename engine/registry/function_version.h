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

using StringPairs = std::vector<std::pair<std::string, std::string>>;

/// What all versions of a function share. Changes in place, on the loop thread only; it dies with
/// the last version object, so that what still runs of a deleted function has it.
struct FunctionCommon {
    std::optional<std::uint32_t> reserved_concurrency;
    StringPairs tags;
    std::uint32_t in_flight_count = 0;  // invocations of all its versions; the invoker counts
};

/// One immutable state of a function: $LATEST at some time, or a published version. Instances
/// belong to exactly one `id`: each change of code or configuration makes a new one, never reused,
/// not even after a restart. Changes of provisioned concurrency and of the revision make a new
/// object with the same id.
struct FunctionVersion {
    std::uint64_t id = 0;
    std::string name;
    std::string version = "$LATEST";
    std::uint64_t number = 0;  // the same as a number; 0 for $LATEST
    std::string arn;           // unqualified
    std::string runtime;
    std::string handler;
    std::string role;
    std::string description;
    spawner::RuntimeKind kind = spawner::RuntimeKind::kNative;
    std::uint32_t memory_mib = 128;
    std::uint32_t timeout_s = 3;
    std::uint32_t ephemeral_mib = 512;
    StringPairs environment;
    bool environment_given =
        false;                     // an empty map that was given is shown, one that was not is not
    std::string code_id;           // 64 hex digits: the package's directory below STATE/code
    std::string code_sha256;       // base64 of the zip's SHA-256
    std::uint64_t code_bytes = 0;  // of the zip
    std::string last_modified;     // 2017-12-14T10:00:00.123+0000
    std::string revision_id;
    std::uint32_t provisioned_count = 0;       // to keep ready: its own, and its aliases' share
    std::uint32_t provisioned_own = 0;         // configured on the version itself
    std::string provisioned_modified;          // when that was set; empty if never
    std::string tracing_mode = "PassThrough";  // stored and shown; hako does not trace
    std::string dead_letter_arn;               // DeadLetterConfig.TargetArn; empty: none
    std::shared_ptr<FunctionCommon> common = std::make_shared<FunctionCommon>();
    CodeLease code;  // the package stays on disk while this object lives
};
using FunctionRef = std::shared_ptr<const FunctionVersion>;

/// Whether publishing `latest` would only make `published` again.
[[nodiscard]] bool is_same_content(const FunctionVersion& latest, const FunctionVersion& published);

}  // namespace hako::registry
