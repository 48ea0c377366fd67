#include "corpus/dedup/sorted_merge.h"

#include "base/check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <queue>
#include <utility>

namespace tnl::corpus {
namespace {

class OpenFile {
  public:
    explicit OpenFile(const std::filesystem::path& path)
        : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (descriptor_ < 0) fail("{}: cannot open: {}", path.string(), std::strerror(errno));
    }
    ~OpenFile() { ::close(descriptor_); }
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
    uint64_t size() const {
        struct stat info {};
        if (::fstat(descriptor_, &info) != 0)
            fail("{}: cannot stat: {}", path_.string(), std::strerror(errno));
        return static_cast<uint64_t>(info.st_size);
    }
    void read(char* to, size_t bytes, uint64_t offset) const {
        while (bytes > 0) {
            const ssize_t n = ::pread(descriptor_, to, bytes, static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) fail("{}: cannot read: {}", path_.string(), std::strerror(errno));
            if (n == 0)
                fail("{}: ends at byte {}, {} bytes too early", path_.string(), offset, bytes);
            to += n;
            offset += static_cast<uint64_t>(n);
            bytes -= static_cast<size_t>(n);
        }
    }

    // That these will be read soon.
    void expect(uint64_t offset, size_t bytes) const {
        (void)::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                              POSIX_FADV_WILLNEED);
    }

  private:
    const std::filesystem::path& path_;
    int descriptor_;
};

// One element of entries_, one of other_ and one of merged_ for each record of a batch.
constexpr size_t kEntryBytes = 56;

constexpr size_t kCached = 4 << 20, kAhead = 128 << 10;

} // namespace

uint64_t count_records(const std::filesystem::path& path, const RecordLayout& layout) {
    const uint64_t size = OpenFile(path).size();
    if (size % layout.bytes() != 0)
        fail("{}: {} bytes, wanted a multiple of the {} bytes of a record", path.string(), size,
             layout.bytes());
    return size / layout.bytes();
}

