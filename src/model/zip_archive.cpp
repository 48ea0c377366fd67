#include "model/zip_archive.h"

#include "base/check.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_set>

namespace tnl {
namespace {

// Sizes and signatures: APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16.
constexpr uint64_t kLocal = 30, kCentral = 46, kEnd = 22, kEnd64 = 56, kLocator64 = 20;
constexpr uint32_t kLocalSignature = 0x04034b50, kCentralSignature = 0x02014b50,
                   kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50,
                   kLocator64Signature = 0x07064b50;
constexpr uint16_t kExtra64 = 1;
constexpr uint16_t kEncrypted = 1 | 1 << 6 | 1 << 13; // flags
constexpr uint64_t kMaxComment = 65535;

class DirectoryReader {
  public:
    DirectoryReader(std::span<const std::byte> file, const std::string& name)
        : file_(file), name_(name) {}

    std::vector<ZipEntry> read() {
        read_end();
        std::vector<ZipEntry> entries;
        std::unordered_set<std::string> names;
        uint64_t at = directory_;
        for (uint64_t i = 0; i < count_; ++i) {
            entries.push_back(read_entry(at));
            if (!names.insert(entries.back().name).second)
                fail("{}: two entries of the archive are named \"{}\"", name_, entries.back().name);
        }
        if (at != directory_end_)
            fail("{}: the archive's directory ends at offset {}, wanted {}", name_, at,
                 directory_end_);
        check_overlap(entries);
        return entries;
    }

  private:
    template <class T> T number(uint64_t offset) const {
        if (offset > file_.size() || sizeof(T) > file_.size() - offset)
            fail("{}: the archive wants bytes at offset {}, but the file has {}: it is truncated",
                 name_, offset, file_.size());
        T value;
        std::memcpy(&value, file_.data() + offset, sizeof value);
        return value;
    }
    std::string_view text(uint64_t offset, uint64_t bytes) const {
        if (offset > file_.size() || bytes > file_.size() - offset)
            fail("{}: the archive wants {} bytes at offset {}, but the file has {}", name_, bytes,
                 offset, file_.size());
        return {reinterpret_cast<const char*>(file_.data()) + offset, bytes};
    }

    // The record at the end of the file, before a comment of at most 64 KB.
    uint64_t find_end() const {
        if (file_.size() >= kEnd)
            for (uint64_t back = kEnd; back <= std::min<uint64_t>(file_.size(), kEnd + kMaxComment);
                 ++back) {
                const uint64_t at = file_.size() - back;
                if (number<uint32_t>(at) == kEndSignature &&
                    number<uint16_t>(at + 20) == back - kEnd)
                    return at;
            }
        fail("{}: the zip archive has no directory at its end: the file is truncated", name_);
    }

    void read_end() {
        uint64_t end = find_end();
        if (number<uint16_t>(end + 4) != 0 && number<uint16_t>(end + 4) != 0xffff)
            fail("{}: the archive spans several disks", name_);
        count_ = number<uint16_t>(end + 10);
        uint64_t bytes = number<uint32_t>(end + 12);
        directory_ = number<uint32_t>(end + 16);
        if (end >= kLocator64 && number<uint32_t>(end - kLocator64) == kLocator64Signature) {
            const auto at = number<uint64_t>(end - kLocator64 + 8);
            if (at > end - kLocator64 || kEnd64 > end - kLocator64 - at ||
                number<uint32_t>(at) != kEnd64Signature)
                fail("{}: the archive has no zip64 record at offset {}", name_, at);
            count_ = number<uint64_t>(at + 32);
            bytes = number<uint64_t>(at + 40);
            directory_ = number<uint64_t>(at + 48);
            end = at;
        }
        if (directory_ > end || bytes > end - directory_ || count_ > bytes / kCentral)
            fail("{}: the archive's directory of {} entries lies at bytes [{}, {} + {}), wanted "
                 "before offset {}",
                 name_, count_, directory_, directory_, bytes, end);
        directory_end_ = directory_ + bytes;
    }

