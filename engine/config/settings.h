#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hako::config {

inline constexpr std::uint32_t kPayloadBytesLimit = 6291456;  // Lambda's 6 MB

/// Every setting of the engine. Filled by `parse`; the table in key_table.cc has name, default,
/// unit, range and help of each. After `parse` everything derived (socket, cgroup, paths) is filled
/// in.
struct Settings {
    // Where things live
    std::string state;
    std::string socket;
    std::uint32_t socket_mode = 0;  // permission bits
    std::string http;               // TCP addresses of the HTTP front door; empty: none
    std::string http_socket;        // its Unix socket; empty: none
    std::string spawner;            // path of the spawner's executable
    std::string zygote;             // path of the native zygote's executable
    std::string zygote_python;      // path of the Python zygote's executable; may be missing
    std::string cgroup;             // name of the cgroup below which sandboxes get theirs
    std::string code_bucket_dir;      // buckets are its sub-directories; empty: none
    std::string code_s3_endpoint;     // URL of an S3-compatible server; empty: none
    std::string code_s3_region;
    std::string code_s3_credentials;  // file: access key, secret key; empty: unsigned
    // Who we are
    std::string account;
    std::string region;
    std::string engine_user;  // name or number; empty: stay who we are (not root)
    std::uint32_t sandbox_uid_base = 0;
    std::string allow_missing_walls;  // names of engine/wire/walls.h between commas, or "all"
    // Instances
    std::uint32_t pool_native = 0;
    std::uint32_t pool_executable = 0;
    std::uint32_t pool_python = 0;
    std::uint32_t concurrency_max = 0;
    std::optional<std::uint32_t> function_concurrency;
    std::uint32_t instances_max = 0;
    std::uint32_t idle_timeout_s = 0;
    std::uint32_t init_timeout_s = 0;
    std::optional<std::uint32_t> freeze_grace_ms;  // none: idle instances are not frozen
    std::uint32_t drain_timeout_s = 0;
    bool cpu_cap = false;  // a hard limit of CPU time besides the weight
    // Requests
    std::uint32_t payload_bytes_max = 0;
    std::uint32_t event_bytes_max = 0;
    std::uint64_t events_bytes_max = 0;    // of all that wait or run
    std::uint32_t events_running_max = 0;
    std::uint32_t event_retry_1_s = 0;     // after the first function error
    std::uint32_t event_retry_2_s = 0;     // after the second
    std::uint64_t stream_bytes_max = 0;
    std::uint64_t stream_burst_bytes = 0;
    std::optional<std::uint32_t> stream_bytes_per_s;  // behind the burst; none: as fast as it goes
    std::uint32_t connections_max = 0;
    std::uint32_t frames_in_flight_max = 0;  // per connection
    std::uint32_t requests_max = 0;          // of all connections
    // HTTP
    std::uint32_t http_connections_max = 0;
    std::uint32_t http_header_bytes_max = 0;
    std::uint32_t http_header_timeout_s = 0;
    std::uint32_t http_body_timeout_s = 0;
    std::uint32_t http_idle_timeout_s = 0;
    std::uint32_t http_write_timeout_s = 0;
    std::uint32_t http_slow_bytes_per_s = 0;
    std::uint64_t http_buffer_bytes_max = 0;
    // Access
    std::string http_auth;
    std::string invoke_users;
    std::string control_users;
    std::string secret_key_file;
    std::uint32_t access_keys_max = 0;
    std::string role_rights;
    std::uint32_t session_lifetime_s = 0;
    std::string organization;  // none: no organization
    std::uint32_t clock_skew_s = 0;
    std::string replay_check;
    std::uint32_t replay_entries_max = 0;
    // Function URLs and HTTP APIs
    std::string url_base;         // what clients are shown; empty: names as AWS gives them
    std::string trusted_proxies;  // whose X-Forwarded headers are believed
    // Accounting
    std::uint32_t billing_increment_ms = 0;
    double price_per_gb_s = 0;
    double price_per_request = 0;
    std::uint32_t ledger_sync_ms = 0;
    // Logs
    std::string log_level;
    std::uint32_t log_flush_ms = 0;
    std::uint64_t log_file_bytes_max = 0;
    // Threads
    std::uint32_t offload_threads = 0;
};

/// How many fibers an engine with these settings can need at a time. `parse` accepts none that need
/// more than `kFibersLimit`.
[[nodiscard]] std::uint64_t fibers_max(const Settings& settings) noexcept;

/// Two mappings for each fiber's stack, of the 65 530 that a process may have by default.
inline constexpr std::uint64_t kFibersLimit = 30'000;

}  // namespace hako::config
