#include "corpus/dedup/signatures.h"

#include "base/check.h"
#include "base/file.h"

#include <algorithm>
#include <cmath>
#include <system_error>

namespace tnl::corpus {
namespace fs = std::filesystem;

double Bands::chance(double similarity) const {
    return 1 - std::pow(1 - std::pow(similarity, rows), bands);
}

fs::path signature_path(const fs::path& folder, int band, uint32_t file) {
    return folder / fmt::format("bucket_{:03}", band) / fmt::format("{:05}.minhash.sig", file);
}

SignatureWriter::SignatureWriter(fs::path folder, uint32_t file, Bands bands, size_t memory)
    : folder_(std::move(folder)), file_(file), bands_(bands), memory_(memory),
      keys_(static_cast<size_t>(bands.bands)) {
    // Rows and id of a document, and its place in the order that is sorted.
    const size_t each = bands.hashes() * 8 + 4 + 16;
    most_ = std::max<size_t>(memory / each, 256);
    for (int band = 0; band < bands.bands; ++band)
        fs::create_directories(signature_path(folder_, band, file).parent_path());
}

SignatureWriter::~SignatureWriter() {
    std::error_code ignored;
    for (int band = 0; band < bands_.bands; ++band)
        for (size_t run = 0; run < runs_; ++run) fs::remove(run_path(band, run), ignored);
}

fs::path SignatureWriter::run_path(int band, size_t run) const {
    fs::path path = signature_path(folder_, band, file_);
    path.replace_filename(fmt::format(".{:05}.{}.run", file_, run));
    return path;
}

void SignatureWriter::add(uint32_t document, std::span<const uint64_t> signature) {
    TNL_CHECK(signature.size() == bands_.hashes(), "a signature of {} hashes, wanted {}",
              signature.size(), bands_.hashes());
    if (ids_.size() == most_) spill();
    const auto rows = static_cast<size_t>(bands_.rows);
    for (std::vector<uint64_t>& keys : keys_) {
        if (keys.size() == keys.capacity()) // doubling must not pass the limit
            keys.reserve(std::min(most_ * rows, std::max(keys.size() * 2, 256 * rows)));
        keys.insert(keys.end(), signature.begin(),
                    signature.begin() + static_cast<ptrdiff_t>(rows));
        signature = signature.subspan(rows);
    }
    ids_.push_back(document);
    ++documents_;
}

void SignatureWriter::write_sorted(int band, const fs::path& path) {
    const auto rows = static_cast<size_t>(bands_.rows);
    const std::vector<uint64_t>& keys = keys_[static_cast<size_t>(band)];
    struct Place {
        uint64_t key;
        uint64_t document;
    };
    std::vector<Place> order(ids_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = {keys[i * rows], i};
    std::sort(order.begin(), order.end(), [&](const Place& x, const Place& y) {
        if (x.key != y.key) return x.key < y.key;
        const uint64_t *a = &keys[x.document * rows], *b = &keys[y.document * rows];
        for (size_t i = 1; i < rows; ++i)
            if (a[i] != b[i]) return a[i] < b[i];
        return x.document < y.document;
    });
    AtomicFile file(path);
    for (const Place& place : order) {
        file.write(&keys[place.document * rows], rows * 8);
        file.write(&ids_[place.document], 4);
    }
    file.commit();
}

void SignatureWriter::spill() {
    ++runs_; // so that the destructor knows of them
    for (int band = 0; band < bands_.bands; ++band) write_sorted(band, run_path(band, runs_ - 1));
    for (std::vector<uint64_t>& keys : keys_) keys.clear();
    ids_.clear();
}

std::vector<fs::path> SignatureWriter::commit() {
    std::vector<fs::path> out;
    if (runs_ > 0) {
        spill();
        keys_ = {};
        ids_ = {};
    }
    for (int band = 0; band < bands_.bands; ++band) {
        out.push_back(signature_path(folder_, band, file_));
        if (runs_ == 0) {
            write_sorted(band, out.back());
            continue;
        }
        std::vector<SortedFile> runs;
        for (size_t run = 0; run < runs_; ++run)
            runs.push_back({run_path(band, run), bands_.layout()});
        AtomicFile file(out.back());
        SortedMerge(std::move(runs), memory_).run([&](std::span<const MergedRecord> records) {
            for (const MergedRecord& record : records)
                file.write(record.data, bands_.layout().bytes());
        });
        file.commit();
    }
    return out;
}

} // namespace tnl::corpus
