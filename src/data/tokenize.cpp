#include "data/tokenize.h"

#include "base/atomic_directory.h"
#include "base/check.h"
#include "base/threads.h"
#include "data/shard.h"

#include <xxhash.h>

#include <chrono>
#include <optional>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kBatchBytes = 16 << 20; // of documents encoded at once

// Shards of one split, a new one begun when the last is full. The directory takes the place of an
// earlier one at commit().
class Split {
  public:
    Split(fs::path folder, const Tokenizer& tokenizer, int64_t shard_tokens)
        : folder_(std::move(folder)), tokenizer_(tokenizer), shard_tokens_(shard_tokens) {}
    void begin() {
        if (!written_) written_.emplace(folder_);
    }
    void add(const std::vector<int32_t>& tokens, int64_t text_bytes, TokenizeCounts& counts) {
        if (!writer_) {
            begin();
            writer_.emplace(written_->path() / fmt::format("shard-{:05}.tnl", next_++),
                            tokenizer_.vocab_size(), tokenizer_.hash());
        }
        writer_->add(tokens, text_bytes);
        counts.documents += 1;
        counts.tokens += static_cast<int64_t>(tokens.size());
        counts.text_bytes += text_bytes;
        if (writer_->tokens() >= shard_tokens_) close();
    }
    void commit() {
        close();
        if (written_)
            written_->commit();
        else
            remove_earlier();
    }

  private:
    void close() {
        if (writer_) writer_->commit();
        writer_.reset();
    }
    void remove_earlier() const {
        for (int i = 0;; ++i)
            if (!fs::remove(folder_ / fmt::format("shard-{:05}.tnl", i))) return;
    }

    fs::path folder_;
    const Tokenizer& tokenizer_;
    int64_t shard_tokens_;
    std::optional<AtomicDirectory> written_;
    std::optional<ShardWriter> writer_; // into written_
    int next_ = 0;
};

// A directory made here goes again if nothing came into it.
class Output {
  public:
    explicit Output(fs::path path) : path_(std::move(path)), made_(!fs::exists(path_)) {}
    ~Output() {
        std::error_code not_empty;
        if (made_) fs::remove(path_, not_empty);
    }
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;
    const fs::path& path() const { return path_; }

  private:
    fs::path path_;
    bool made_;
};

// Where the held-out end of a document begins: after a newline if one is near, at a character.
size_t tail_begin(const std::string& text, double share) {
    auto at = static_cast<size_t>(static_cast<double>(text.size()) * (1 - share));
    const size_t newline = text.find('\n', at);
    if (newline != std::string::npos && newline + 1 < text.size() &&
        newline - at < text.size() / 50 + 200)
        return newline + 1;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    return at;
}

struct Piece {
    std::string text;
    bool held_out = false;
    std::vector<int32_t> tokens;
};

void split_document(std::string text, const TokenizeOptions& options, std::vector<Piece>& out) {
    if (options.val_tail > 0) {
        const size_t cut = tail_begin(text, options.val_tail);
        std::string tail = text.substr(cut);
        text.resize(cut);
        if (!text.empty()) out.push_back({std::move(text), false, {}});
        if (!tail.empty()) out.push_back({std::move(tail), true, {}});
        return;
    }
    const double draw =
        static_cast<double>(XXH3_64bits(text.data(), text.size()) >> 11) * 0x1.0p-53;
    out.push_back({std::move(text), draw < options.val_fraction, {}});
}

} // namespace

TokenizeResult tokenize(DocumentReader& reader, DocumentReader* held_out,
                        const Tokenizer& tokenizer, const TokenizeOptions& options,
                        const std::function<void(const TokenizeResult&)>& progress) {
    for (const auto& [name, share] :
         {std::pair("val_fraction", options.val_fraction), std::pair("val_tail", options.val_tail)})
        if (share < 0 || share >= 1)
            throw UsageError(fmt::format("{} is {}, wanted 0 or more and below 1", name, share));
    TNL_CHECK(tokenizer.eos() >= 0, "the tokenizer has no eos token to end documents with");
    TNL_CHECK(!options.bos || tokenizer.bos() >= 0, "the tokenizer has no bos token");
    const auto start = std::chrono::steady_clock::now();
    ThreadPool pool(options.threads);
    const Output output(options.output);
    Split train(output.path() / "train", tokenizer, options.shard_tokens);
    Split val(output.path() / "val", tokenizer, options.shard_tokens);
    train.begin(); // what cannot be written is told before the work
    TokenizeResult result;
    DocumentReader* from = &reader;
    while (from != nullptr) {
        std::vector<Piece> pieces;
        Document document;
        for (int64_t bytes = 0; from != nullptr && bytes < kBatchBytes;) {
            if (!from->next(document)) {
                from = from == &reader ? held_out : nullptr;
                continue;
            }
            bytes += static_cast<int64_t>(document.text.size());
            if (from == held_out)
                pieces.push_back({std::move(document.text), true, {}});
            else
                split_document(std::move(document.text), options, pieces);
        }
        pool.parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                Piece& piece = pieces[static_cast<size_t>(i)];
                piece.tokens = tokenizer.encode(piece.text);
                if (options.bos) piece.tokens.insert(piece.tokens.begin(), tokenizer.bos());
                piece.tokens.push_back(tokenizer.eos());
            }
        });
        for (const Piece& piece : pieces)
            (piece.held_out ? val : train)
                .add(piece.tokens, static_cast<int64_t>(piece.text.size()),
                     piece.held_out ? result.val : result.train);
        result.read = reader.counts();
        if (held_out != nullptr) result.read += held_out->counts();
        result.seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (progress) progress(result);
    }
    if (result.train.documents == 0 && (held_out != nullptr || result.val.documents == 0))
        fail("the corpus is empty: {} file(s) without a document of text", reader.files().size());
    train.commit();
    val.commit();
    return result;
}

} // namespace tnl
