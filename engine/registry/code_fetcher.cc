#include "engine/registry/code_fetcher.h"

#include <fmt/format.h>

namespace hako::registry {

ApiError s3_error(std::string_view code, std::string_view message) {
    return invalid_parameter(fmt::format(
        "Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {}", code, message
    ));
}

}  // namespace hako::registry