uint64_t lower_record(const std::filesystem::path& path, const RecordLayout& layout, uint64_t key) {
    uint64_t low = 0, high = count_records(path, layout);
    const OpenFile file(path);
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        char first[8];
        file.read(first, sizeof first, middle * layout.bytes());
        if (layout.key(first) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct SortedMerge::Source {
    std::filesystem::path path;
    RecordLayout layout;
    uint64_t next = 0, end = 0; // records not read yet
    std::vector<char> buffer;   // whole records
    size_t capacity = 0, begin = 0, held = 0;
    uint64_t last_key = 0; // of those given out

    const char* record(size_t i) const { return buffer.data() + (begin + i) * layout.bytes(); }
    bool exhausted() const { return next == end; }
};

SortedMerge::SortedMerge(std::vector<SortedFile> files, size_t memory) {
    uint64_t total = 0;
    for (SortedFile& file : files) {
        Source source;
        source.end = std::min(file.end, count_records(file.path, file.layout));
        source.path = std::move(file.path);
        source.layout = file.layout;
        source.next = file.begin;
        TNL_CHECK(source.next <= source.end, "{}: from record {} of {}", source.path.string(),
                  source.next, source.end);
        total += source.end - source.next;
        sources_.push_back(std::move(source));
    }
    // More than the caches hold only slows the sort: of 1000 files blocks of 128 KB took more than
    // twice as long as ones of 16 KB.
    memory = std::min(memory, std::max(kCached, sources_.size() * kLeastBlock));
    size_t held = 0;
    for (Source& source : sources_) {
        // Shares follow sizes: keys of all files are spread alike, so that blocks end alike.
        const uint64_t records = source.end - source.next;
        const double share = static_cast<double>(memory) * static_cast<double>(records) /
                             static_cast<double>(std::max<uint64_t>(total, 1));
        const size_t each = source.layout.bytes() + kEntryBytes;
        const size_t least = kLeastBlock / each + 1;
        source.capacity = static_cast<size_t>(
            std::min<uint64_t>(records, std::max(least, static_cast<size_t>(share) / each)));
        held += source.capacity;
    }
    entries_.reserve(held);
    other_.reserve(held);
    merged_.reserve(held);
}
SortedMerge::~SortedMerge() = default;

void SortedMerge::fill(Source& source) {
    if (source.exhausted() || source.held * 2 > source.capacity) return;
    const size_t bytes = source.layout.bytes();
    source.buffer.resize(source.capacity * bytes);
    std::memmove(source.buffer.data(), source.record(0), source.held * bytes);
    source.begin = 0;
    const size_t n = static_cast<size_t>(
        std::min<uint64_t>(source.capacity - source.held, source.end - source.next));
    char* const to = source.buffer.data() + source.held * bytes;
    const uint64_t from = source.next * bytes, upto = from + n * bytes;
    const OpenFile file(source.path);
    file.read(to, n * bytes, from);
    // Disks want large reads. As a file is not open between two, the system cannot know of the
    // next.
    if (from / kAhead != upto / kAhead) file.expect(upto, kAhead);
    uint64_t before =
        source.held > 0 ? source.layout.key(source.record(source.held - 1)) : source.last_key;
    for (size_t i = 0; i < n; ++i) {
        const uint64_t key = source.layout.key(to + i * bytes);
        if (key < before)
            fail("{}: record {} is out of order; the file is damaged", source.path.string(),
                 source.next + i);
        before = key;
    }
    source.held += n;
    source.next += n;
}

const char* SortedMerge::at(const Entry& entry) const {
    const Source& source = sources_[entry.source];
    return source.buffer.data() + entry.index * source.layout.bytes();
}

bool SortedMerge::before(const Entry& x, const Entry& y) const {
    if (x.key != y.key) return x.key < y.key;
    if (const int order = sources_[x.source].layout.compare(at(x), at(y)); order != 0)
        return order < 0;
    return x.source != y.source ? x.source < y.source : x.index < y.index;
}

// Takes what is below the bound from every block.
void SortedMerge::collect(bool bounded, uint64_t bound) {
    entries_.clear();
    for (uint32_t s = 0; s < sources_.size(); ++s) {
        Source& source = sources_[s];
        size_t low = 0, high = source.held;
        while (bounded && low < high) {
            const size_t middle = (low + high) / 2;
            if (source.layout.key(source.record(middle)) < bound)
                low = middle + 1;
            else
                high = middle;
        }
        for (size_t i = 0; i < high; ++i)
            entries_.push_back(
                {source.layout.key(source.record(i)), s, static_cast<uint32_t>(source.begin + i)});
        if (high > 0) source.last_key = source.layout.key(source.record(high - 1));
        source.begin += high;
        source.held -= high;
    }
}

// By the upper 33 bits of the keys' range, then what these leave equal by comparisons.
void SortedMerge::sort() {
    constexpr int kDigit = 11;
    uint64_t least = UINT64_MAX, most = 0;
    for (const Entry& entry : entries_) {
        least = std::min(least, entry.key);
        most = std::max(most, entry.key);
    }
    const int shift = std::max(0, static_cast<int>(std::bit_width(most - least)) - 3 * kDigit);
    const auto digits = [&](const Entry& entry) { return (entry.key - least) >> shift; };
    std::array<std::array<uint32_t, 1 << kDigit>, 3> counts{};
    constexpr uint64_t kMask = (1 << kDigit) - 1;
    for (const Entry& entry : entries_) {
        const uint64_t d = digits(entry);
        for (size_t pass = 0; pass < 3; ++pass) ++counts[pass][d >> (kDigit * pass) & kMask];
    }
    other_.resize(entries_.size());
    for (size_t pass = 0; pass < 3; ++pass) {
        uint32_t sum = 0;
        for (uint32_t& count : counts[pass]) sum += std::exchange(count, sum);
        for (const Entry& entry : entries_)
            other_[counts[pass][digits(entry) >> (kDigit * pass) & kMask]++] = entry;
        entries_.swap(other_);
    }
    for (size_t i = 0; i < entries_.size();) {
        size_t end = i + 1;
        while (end < entries_.size() && digits(entries_[end]) == digits(entries_[i])) ++end;
        if (end - i > 1) sort_equal(i, end);
        i = end;
    }
}

void SortedMerge::sort_equal(size_t begin, size_t end) {
    const auto less = [this](const Entry& x, const Entry& y) { return before(x, y); };
    const auto from = entries_.begin() + static_cast<ptrdiff_t>(begin);
    const auto to = entries_.begin() + static_cast<ptrdiff_t>(end);
    if (!std::is_sorted(from, to, less)) std::sort(from, to, less);
}

void SortedMerge::run(const std::function<void(std::span<const MergedRecord>)>& take) {
    TNL_CHECK(sources_.size() < UINT32_MAX, "{} files to merge", sources_.size());
    for (;;) {
        bool bounded = false, any = false;
        uint64_t bound = UINT64_MAX;
        for (Source& source : sources_) {
            fill(source);
            any = any || source.held > 0;
            if (source.exhausted()) continue;
            bounded = true;
            bound = std::min(bound, source.layout.key(source.record(source.held - 1)));
        }
        if (!any) return;
        collect(bounded, bound);
        if (entries_.empty()) {
            heavy(bound, take);
            continue;
        }
        sort();
        merged_.clear();
        for (const Entry& entry : entries_) merged_.push_back({entry.key, at(entry), entry.source});
        take(merged_);
    }
}

// The records of one key that fills a whole block, one after the other: all of them need not fit.
void SortedMerge::heavy(uint64_t key,
                        const std::function<void(std::span<const MergedRecord>)>& take) {
    const auto has = [&](Source& source) {
        if (source.held == 0) fill(source);
        return source.held > 0 && source.layout.key(source.record(0)) == key;
    };
    const auto later = [this](const Entry& x, const Entry& y) { return before(y, x); };
    std::priority_queue<Entry, std::vector<Entry>, decltype(later)> heap(later);
    const auto push = [&](uint32_t s) {
        Source& source = sources_[s];
        if (has(source)) heap.push({key, s, static_cast<uint32_t>(source.begin)});
    };
    for (uint32_t s = 0; s < sources_.size(); ++s) push(s);
    while (!heap.empty()) {
        const Entry entry = heap.top();
        heap.pop();
        const MergedRecord record{key, at(entry), entry.source};
        take({&record, 1});
        Source& source = sources_[entry.source];
        source.last_key = key;
        ++source.begin;
        --source.held;
        push(entry.source);
    }
}

} // namespace tnl::corpus
