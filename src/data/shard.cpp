#include "data/shard.h"

#include "base/check.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace tnl {
namespace {

constexpr char kMagic[8] = {'T', 'N', 'L', 'S', 'H', 'A', 'R', 'D'};

uint64_t header_hash(const ShardHeader& header) {
    return XXH3_64bits(&header, offsetof(ShardHeader, header_checksum));
}

} // namespace

struct ShardWriter::Impl {
    explicit Impl(std::filesystem::path path) : file(std::move(path)), hash(XXH3_createState()) {
        XXH3_64bits_reset(hash);
    }
    ~Impl() { XXH3_freeState(hash); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    void write(const void* data, size_t bytes) {
        file.write(data, bytes);
        XXH3_64bits_update(hash, data, bytes);
    }
    AtomicFile file;
    XXH3_state_t* hash;
    ShardHeader header{};
    void pad() {
        const char zeros[8] = {};
        write(zeros, (8 - file.written() % 8) % 8);
    }
    // Bits of `n` more tokens; those before the first document with a mask are to be learned.
    void add_mask(uint64_t from, uint64_t n, const uint8_t* learned) {
        if (mask.empty() && from > 0) add_mask(0, from, nullptr);
        mask.resize((from + n + 7) / 8);
        for (uint64_t i = 0; i < n; ++i)
            if (learned == nullptr || learned[i])
                mask[(from + i) / 8] =
                    static_cast<uint8_t>(mask[(from + i) / 8] | 1u << (from + i) % 8);
    }
    std::vector<uint64_t> offsets{0};
    bool masked = false;
    std::vector<uint8_t> mask;
};

ShardWriter::ShardWriter(std::filesystem::path path, int64_t vocab_size, uint64_t tokenizer_hash)
    : impl_(std::make_unique<Impl>(std::move(path))) {
    TNL_CHECK(vocab_size > 0, "vocab_size is {}, wanted at least 1", vocab_size);
    ShardHeader& h = impl_->header;
    std::memcpy(h.magic, kMagic, sizeof kMagic);
    h.version = 1;
    h.token_bytes = vocab_size <= 65536 ? 2 : 4;
    h.vocab_size = static_cast<uint64_t>(vocab_size);
    h.tokenizer_hash = tokenizer_hash;
    impl_->file.write(&h, sizeof h);
}
ShardWriter::~ShardWriter() = default;

void ShardWriter::add(std::span<const int32_t> tokens, int64_t text_bytes) {
    ShardHeader& h = impl_->header;
    if (impl_->masked) impl_->add_mask(h.tokens, tokens.size(), nullptr);
    append(tokens, text_bytes);
    h.learned_tokens += tokens.size();
    h.learned_bytes += static_cast<uint64_t>(text_bytes);
}

void ShardWriter::add(std::span<const int32_t> tokens, std::span<const uint8_t> learned,
                      int64_t text_bytes, int64_t learned_bytes) {
    TNL_CHECK(learned.size() == tokens.size(), "a mask of {} for {} tokens", learned.size(),
              tokens.size());
    ShardHeader& h = impl_->header;
    impl_->masked = true;
    impl_->add_mask(h.tokens, tokens.size(), learned.data());
    append(tokens, text_bytes);
    h.learned_tokens += static_cast<uint64_t>(
        std::count_if(learned.begin(), learned.end(), [](uint8_t l) { return l != 0; }));
    h.learned_bytes += static_cast<uint64_t>(learned_bytes);
}

void ShardWriter::append(std::span<const int32_t> tokens, int64_t text_bytes) {
    ShardHeader& h = impl_->header;
    std::vector<uint16_t> narrow;
    for (int32_t id : tokens)
        TNL_CHECK(id >= 0 && static_cast<uint64_t>(id) < h.vocab_size,
                  "token id {} is outside the vocabulary of {}", id, h.vocab_size);
    if (h.token_bytes == 2) {
        narrow.assign(tokens.begin(), tokens.end());
        impl_->write(narrow.data(), narrow.size() * 2);
    } else {
        impl_->write(tokens.data(), tokens.size() * 4);
    }
    h.tokens += tokens.size();
    h.documents += 1;
    h.text_bytes += static_cast<uint64_t>(text_bytes);
    impl_->offsets.push_back(h.tokens);
}

int64_t ShardWriter::tokens() const { return static_cast<int64_t>(impl_->header.tokens); }
int64_t ShardWriter::documents() const { return static_cast<int64_t>(impl_->header.documents); }

void ShardWriter::commit() {
    ShardHeader& h = impl_->header;
    impl_->pad();
    if (impl_->masked) {
        h.version = 2;
        h.mask_at = impl_->file.written();
        impl_->write(impl_->mask.data(), impl_->mask.size());
        impl_->pad();
    } else {
        h.learned_tokens = h.learned_bytes = 0;
    }
    h.offsets_at = impl_->file.written();
    impl_->write(impl_->offsets.data(), impl_->offsets.size() * sizeof(uint64_t));
    h.data_checksum = XXH3_64bits_digest(impl_->hash);
    h.header_checksum = header_hash(h);
    impl_->file.write_at(0, &h, sizeof h);
    impl_->file.commit();
}

Shard::Shard(const std::filesystem::path& path, Check check) : file_(path) {
    const std::string name = path.string();
    const size_t size = file_.size();
    if (size < sizeof header_)
        fail("{}: {} bytes, too short for a token shard's header of {}", name, size,
             sizeof header_);
    std::memcpy(&header_, file_.data(), sizeof header_);
    const ShardHeader& h = header_;
    if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0)
        fail("{}: no token shard: it does not begin with TNLSHARD", name);
    if (h.version != 1 && h.version != 2)
        fail("{}: shard version {} at offset 8, wanted 1 or 2", name, h.version);
    if (h.header_checksum != header_hash(h))
        fail("{}: the header's checksum at offset 120 does not match; the file is corrupt", name);
    if (h.vocab_size == 0 || h.vocab_size > INT32_MAX)
        fail("{}: vocabulary of {} at offset 40, wanted 1 to 2^31-1", name, h.vocab_size);
    const uint64_t room = size - sizeof h;
    if ((h.token_bytes != 2 && h.token_bytes != 4) || h.tokens > room / h.token_bytes ||
        h.documents >= room / 8 || h.offsets_at % 8 != 0 ||
        h.offsets_at < sizeof h + h.tokens * h.token_bytes || h.offsets_at > size ||
        size - h.offsets_at != (h.documents + 1) * 8)
        fail("{}: {} bytes do not hold {} tokens of {} bytes and {} documents; the file is "
             "truncated or corrupt",
             name, size, h.tokens, h.token_bytes, h.documents);
    const uint64_t mask_bytes = (h.tokens + 7) / 8,
                   tokens_end = sizeof h + h.tokens * h.token_bytes;
    if (h.version == 1 ? h.mask_at != 0 || h.learned_tokens != 0 || h.learned_bytes != 0
                       : h.mask_at < tokens_end || h.mask_at > h.offsets_at ||
                             h.offsets_at - h.mask_at < mask_bytes || h.learned_tokens > h.tokens ||
                             h.learned_bytes > h.text_bytes)
        fail("{}: version {} with a mask at {} of {} tokens to be learned, {} bytes of text; the "
             "file is corrupt",
             name, h.version, h.mask_at, h.learned_tokens, h.learned_bytes);
    if (h.version == 2) mask_ = reinterpret_cast<const uint8_t*>(file_.data() + h.mask_at);
    if (check == Check::full &&
        XXH3_64bits(file_.data() + sizeof h, size - sizeof h) != h.data_checksum)
        fail("{}: the checksum of the data from offset {} does not match; the file is corrupt",
             name, sizeof h);
    offsets_ = reinterpret_cast<const uint64_t*>(file_.data() + h.offsets_at);
    if (offsets_[0] != 0 || offsets_[h.documents] != h.tokens ||
        !std::is_sorted(offsets_, offsets_ + h.documents + 1))
        fail("{}: the document offsets at {} do not increase from 0 to {}", name, h.offsets_at,
             h.tokens);
}

