// The documents of a file as tokens, read and encoded by threads of their own while a model is at
// work on what came before.
#pragma once

#include "corpus/scores/document_score.h"
#include "text/tokenizer.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

namespace tnl::corpus {

// What stands before and after the tokens of a text; -1: nothing.
struct DocumentEnds {
    int32_t bos = -1, eos = -1;
};

// Documents that were read together. Which these are follows from the file's bytes alone.
struct TokenChunk {
    std::vector<DocumentScore> documents; // all but what the model says
    std::vector<std::vector<int32_t>> ids;
};

class TokenSource {
  public:
    // records.fields must be the names of source, category and language. threads >= 1 encode;
    // at most twice as many chunks wait. The tokenizer must outlive this.
    TokenSource(const std::filesystem::path& path, const RecordOptions& records,
                const Tokenizer& tokenizer, DocumentEnds ends, int threads);
    ~TokenSource();
    TokenSource(const TokenSource&) = delete;
    TokenSource& operator=(const TokenSource&) = delete;

    // In the file's order; false at the end. Throws what is wrong with the file, naming its line.
    bool next(TokenChunk& chunk);
    RecordCounts counts() const; // at the end

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace tnl::corpus
