// Event files that TensorBoard opens: a sequence of records
//   u64 length, u32 masked crc32c(length), bytes, u32 masked crc32c(bytes)      little endian
// each an Event message of tensorflow/core/util/event.proto in the protocol buffer encoding.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace tnl {

uint32_t crc32c(std::string_view bytes);        // Castagnoli, RFC 3720 appendix B.4
uint32_t masked_crc32c(std::string_view bytes); // rotated and offset, as the records want it

class EventWriter {
  public:
    // A new file events.out.tfevents.<seconds>.<host>.<pid>.<n> in `directory`, which is made.
    // first_step: TensorBoard drops what older files hold from that step on.
    EventWriter(const std::filesystem::path& directory, int64_t first_step);
    ~EventWriter();
    EventWriter(const EventWriter&) = delete;
    EventWriter& operator=(const EventWriter&) = delete;

    // Written at once; throws naming the file if that fails.
    void scalar(int64_t step, std::string_view tag, double value);
    const std::filesystem::path& path() const { return path_; }

  private:
    void record(std::string_view event);
    std::filesystem::path path_;
    int descriptor_ = -1;
};

} // namespace tnl
