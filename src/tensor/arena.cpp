#include "tensor/arena.h"

#include <algorithm>
#include <map>

namespace tnl {
namespace {

constexpr size_t kAlign = 256;

} // namespace

Arena Arena::measuring(std::string name) { return Arena(std::move(name)); }

Arena::Arena(std::string name, Device& device, size_t bytes)
    : name_(std::move(name)), device_(&device), buffer_(device, bytes) {}

Tensor Arena::tensor(DType dtype, std::initializer_list<int64_t> dims, const char* name) {
    Tensor out(nullptr, dtype, dims);
    const size_t bytes = (static_cast<size_t>(out.bytes()) + kAlign - 1) / kAlign * kAlign;
    if (device_) {
        TNL_CHECK(used_ + bytes <= buffer_.bytes(),
                  "arena '{}' is full: '{}' needs {} bytes, {} of {} are in use", name_, name,
                  bytes, used_, buffer_.bytes());
        out.data = static_cast<char*>(buffer_.data()) + used_;
    }
    used_ += bytes;
    live_.push_back({name, bytes});
    if (used_ > peak_) {
        peak_ = used_;
        if (!device_) peak_entries_ = live_;
    }
    return out;
}

Tensor Arena::like(const Tensor& other, const char* name) {
    switch (other.rank) {
    case 1:
        return tensor(other.dtype, {other.shape[0]}, name);
    case 2:
        return tensor(other.dtype, {other.shape[0], other.shape[1]}, name);
    case 3:
        return tensor(other.dtype, {other.shape[0], other.shape[1], other.shape[2]}, name);
    default:
        return tensor(other.dtype, {other.shape[0], other.shape[1], other.shape[2], other.shape[3]},
                      name);
    }
}

std::vector<Arena::Entry> Arena::at_peak() const {
    std::map<std::string, size_t> sums;
    for (const Entry& e : peak_entries_.empty() ? live_ : peak_entries_) sums[e.name] += e.bytes;
    std::vector<Entry> out;
    for (auto& [name, bytes] : sums) out.push_back({name, bytes});
    std::stable_sort(out.begin(), out.end(),
                     [](const Entry& a, const Entry& b) { return a.bytes > b.bytes; });
    return out;
}

Arena::Scope::Scope(Arena& arena)
    : arena_(arena), used_(arena.used_), entries_(arena.live_.size()) {}

Arena::Scope::~Scope() {
    arena_.used_ = used_;
    arena_.live_.resize(entries_);
}

} // namespace tnl