    // The 64-bit values of an entry, for those of its fields that are all ones.
    void read_extra(uint64_t at, uint64_t bytes, const std::string& entry,
                    std::initializer_list<uint64_t*> fields) const {
        const uint64_t end = at + bytes;
        while (end - at >= 4) {
            const auto id = number<uint16_t>(at), size = number<uint16_t>(at + 2);
            at += 4;
            if (size > end - at) break;
            if (id == kExtra64) {
                uint64_t value = at;
                for (uint64_t* field : fields) {
                    if (*field != 0xffffffffu) continue;
                    if (value + 8 > at + size)
                        fail("{}: entry \"{}\": its zip64 field is too short", name_, entry);
                    *field = number<uint64_t>(value);
                    value += 8;
                }
                return;
            }
            at += size;
        }
    }

    ZipEntry read_entry(uint64_t& at) {
        if (directory_end_ - at < kCentral || number<uint32_t>(at) != kCentralSignature)
            fail("{}: no entry of the archive's directory at offset {}", name_, at);
        const auto flags = number<uint16_t>(at + 8), method = number<uint16_t>(at + 10);
        uint64_t packed = number<uint32_t>(at + 20), size = number<uint32_t>(at + 24);
        const uint64_t name_bytes = number<uint16_t>(at + 28),
                       extra_bytes = number<uint16_t>(at + 30),
                       comment_bytes = number<uint16_t>(at + 32);
        uint64_t local = number<uint32_t>(at + 42);
        if (name_bytes + extra_bytes + comment_bytes > directory_end_ - at - kCentral)
            fail("{}: the entry at offset {} leaves the archive's directory", name_, at);
        ZipEntry entry;
        entry.name = text(at + kCentral, name_bytes);
        read_extra(at + kCentral + name_bytes, extra_bytes, entry.name, {&size, &packed, &local});
        at += kCentral + name_bytes + extra_bytes + comment_bytes;
        if (flags & kEncrypted) fail("{}: entry \"{}\" is encrypted", name_, entry.name);
        if (method != 0)
            fail("{}: entry \"{}\" is compressed (method {}), wanted one that is stored, as "
                 "torch.save writes it",
                 name_, entry.name, method);
        if (packed != size)
            fail("{}: entry \"{}\" of {} bytes is stored in {}", name_, entry.name, size, packed);
        if (local > directory_ || kLocal > directory_ - local ||
            number<uint32_t>(local) != kLocalSignature)
            fail("{}: entry \"{}\" has no header at offset {}", name_, entry.name, local);
        const uint64_t local_name = number<uint16_t>(local + 26),
                       local_extra = number<uint16_t>(local + 28);
        if (text(local + kLocal, local_name) != entry.name)
            fail("{}: entry \"{}\" has another name in its header at offset {}", name_, entry.name,
                 local);
        headers_.push_back(local);
        entry.begin = local + kLocal + local_name + local_extra;
        if (entry.begin > directory_ || size > directory_ - entry.begin)
            fail("{}: entry \"{}\" lies at bytes [{}, {} + {}), wanted before the directory at {}",
                 name_, entry.name, entry.begin, entry.begin, size, directory_);
        entry.end = entry.begin + size;
        return entry;
    }

    void check_overlap(const std::vector<ZipEntry>& entries) const {
        std::vector<std::pair<uint64_t, const ZipEntry*>> order;
        for (size_t i = 0; i < entries.size(); ++i) order.emplace_back(headers_[i], &entries[i]);
        std::sort(order.begin(), order.end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
        for (size_t i = 1; i < order.size(); ++i)
            if (order[i].first < order[i - 1].second->end)
                fail("{}: entries \"{}\" and \"{}\" of the archive overlap at offset {}", name_,
                     order[i - 1].second->name, order[i].second->name, order[i].first);
    }

    std::span<const std::byte> file_;
    const std::string& name_;
    uint64_t count_ = 0, directory_ = 0, directory_end_ = 0;
    std::vector<uint64_t> headers_; // offsets, of the entries
};

} // namespace

bool is_zip(std::span<const std::byte> file) {
    uint32_t signature = 0;
    if (file.size() >= sizeof signature) std::memcpy(&signature, file.data(), sizeof signature);
    return signature == kLocalSignature;
}

std::vector<ZipEntry> parse_zip(std::span<const std::byte> file, const std::string& name) {
    return DirectoryReader(file, name).read();
}

} // namespace tnl
