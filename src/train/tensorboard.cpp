#include "train/tensorboard.h"

#include "base/check.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

namespace tnl {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0u);
        table[i] = crc;
    }
    return table;
}
constexpr auto kCrcTable = crc_table();

template <class T> std::string raw(T value) {
    static_assert(std::endian::native == std::endian::little);
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Protocol buffer fields: the key is number * 8 + wire type.
std::string varint(uint64_t value) {
    std::string out;
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    return out + static_cast<char>(value);
}
std::string varint_field(int number, uint64_t value) {
    return varint(static_cast<uint64_t>(number) << 3) + varint(value);
}
std::string double_field(int number, double value) {
    return varint(static_cast<uint64_t>(number) << 3 | 1) + raw(value);
}
std::string bytes_field(int number, std::string_view bytes) {
    return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) +
           std::string(bytes);
}
std::string float_field(int number, float value) {
    return varint(static_cast<uint64_t>(number) << 3 | 5) + raw(value);
}

double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// Event: 1 wall_time, 2 step, 3 file_version, 5 summary, 7 session_log.
std::string event(int64_t step) {
    std::string out = double_field(1, now());
    if (step != 0) out += varint_field(2, static_cast<uint64_t>(step));
    return out;
}

} // namespace

uint32_t crc32c(std::string_view bytes) {
    uint32_t crc = ~0u;
    for (const char byte : bytes)
        crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
    return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
    return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

EventWriter::EventWriter(const std::filesystem::path& directory, int64_t first_step) {
    std::filesystem::create_directories(directory);
    char host[256] = "host";
    gethostname(host, sizeof(host) - 1);
    for (int n = 0; descriptor_ < 0; ++n) {
        path_ = directory / fmt::format("events.out.tfevents.{}.{}.{}.{}", std::time(nullptr), host,
                                        getpid(), n);
        descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (descriptor_ < 0 && errno != EEXIST)
            fail("{}: cannot create: {}", path_.string(), std::strerror(errno));
    }
    record(event(0) + bytes_field(3, "brain.Event:2"));
    constexpr uint64_t kSessionStart = 1;
    record(event(first_step) + bytes_field(7, varint_field(1, kSessionStart)));
}

EventWriter::~EventWriter() { close(descriptor_); }

void EventWriter::scalar(int64_t step, std::string_view tag, double value) {
    // Summary: 1 value { 1 tag, 2 simple_value }
    const std::string item = bytes_field(1, tag) + float_field(2, static_cast<float>(value));
    record(event(step) + bytes_field(5, bytes_field(1, item)));
}

void EventWriter::record(std::string_view event) {
    const std::string length = raw(static_cast<uint64_t>(event.size()));
    const std::string bytes =
        length + raw(masked_crc32c(length)) + std::string(event) + raw(masked_crc32c(event));
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t n = write(descriptor_, bytes.data() + done, bytes.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
        done += static_cast<size_t>(n);
    }
}

} // namespace tnl
