#include "engine/engine_status.h"

#include <unistd.h>

#include <fmt/format.h>

#include "engine/instance/failure_text.h"
#include "engine/version.h"
#include "engine/wire/spawner_protocol.h"

namespace hako {

std::string EngineStatus::to_json(std::int64_t now_us) const {
    return fmt::format(
        R"({{"Version":"{}","Account":{},"Region":{},"UrlBase":{},"Pid":{},"KeeperPid":{},)"
        R"("SpawnerPid":{},"SpawnerNumber":{},"User":"{}","WallsMissing":[{}],"UptimeUs":{},)"
        R"("Functions":{},"Instances":{},"IdleInstances":{},"FrozenInstances":{},"InFlight":{},)"
        R"("Connections":{},"Features":{},"Metrics":{}}})",
        kVersion,
        instance::json_quoted(identity.account),
        instance::json_quoted(identity.region),
        instance::json_quoted(url_base),
        ::getpid(),
        keeper_pid,
        spawner_pid,
        spawner_number,
        (features & spawner::kFeatureUserNamespace) != 0 ? "ordinary" : "root",
        walls_missing,
        now_us - metrics.start_us,
        functions_count,
        metrics.instances_count,
        metrics.instances_idle_count,
        frozen_count,
        metrics.in_flight_count,
        metrics.connections_count,
        features,
        metrics.to_json(now_us)
    );
}

}  // namespace hako
