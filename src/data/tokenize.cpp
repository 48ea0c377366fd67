#include "data/tokenize.h"

#include "base/atomic_directory.h"
#include "base/check.h"
#include "base/threads.h"
#include "data/shard.h"
#include "text/encode.h"

#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <optional>

namespace tnl {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kBatchBytes = 16 << 20; // of documents encoded at once

struct Piece {
    DocumentText document;
    bool held_out = false;
    EncodedText tokens = {}; // with bos and eos
};

void encode(Piece& piece, const Tokenizer& tokenizer, bool bos) {
    EncodedText& tokens = piece.tokens;
    tokens = encode_text(tokenizer, piece.document);
    if (bos) tokens.ids.insert(tokens.ids.begin(), tokenizer.bos());
    tokens.ids.push_back(tokenizer.eos());
    if (!piece.document.instruct) return;
    if (bos) tokens.learned.insert(tokens.learned.begin(), 0);
    tokens.learned.push_back(1);
}

// Shards of one split, a new one begun when the last is full. The directory takes the place of an
// earlier one at commit().
class Split {
  public:
    Split(fs::path folder, const Tokenizer& tokenizer, int64_t shard_tokens)
        : folder_(std::move(folder)), tokenizer_(tokenizer), shard_tokens_(shard_tokens) {}
    void begin() {
        if (!written_) written_.emplace(folder_);
    }
    void add(const Piece& piece, TokenizeCounts& counts) {
        if (!writer_) {
            begin();
            writer_.emplace(written_->path() / fmt::format("shard-{:05}.tnl", next_++),
                            tokenizer_.vocab_size(), tokenizer_.hash());
        }
        const auto& [ids, learned] = piece.tokens;
        const auto bytes = std::ssize(piece.document.text);
        if (learned.empty())
            writer_->add(ids, bytes);
        else
            writer_->add(ids, learned, bytes, piece.document.learned_bytes());
        counts.documents += 1;
        counts.tokens += std::ssize(ids);
        counts.text_bytes += bytes;
        counts.learned += learned.empty() ? std::ssize(ids)
                                          : std::count(learned.begin(), learned.end(), uint8_t{1});
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

void split_document(Document document, const TokenizeOptions& options, std::vector<Piece>& out) {
    std::string& text = document.text;
    if (options.val_tail > 0) {
        if (document.instruct)
            fail("{}:{}: val_tail = {} would cut an instruction; wanted val_fraction, or a file of "
                 "held-out records",
                 document.file.string(), document.line, options.val_tail);
        const size_t cut = tail_begin(text, options.val_tail);
        std::string tail = text.substr(cut);
        text.resize(cut);
        if (!text.empty()) out.push_back({{std::move(text), false, {}}, false});
        if (!tail.empty()) out.push_back({{std::move(tail), false, {}}, true});
        return;
    }
    const double draw =
        static_cast<double>(XXH3_64bits(text.data(), text.size()) >> 11) * 0x1.0p-53;
    out.push_back({std::move(document), draw < options.val_fraction});
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
                pieces.push_back({std::move(document), true});
            else
                split_document(std::move(document), options, pieces);
        }
        pool.parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                encode(pieces[static_cast<size_t>(i)], tokenizer, options.bos);
            }
        });
        for (const Piece& piece : pieces)
            (piece.held_out ? val : train).add(piece, piece.held_out ? result.val : result.train);
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