int64_t Shard::learned_tokens() const {
    return static_cast<int64_t>(masked() ? header_.learned_tokens : header_.tokens);
}
int64_t Shard::learned_bytes() const {
    return static_cast<int64_t>(masked() ? header_.learned_bytes : header_.text_bytes);
}

void Shard::read(int64_t begin, int64_t n, int32_t* out) const {
    TNL_CHECK(begin >= 0 && n >= 0 && begin + n <= tokens(), "tokens [{}, {}) of {} in {}", begin,
              begin + n, tokens(), path().string());
    const std::byte* data = file_.data() + sizeof(ShardHeader);
    if (header_.token_bytes == 2)
        std::copy_n(reinterpret_cast<const uint16_t*>(data) + begin, n, out);
    else
        std::memcpy(out, data + begin * 4, static_cast<size_t>(n) * 4);
    // A file opened without its checksum may hold anything.
    for (int64_t i = 0; i < n; ++i)
        if (out[i] < 0 || static_cast<uint64_t>(out[i]) >= header_.vocab_size)
            fail("{}: token {} is {}, outside the vocabulary of {}", path().string(), begin + i,
                 out[i], header_.vocab_size);
}

ShardSet::ShardSet(const std::filesystem::path& path, Check check) {
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(path)) {
        for (const auto& entry : std::filesystem::directory_iterator(path)) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with("shard-") && name.ends_with(".tnl")) files.push_back(entry.path());
        }
        std::sort(files.begin(), files.end());
        if (files.empty())
            fail("{}: holds no token shards (shard-*.tnl); `transnormer tokenize` writes them",
                 path.string());
    } else {
        files.push_back(path);
    }
    begins_.push_back(0);
    for (const auto& file : files) {
        shards_.emplace_back(file, check);
        begins_.push_back(begins_.back() + shards_.back().tokens());
        const ShardHeader &first = shards_.front().header(), &last = shards_.back().header();
        if (first.tokenizer_hash != last.tokenizer_hash || first.vocab_size != last.vocab_size)
            fail("{}: made with another tokenizer than {}", file.string(), files.front().string());
    }
    if (tokens() == 0) fail("{}: the corpus is empty: no tokens in it", path.string());
}

