// Documents to token shards: read, encode on all threads, write in order; the same bytes for any
// number of threads.
#pragma once

#include "text/reader.h"
#include "text/tokenizer.h"

#include <functional>

namespace tnl {

struct TokenizeOptions {
    std::filesystem::path output;         // a directory: train/ and, if asked for, val/
    double val_fraction = 0;              // this share of the documents, chosen by their hash
    double val_tail = 0;                  // this share of every document, its end
    int64_t shard_tokens = 1'000'000'000; // tokens after which a new shard begins
    bool bos = false;                     // bos before every document
    int threads = 0;
};

struct TokenizeCounts {
    int64_t documents = 0, tokens = 0, text_bytes = 0;
    int64_t learned = 0; // of the tokens: all but those of prompts
};
struct TokenizeResult {
    TokenizeCounts train, val;
    DocumentReader::Counts read;
    double seconds = 0;
};

// held_out, if given: documents that go to val/ whole. progress(result so far) is called now and
// then. Of instructions only the tokens of what is to be learned are (a token that begins before
// that, as the space before a word does, counts to it), and the eos. train/ and val/ appear, or
// take the place of earlier ones, when all is written. Throws when there is no text at all, and
// naming file and line of an instruction where val_tail would cut it.
TokenizeResult tokenize(DocumentReader& reader, DocumentReader* held_out,
                        const Tokenizer& tokenizer, const TokenizeOptions& options,
                        const std::function<void(const TokenizeResult&)>& progress);

} // namespace tnl
