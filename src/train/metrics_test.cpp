// metrics.jsonl and TensorBoard event files, read back by a reader of their own.
#include "train/metrics.h"

#include "train/testbed.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <sstream>

namespace tnl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::TemporaryDirectory;

// ---- an independent reader ----

uint32_t slow_crc32c(const std::string& bytes) {
    uint32_t crc = 0xffffffff;
    for (const char c : bytes)
        for (int bit = 0; bit < 8; ++bit) {
            const uint32_t one = (crc ^ (static_cast<uint8_t>(c) >> bit)) & 1;
            crc = (crc >> 1) ^ (one ? 0x82f63b78u : 0);
        }
    return crc ^ 0xffffffff;
}
uint32_t slow_mask(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

template <class T> T number(const std::string& bytes, size_t at) {
    T out;
    std::memcpy(&out, bytes.data() + at, sizeof(T));
    return out;
}

std::vector<std::string> records(const std::string& file) {
    std::vector<std::string> out;
    for (size_t at = 0; at < file.size();) {
        const auto length = number<uint64_t>(file, at);
        EXPECT_EQ(number<uint32_t>(file, at + 8), slow_mask(slow_crc32c(file.substr(at, 8))));
        const std::string body = file.substr(at + 12, length);
        EXPECT_EQ(number<uint32_t>(file, at + 12 + length), slow_mask(slow_crc32c(body)));
        out.push_back(body);
        at += 16 + length;
    }
    return out;
}

uint64_t varint(const std::string& bytes, size_t& at) {
    uint64_t out = 0;
    for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<uint8_t>(bytes.at(at++));
        out |= uint64_t{byte & 0x7fu} << shift;
        if (byte < 0x80) return out;
    }
}

struct Event {
    double time = 0;
    uint64_t step = 0, session = 0;
    std::string version, tag;
    std::optional<float> value;
};

Event parse(const std::string& bytes, Event event = {}, int depth = 0) {
    for (size_t at = 0; at < bytes.size();) {
        const uint64_t key = varint(bytes, at);
        const int field = static_cast<int>(key >> 3), wire = static_cast<int>(key & 7);
        if (wire == 1) {
            EXPECT_EQ(field, 1);
            event.time = number<double>(bytes, at);
            at += 8;
        } else if (wire == 5) {
            EXPECT_EQ(field, 2);
            event.value = number<float>(bytes, at);
            at += 4;
        } else if (wire == 0) {
            (depth == 0 ? event.step : event.session) = varint(bytes, at);
        } else {
            EXPECT_EQ(wire, 2);
            const uint64_t size = varint(bytes, at);
            const std::string inner = bytes.substr(at, size);
            at += size;
            if (depth == 0 && field == 3)
                event.version = inner;
            else if (depth == 2 && field == 1)
                event.tag = inner;
            else
                event = parse(inner, event, depth + 1);
        }
    }
    return event;
}

std::vector<Event> events_of(const fs::path& directory) {
    std::vector<Event> out;
    for (const auto& entry : fs::directory_iterator(directory))
        for (const std::string& record : records(read_file(entry.path())))
            out.push_back(parse(record));
    return out;
}

std::vector<std::string> lines_of(const fs::path& path) {
    std::istringstream in(read_file(path));
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
}

Json line(int64_t step, double loss) {
    Json out;
    out["step"] = step;
    out["loss"] = loss;
    return out;
}

TEST(Crc32c, HasTheValuesOfRfc3720) {
    EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
    EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
    EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
    EXPECT_EQ(crc32c(""), 0u);
}

TEST(Tensorboard, FileHoldsWhatWasWritten) {
    TemporaryDirectory directory;
    fs::path path;
    {
        EventWriter writer(directory / "tb", 1);
        writer.scalar(7, "train/loss", 3.25);
        writer.scalar(300000, "eval/loss", -1e-3);
        path = writer.path();
    }
    EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents."));
    const auto events = events_of(directory / "tb");
    ASSERT_EQ(events.size(), 4u);
    EXPECT_EQ(events[0].version, "brain.Event:2");
    EXPECT_EQ(events[1].session, 1u); // START
    EXPECT_EQ(events[1].step, 1u);
    EXPECT_EQ(events[2].step, 7u);
    EXPECT_EQ(events[2].tag, "train/loss");
    EXPECT_EQ(events[2].value, 3.25f);
    EXPECT_EQ(events[3].step, 300000u);
    EXPECT_EQ(events[3].tag, "eval/loss");
    EXPECT_EQ(events[3].value, -1e-3f);
    EXPECT_NEAR(events[3].time, static_cast<double>(std::time(nullptr)), 60);
}

TEST(Metrics, WritesLinesAndEvents) {
    TemporaryDirectory directory;
    fs::create_directories(directory / "run");
    {
        Metrics metrics(directory / "run", 0, true);
        metrics.write(line(1, 2.5), "train");
        metrics.write(line(2, std::numeric_limits<double>::quiet_NaN()), "train");
        metrics.sync();
    }
    EXPECT_THAT(lines_of(directory / "run/metrics.jsonl"),
                ElementsAre(R"({"step":1,"loss":2.5})", R"({"step":2,"loss":null})"));
    const auto events = events_of(directory / "run/tensorboard");
    ASSERT_EQ(events.size(), 4u);
    EXPECT_EQ(events[2].tag, "train/loss");
    EXPECT_EQ(events[2].value, 2.5f);
    EXPECT_TRUE(std::isnan(events[3].value.value()));
}

TEST(Metrics, ResumingDropsWhatWillBeWrittenAgainAndHalfALine) {
    TemporaryDirectory directory;
    fs::create_directories(directory / "run");
    const fs::path file = directory / "run/metrics.jsonl";
    {
        Metrics metrics(directory / "run", 0, false);
        for (int64_t step = 1; step <= 5; ++step)
            metrics.write(line(step, static_cast<double>(step)), "train");
    }
    write_file_atomic(file, read_file(file) + R"({"step":6,"lo)"); // killed here
    {
        Metrics metrics(directory / "run", 3, false);
        metrics.write(line(4, 40), "train");
    }
    EXPECT_THAT(lines_of(file),
                ElementsAre(R"({"step":1,"loss":1.0})", R"({"step":2,"loss":2.0})",
                            R"({"step":3,"loss":3.0})", R"({"step":4,"loss":40.0})"));
    EXPECT_FALSE(fs::exists(directory / "run/tensorboard"));
}

TEST(Metrics, AFullDiskIsAnError) {
    TemporaryDirectory directory;
    fs::create_directories(directory / "run");
    Metrics metrics(directory / "run", 0, false);
    const testing::FileSizeLimit limit(100);
    const std::string error = testing::error_of([&] {
        for (int64_t step = 1; step <= 50; ++step) metrics.write(line(step, 2), "train");
    });
    EXPECT_THAT(error, ::testing::HasSubstr("run/metrics.jsonl: cannot write"));
}

} // namespace
} // namespace tnl
