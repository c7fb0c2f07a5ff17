#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "engine/base/unique_fd.h"
#include "engine/instance/channel.h"
#include "tests/fuzz/fuzz.h"

// The engine's side of the shared-memory channel against a worker that writes what it likes, when
// it likes. The input is a script: each step is an operation of the engine or a store of the worker
// into the header page, also into the words that are the engine's.

namespace {

using namespace hako;
using instance::Channel;

enum Step : std::uint8_t {
    kPostInit,
    kPostInvoke,
    kPostEmptyInit,
    kStore,       // anywhere in the header page
    kAnswerWell,  // the right number, then whatever kind and length
    kTakeAnswer,
    kReleaseLarge,
    kPostStream,  // the answer may be streamed
    kBegin,       // a stream, of whatever type
    kPut,         // whatever counter
    kTakeStream,
    kStepCount,
};

/// One memfd for all inputs: making 12 MB of one each time would be all that is measured.
struct World {
    World() {
        memfd.reset(::memfd_create("channel-fuzz", MFD_CLOEXEC));
        ENSURE(memfd && ::ftruncate(memfd.get(), HAKO_CHANNEL_BYTES) == 0, "a memfd can be made");
        auto mapped = Mapping::make_shared(memfd.get(), HAKO_CHANNEL_BYTES);
        ENSURE(mapped.has_value(), "a memfd can be mapped");
        mapping = std::move(*mapped);
    }
    [[nodiscard]] hako_channel& words() const {
        return *reinterpret_cast<hako_channel*>(mapping.data());
    }
    UniqueFd memfd;
    Mapping mapping;
};

void store(World& world, fuzz::Input& input) {
    const std::size_t offset = input.take<std::uint16_t>() % (HAKO_CHANNEL_HEADER_BYTES - 8);
    const auto value = input.take<std::uint64_t>();
    std::memcpy(world.mapping.data() + offset, &value, sizeof(value));
}

void answer(World& world, fuzz::Input& input, std::uint32_t posted_count) {
    hako_channel& words = world.words();
    words.response_kind = input.take<std::uint8_t>();
    words.response_bytes = input.take<std::uint32_t>();
    words.response_bytes_wanted = input.take<std::uint64_t>();
    words.response_seq = posted_count;
}

void take(World& world, const Channel& channel) {
    const Result<Channel::Answer> answer = channel.take_answer();
    if (!answer) {
        ENSURE(
            answer.error().code == Errc::kNotFound || answer.error().code == Errc::kProtocol,
            "an answer is there, not there, or garbage"
        );
        return;
    }
    const auto kind = static_cast<std::uint32_t>(answer->kind);
    ENSURE(kind >= HAKO_RESPONSE_READY && kind <= HAKO_RESPONSE_STREAM_ERROR, "the kind is known");
    ENSURE(answer->payload.size() <= HAKO_RESPONSE_BYTES_MAX, "the payload is bounded");
    // The worker may change its mind at any time: what was taken stays what it is.
    world.words().response_bytes = UINT32_MAX;
    world.words().response_kind = UINT32_MAX;
    fuzz::touch(answer->payload.substr(0, 64));
    fuzz::touch(answer->payload.substr(answer->payload.size() - answer->payload.size() % 64));
}

void begin_stream(World& world, fuzz::Input& input, std::uint32_t posted_count) {
    const std::string_view type = input.take_text().substr(0, HAKO_STREAM_TYPE_BYTES);
    std::memcpy(world.words().stream_type, type.data(), type.size());
    world.words().stream_put = 0;
    world.words().stream_seq = posted_count;
}

void take_stream(World& world, Channel& channel, fuzz::Input& input) {
    const Result<std::string> type = channel.stream_type();
    ENSURE(
        type ? type->size() < HAKO_STREAM_TYPE_BYTES && !type->contains('\n')
             : type.error().code == Errc::kNotFound || type.error().code == Errc::kProtocol,
        "the type is a header line, or there is none"
    );
    static char into[HAKO_STREAM_RING_BYTES + 1];
    const std::size_t room_bytes = input.take<std::uint32_t>() % sizeof(into);
    into[room_bytes] = 'g';
    const Result<std::uint32_t> taken = channel.take_stream({into, room_bytes});
    ENSURE(taken || taken.error().code == Errc::kProtocol, "a counter is right or garbage");
    ENSURE(!taken || *taken <= room_bytes, "no more is taken than there is room for");
    ENSURE(into[room_bytes] == 'g', "nothing is written behind the room");
    channel.want_stream_ring((room_bytes & 1U) != 0);
    (void)channel.stream_worker_may_sleep();  // reads what the worker wrote; any answer is right
    world.words().stream_put = UINT32_MAX;    // it changes its mind
}

/// Returns 1 if the channel published something.
std::uint32_t post(Channel& channel, Step step, fuzz::Input& input) {
    if (step == kPostInit || step == kPostEmptyInit) {
        return channel.post_init(step == kPostInit ? input.take_text() : "") ? 1 : 0;
    }
    // Sizes beyond what the input has: the fields' own limits are what is tried.
    const std::string_view text = input.take_text();
    const std::string id(input.take<std::uint8_t>(), 'r');
    const std::string arn(input.take<std::uint16_t>() % 1024, 'a');
    const auto posted = channel.post_invoke({
        .event = text,
        .client_context = text,
        .request_id = id,
        .function_arn = arn,
        .trace_id = text,
        .stream_bytes_max = step == kPostStream ? 1U << 20U : 0U,
    });
    ENSURE(posted || posted.error().code == Errc::kLimit, "a post fails for its length alone");
    return posted ? 1 : 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static World world;
    std::memset(world.mapping.data(), 0, HAKO_CHANNEL_HEADER_BYTES);
    fuzz::Input input(data, bytes);
    world.words().magic = input.take<std::uint8_t>() == 0xff ? 0 : HAKO_CHANNEL_MAGIC;
    world.words().version = HAKO_CHANNEL_VERSION;
    Result<Channel> channel = Channel::map(world.memfd.get());
    if (!channel) {
        ENSURE(world.words().magic == 0, "a channel of this version is taken");
        return 0;
    }
    std::uint32_t posted_count = 0;
    while (!input.empty()) {
        const auto step = static_cast<Step>(input.take<std::uint8_t>() % kStepCount);
        switch (step) {
            case kStore:
                store(world, input);
                break;
            case kAnswerWell:
                answer(world, input, posted_count);
                break;
            case kTakeAnswer:
                take(world, *channel);
                break;
            case kReleaseLarge:
                channel->release_large();
                break;
            case kBegin:
                begin_stream(world, input, posted_count);
                break;
            case kPut:
                world.words().stream_put = input.take<std::uint32_t>();
                break;
            case kTakeStream:
                take_stream(world, *channel, input);
                break;
            default:
                posted_count += post(*channel, step, input);
        }
        (void)channel->worker_may_sleep();  // reads what the worker wrote; any answer is right
    }
    return 0;
}
