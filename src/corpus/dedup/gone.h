// What is there twice, from the parts in which it was found to the files it is in.
#pragma once

#include "corpus/dedup/external_sort.h"
#include "corpus/dedup/job.h"

#include <cstdint>
#include <filesystem>
#include <string>

namespace tnl::corpus {

// first: the first of those that are equal stays. none: nothing that is there twice stays.
enum class Keep { first, none };
std::vector<std::pair<std::string_view, Keep>> enum_names(Keep);

// Sends those that go, of records that come in order: for pieces with one key, all but the first,
// or all where there are several.
class EqualKeys {
  public:
    // gone receives {file << 32 | document, piece}.
    EqualKeys(Keep keep, ExternalSort<2>& gone) : keep_(keep), gone_(gone) {}
    void add(const Numbers<2>& key, const Numbers<2>& piece);
    uint64_t sent() const { return sent_; }

  private:
    void send(const Numbers<2>& piece);
    Keep keep_;
    ExternalSort<2>& gone_;
    bool any_ = false, first_ = false;
    Numbers<2> key_{}, piece_{};
    uint64_t sent_ = 0;
};

// Hashes are spread evenly over their range: equal parts of it are equal work. The first hash of a
// part.
uint64_t part_begin(int part, int parts);
// Of each input's sorted file, the records whose hashes are of a part.
std::vector<SortedFile> files_of_part(const DedupJob& job,
                                      std::filesystem::path (*path)(size_t file),
                                      const RecordLayout& layout, int part, int parts);

// duplicates/PP.pieces: what was sent, sorted.
std::filesystem::path gone_path(int part);
void write_gone(ExternalSort<2>& gone, UnitOutputs& outputs, int part);
// The same of a part, one of `units` at work, of files whose records are a hash of two numbers,
// then piece and document. Returns how many were sent.
uint64_t write_gone_of_equal(const DedupJob& job, std::filesystem::path (*path)(size_t file),
                             const RecordLayout& layout, Keep keep, int part, int parts,
                             size_t units, UnitOutputs& outputs);

// How the pieces of one input are written: as numbers of documents (remove/FFFFFF.remove); as
// documents and pieces (remove/FFFFFF.pieces); or, where pieces are beginnings of equal windows, as
// documents and beginnings or ends of what the windows cover, in turn.
enum class GoneForm { documents, pieces, windows };

// The stage clusters: one unit, in which the parts' lists become those of the inputs.
// window: bytes.
Stage divide_stage(const DedupJob& job, int parts, GoneForm form, size_t window,
                   const std::string& after);

} // namespace tnl::corpus
