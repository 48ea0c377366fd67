// Pieces of documents that are looked for again by their hash: the text as a whole, the address it
// is from, its lines, its paragraphs.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl::corpus {

// exact, url: the document is one piece. line: what stands between two \n. paragraph: between two
// runs of two or more \n.
enum class PieceKind { exact, url, line, paragraph };

// What of a piece counts. none: every byte. ccnet: cc_net's normalize_for_dedup (stripped, lower
// case, digits 0, without Unicode punctuation that is not ASCII and without control characters).
// simplify: as for near-duplicates (simplify.h).
enum class PieceForm { none, ccnet, simplify };
std::vector<std::pair<std::string_view, PieceForm>> enum_names(PieceForm);

struct Piece {
    size_t begin, end, next; // in the text; next: behind the line breaks that end it
};
void find_pieces(std::string_view text, PieceKind kind, std::vector<Piece>& out);

// Two addresses are one where they differ in the scheme (http, https), "www.", the case of the
// host, the scheme's default port, a fragment, a last "/", or in the order of the query's
// parameters.
std::string canonical_url(std::string_view url);

class PieceHasher {
  public:
    explicit PieceHasher(PieceForm form) : form_(form) {}
    // False: nothing of it counts (it is blank), so that it is the duplicate of nothing.
    bool operator()(std::string_view piece, XXH128_hash_t& hash);

  private:
    PieceForm form_;
    std::string buffer_;
};

} // namespace tnl::corpus
