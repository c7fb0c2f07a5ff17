#pragma once

#include <string>
#include <string_view>

namespace hako::startup {

/// Tells systemd (or whoever set NOTIFY_SOCKET) about our state: sd_notify(3) without the library.
/// The socket is connected when the object is made, while the process still may; silent where there
/// is none.
class Notifier {
public:
    Notifier();
    ~Notifier();
    Notifier(const Notifier&) = delete;
    Notifier& operator=(const Notifier&) = delete;

    /// Sends lines such as "READY=1". A lost message is systemd's loss: nothing to do about it.
    void send(std::string_view lines) const noexcept;

private:
    int fd_ = -1;
};

}  // namespace hako::startup
