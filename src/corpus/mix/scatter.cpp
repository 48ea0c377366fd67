#include "corpus/mix/scatter.h"

#include "base/check.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace tnl::corpus {
namespace {

// Before every line.
struct Header {
    uint64_t key, index;
    uint32_t copy, length;
};
static_assert(sizeof(Header) == 24);

} // namespace

uint64_t part_of(uint64_t key, uint64_t parts) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(key) * parts) >> 64);
}

ScatterWriter::ScatterWriter(const std::filesystem::path& data, const std::filesystem::path& index,
                             uint64_t parts, size_t memory)
    : data_(data), index_(index), parts_(parts), memory_(memory) {}

void ScatterWriter::add(uint64_t key, uint64_t index, uint64_t copy, std::string_view line) {
    if (line.size() >= UINT32_MAX)
        fail("document {}: {} bytes, wanted fewer than 4 GiB", index, line.size());
    entries_.push_back({key, index, static_cast<uint32_t>(copy), static_cast<uint32_t>(line.size()),
                        bytes_.size()});
    bytes_ += line;
    if (bytes_.size() + entries_.size() * sizeof(Entry) >= memory_) spill();
}

void ScatterWriter::spill() {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
        return std::tie(a.key, a.index, a.copy) < std::tie(b.key, b.index, b.copy);
    });
    std::vector<uint64_t> places;
    for (const Entry& e : entries_) {
        const uint64_t part = part_of(e.key, parts_);
        while (places.size() <= part) places.push_back(data_.written());
        const Header header{e.key, e.index, e.copy, e.length};
        data_.write(&header, sizeof header);
        data_.write(bytes_.data() + e.begin, e.length);
    }
    while (places.size() <= parts_) places.push_back(data_.written());
    index_.write(places.data(), places.size() * sizeof(uint64_t));
    bytes_.clear();
    entries_.clear();
}

void ScatterWriter::commit() {
    if (!entries_.empty()) spill();
    data_.commit();
    index_.commit();
}

ScatterReader::ScatterReader(const std::filesystem::path& data, const std::filesystem::path& index,
                             uint64_t parts)
    : data_(data), parts_(parts) {
    const std::string bytes = read_file(index);
    places_.resize(bytes.size() / sizeof(uint64_t));
    std::memcpy(places_.data(), bytes.data(), places_.size() * sizeof(uint64_t));
    const bool whole = bytes.size() % ((parts + 1) * sizeof(uint64_t)) == 0;
    if (!whole || !std::is_sorted(places_.begin(), places_.end()) ||
        (!places_.empty() && places_.back() != data_.size()))
        fail("{}: is no index of {} parts of {}; remove both, they are made again", index.string(),
             parts, data.string());
}

size_t ScatterReader::part_bytes(uint64_t part) const {
    size_t out = 0;
    for (size_t run = 0; run < runs(); ++run) out += size(run, part);
    return out;
}

ScatteredLine ScatterReader::first(std::string_view& bytes) const {
    Header header{};
    if (bytes.size() < sizeof header) fail("{}: is cut short", data_.path().string());
    std::memcpy(&header, bytes.data(), sizeof header);
    if (bytes.size() - sizeof header < header.length)
        fail("{}: is cut short", data_.path().string());
    const std::string_view line = bytes.substr(sizeof header, header.length);
    bytes.remove_prefix(sizeof header + header.length);
    return {header.key, 0, header.index, header.copy, line};
}

} // namespace tnl::corpus