int64_t ShardSet::documents() const {
    int64_t n = 0;
    for (const Shard& shard : shards_) n += shard.documents();
    return n;
}
int64_t ShardSet::text_bytes() const {
    int64_t n = 0;
    for (const Shard& shard : shards_) n += static_cast<int64_t>(shard.header().text_bytes);
    return n;
}
int64_t ShardSet::learned_tokens() const {
    int64_t n = 0;
    for (const Shard& shard : shards_) n += shard.learned_tokens();
    return n;
}
int64_t ShardSet::learned_bytes() const {
    int64_t n = 0;
    for (const Shard& shard : shards_) n += shard.learned_bytes();
    return n;
}
int64_t ShardSet::vocab_size() const {
    return static_cast<int64_t>(shards_.front().header().vocab_size);
}
uint64_t ShardSet::tokenizer_hash() const { return shards_.front().header().tokenizer_hash; }

void ShardSet::read(int64_t begin, int64_t n, int32_t* out) const {
    TNL_CHECK(begin >= 0 && n >= 0 && begin + n <= tokens(), "tokens [{}, {}) of {}", begin,
              begin + n, tokens());
    for (size_t i = shard_of(begin); n > 0; ++i) {
        const int64_t part = std::min(n, begins_[i + 1] - begin);
        shards_[i].read(begin - begins_[i], part, out);
        begin += part;
        out += part;
        n -= part;
    }
}

size_t ShardSet::shard_of(int64_t token) const {
    return static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end() - 1, token) -
                               begins_.begin() - 1);
}

void ShardSet::mask_targets(int64_t begin, int64_t n, int32_t* targets) const {
    TNL_CHECK(begin >= 0 && n >= 0 && begin + n <= tokens(), "tokens [{}, {}) of {}", begin,
              begin + n, tokens());
    size_t i = n > 0 ? shard_of(begin) : 0;
    for (int64_t at = begin; at < begin + n; ++at) {
        while (at >= begins_[i + 1]) ++i;
        if (!shards_[i].learns(at - begins_[i])) targets[at - begin] = -1;
    }
}

void ShardSet::boundaries(int64_t begin, int64_t end, std::vector<int32_t>& out) const {
    out.clear();
    for (size_t i = 0; i < shards_.size(); ++i) {
        if (begins_[i + 1] <= begin || begins_[i] >= end) continue;
        const auto offsets = shards_[i].offsets();
        const int64_t local = std::max<int64_t>(begin - begins_[i], -1);
        auto at = local < 0 ? offsets.begin()
                            : std::upper_bound(offsets.begin(), offsets.end(),
                                               static_cast<uint64_t>(local));
        for (; at != offsets.end(); ++at) {
            const int64_t token = begins_[i] + static_cast<int64_t>(*at);
            if (token >= end) break;
            const auto relative = static_cast<int32_t>(token - begin);
            // Empty documents share an offset, and a shard ends where the next begins.
            if (relative > 0 && (out.empty() || out.back() != relative)) out.push_back(relative);
        }
    }
}

} // namespace tnl
