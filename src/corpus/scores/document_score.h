// What a model says of a document, a line of a sidecar file:
//   {"id": ..., "index": of the file's records, "tokens": predicted, "bytes": that they stand for,
//    "nll": nats, "perplexity": e^(nll / tokens), "bits_per_byte": nll / ln 2 / bytes,
//    "source": ..., "category": ..., "language": ...}
// The last three where the record has them; perplexity and bits_per_byte are null where nothing was
// predicted.
#pragma once

#include "corpus/io/record_reader.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace tnl::corpus {

// What documents are told apart by, beside their number.
enum class Group { source, category, language };
std::vector<std::pair<std::string_view, Group>> enum_names(Group);
inline constexpr size_t kGroups = 3;
std::string_view name_of(Group group);
using Groups = std::array<std::string, kGroups>; // "" where there is none

// Which number of a document is meant.
enum class Measure { perplexity, bits_per_byte };
std::vector<std::pair<std::string_view, Measure>> enum_names(Measure);
std::string_view name_of(Measure measure);

struct DocumentScore {
    std::string id;
    int64_t index = 0;
    int64_t tokens = 0, bytes = 0;
    double nll = 0;
    Groups groups;
    // As the sidecar says them, to six digits; absent where nothing was predicted.
    std::optional<double> perplexity, bits_per_byte;

    const std::optional<double>& value(Measure measure) const {
        return measure == Measure::perplexity ? perplexity : bits_per_byte;
    }
    void set_nll(double nats);                // and what follows from it
    void append_json(std::string& out) const; // one line, newline included
};

// A sidecar, in the order of its file. Throws naming file, line, field and value.
class ScoreReader {
  public:
    explicit ScoreReader(const std::filesystem::path& path);
    bool next(DocumentScore& score); // false at the end

  private:
    std::string path_;
    RecordReader reader_;
    Record record_;
};

// Where a stage of scores put those of an input.
std::filesystem::path score_file(const std::filesystem::path& scores, const std::string& input);

} // namespace tnl::corpus
