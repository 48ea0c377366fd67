// The last stage where pieces of documents go: kept/<name>.jsonl.zst with the texts that are left,
// dropped/<name>.jsonl.zst with {"id", "file", "document", "rule", "pieces", "of", "bytes"} of
// every document that lost pieces, "dropped": true where too little was left of it.
#pragma once

#include "corpus/dedup/job.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tnl::corpus {

// Takes pieces out of texts; one for each thread.
class PieceRemover {
  public:
    virtual ~PieceRemover() = default;
    struct Left {
        bool stays = true;       // the document
        size_t gone = 0, of = 0; // pieces
    };
    // numbers: of remove/FFFFFF.pieces, those of this document, rising. `out` receives what is left
    // of the text. Throws where the text does not have what the numbers say.
    virtual Left remove(std::string_view text, const std::vector<uint32_t>& numbers,
                        std::string& out) = 0;
};
using MakeRemover = std::function<std::unique_ptr<PieceRemover>()>;

// parameters: what the remover's answers depend on beside text and numbers.
Stage piece_filter_stage(const DedupJob& job, const std::string& parameters, MakeRemover make,
                         const std::string& after);

} // namespace tnl::corpus
