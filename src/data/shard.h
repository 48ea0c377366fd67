// Token shards: documents as token ids in one memory-mapped file.
//
//   header   128 bytes, below
//   tokens   u16 or u32 [tokens], every document ended by the tokenizer's eos
//   mask     u8 [ceil(tokens / 8)], after padding to 8 bytes, version 2 only: bit i % 8 of byte i /
//   8
//            says whether token i is to be learned, or only read, as a prompt is; other bits are 0
//   offsets  u64 [documents + 1], after padding to 8 bytes: first token of each document, then
//            `tokens`
// Without a mask (version 1) all tokens are to be learned. Little endian. The data checksum
// (XXH3-64) covers all bytes after the header; the header's own covers the header before it. A
// shard is written whole or not at all.
#pragma once

#include "base/file.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace tnl {

struct ShardHeader {
    char magic[8];        // "TNLSHARD"
    uint32_t version;     // 1, or 2: with a mask
    uint32_t token_bytes; // 2 or 4
    uint64_t tokens;
    uint64_t documents;
    uint64_t text_bytes;     // UTF-8 bytes of the documents, for bits per byte
    uint64_t vocab_size;     // every token is below
    uint64_t tokenizer_hash; // Tokenizer::hash()
    uint64_t offsets_at;     // file offset of the offsets
    uint64_t mask_at;        // of the mask; 0: none
    uint64_t learned_tokens; // of the mask; 0 where there is none
    uint64_t learned_bytes;  // UTF-8 bytes behind them; 0 likewise
    uint64_t reserved[3];    // 0
    uint64_t data_checksum;
    uint64_t header_checksum;
};
static_assert(sizeof(ShardHeader) == 128);

class ShardWriter {
  public:
    ShardWriter(std::filesystem::path path, int64_t vocab_size, uint64_t tokenizer_hash);
    ~ShardWriter();
    // One document, its eos included; text_bytes of UTF-8. Throws on an id outside the vocabulary.
    void add(std::span<const int32_t> tokens, int64_t text_bytes);
    // The same where only tokens with learned[i] != 0 are to be learned, learned_bytes of the text.
    void add(std::span<const int32_t> tokens, std::span<const uint8_t> learned, int64_t text_bytes,
             int64_t learned_bytes);
    int64_t tokens() const;
    int64_t documents() const;
    void commit(); // the file appears here

  private:
    void append(std::span<const int32_t> tokens, int64_t text_bytes);
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

enum class Check { full, header }; // header: skip the checksum of the data

class Shard {
  public:
    // Throws naming file and offset for anything that is not as written.
    explicit Shard(const std::filesystem::path& path, Check check = Check::full);
    int64_t tokens() const { return static_cast<int64_t>(header_.tokens); }
    int64_t documents() const { return static_cast<int64_t>(header_.documents); }
    const ShardHeader& header() const { return header_; }
    // Tokens [begin, begin + n) as i32.
    void read(int64_t begin, int64_t n, int32_t* out) const;
    bool masked() const { return mask_ != nullptr; }
    bool learns(int64_t token) const {
        return !mask_ || (mask_[token / 8] >> (token % 8) & 1) != 0;
    }
    // Tokens to be learned, and the bytes of text behind them.
    int64_t learned_tokens() const;
    int64_t learned_bytes() const;
    std::span<const uint64_t> offsets() const { return {offsets_, header_.documents + 1}; }
    const std::filesystem::path& path() const { return file_.path(); }

  private:
    MappedFile file_;
    ShardHeader header_{};
    const uint64_t* offsets_ = nullptr;
    const uint8_t* mask_ = nullptr;
};

// The shards of one directory ("shard-*.tnl", by name) as one sequence of tokens and documents.
class ShardSet {
  public:
    // path: a directory, or one shard. Shards must agree on vocabulary and tokenizer.
    explicit ShardSet(const std::filesystem::path& path, Check check = Check::full);
    int64_t tokens() const { return begins_.back(); }
    int64_t documents() const;
    int64_t text_bytes() const;
    int64_t learned_tokens() const;
    int64_t learned_bytes() const;
    int64_t vocab_size() const;
    uint64_t tokenizer_hash() const;
    void read(int64_t begin, int64_t n, int32_t* out) const;
    // Targets [begin, begin + n) become -1 where the token is not to be learned.
    void mask_targets(int64_t begin, int64_t n, int32_t* targets) const;
    // Document starts strictly inside (begin, end), increasing, relative to begin.
    void boundaries(int64_t begin, int64_t end, std::vector<int32_t>& out) const;

  private:
    size_t shard_of(int64_t token) const;
    std::vector<Shard> shards_;
    std::vector<int64_t> begins_; // first token of each shard; the total last
};

} // namespace tnl
