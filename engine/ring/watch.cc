#include <poll.h>

#include "engine/base/ensure.h"
#include "engine/ring/loop_impl.h"

namespace hako::ring {

void Loop::watch(Watch& watch, int fd, std::uint32_t poll_mask) {
    ENSURE(watch.on_events != nullptr, "watched without a callback");
    ENSURE(!watch.armed && !watch.closing, "watched twice");
    watch.fd = fd;
    watch.mask = poll_mask;
    impl_->arm_watch(watch);
}

// The poll's own last completion is what ends the record's use, so the removal need not name it.
// Should the poll have ended by itself meanwhile, that completion is already on its way.
void Loop::unwatch(Watch& watch) {
    ENSURE(!watch.closing, "unwatched twice");
    watch.closing = true;
    if (!watch.armed) {
        defer([impl = impl_.get(), &watch] { impl->close_watch(watch); });
        return;
    }
    io_uring_sqe& sqe = impl_->uring->take_sqe();
    // Not poll_remove: that fails with EALREADY while an event of the poll is on its way, and the
    // poll would stand for ever.
    io_uring_prep_cancel64(&sqe, tagged(&watch, Tag::kWatch), 0);
    sqe.user_data = tagged(nullptr, Tag::kNone);
}

void Loop::Impl::arm_watch(Watch& watch) {
    io_uring_sqe& sqe = uring->take_sqe();
    if (uring->features().multishot_poll) {
        io_uring_prep_poll_multishot(&sqe, watch.fd, watch.mask);
    } else {
        io_uring_prep_poll_add(&sqe, watch.fd, watch.mask);
    }
    sqe.user_data = tagged(&watch, Tag::kWatch);
    watch.armed = true;
}

void Loop::Impl::close_watch(Watch& watch) {
    ENSURE(watch.closing && !watch.armed, "closed a watch that stands");
    watch.closing = false;
    watch.fd = -1;
    if (watch.on_closed != nullptr) {
        watch.on_closed(watch, 0);  // the record may be gone after this
    }
}

void Loop::Impl::on_watch_completion(Watch& watch, const Completion& completion) {
    ENSURE(watch.armed, "an event for a watch that does not stand");
    watch.armed = !completion.is_last();
    if (watch.closing) {
        if (!watch.armed) {
            close_watch(watch);
        }
        return;
    }
    constexpr std::uint32_t kFinal = POLLERR | POLLHUP | POLLNVAL;
    const std::uint32_t events =
        completion.res >= 0 ? static_cast<std::uint32_t>(completion.res) : POLLERR | POLLNVAL;
    // The kernel ends a standing poll when completions overflow; without multishot each event does.
    // After an error or hang-up a new poll would complete at once, for ever.
    if (!watch.armed && (events & kFinal) == 0) {
        arm_watch(watch);
    }
    watch.on_events(watch, events);  // last: it may unwatch
}

}  // namespace hako::ring
