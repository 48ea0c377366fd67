#include "score/token_source.h"

#include "base/check.h"
#include "corpus/io/chunk_reader.h"

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

namespace tnl::corpus {
namespace {

// Bytes of the text that the first token stands for: without a beginning it is not predicted.
int64_t first_token_bytes(const Tokenizer& tokenizer, int32_t id) {
    const std::string bytes = tokenizer.token_bytes(id);
    const bool space = tokenizer.adds_leading_space() && !bytes.empty() && bytes.front() == ' ';
    return std::ssize(bytes) - space;
}

} // namespace

struct TokenSource::Impl {
    Impl(const std::filesystem::path& path, const RecordOptions& options,
         const Tokenizer& tokenizer_, DocumentEnds ends_, int threads)
        : records(options), reader(path, options.chunks), tokenizer(tokenizer_), ends(ends_),
          ahead(2 * int64_t{threads}) {
        for (int i = 0; i < threads; ++i) workers.emplace_back([this] { work(); });
    }
    ~Impl() {
        {
            const std::lock_guard lock(mutex);
            stopped = true;
        }
        changed.notify_all();
    }

    struct Made {
        TokenChunk chunk;
        std::exception_ptr error;
    };

    void work() {
        RecordParser parser(reader.path(), reader.format(), records);
        Chunk raw;
        for (int64_t number = 0;;) {
            Made out;
            bool more = true;
            {
                // One thread reads at a time, so that numbers are the file's order.
                const std::lock_guard turn(reading);
                {
                    std::unique_lock lock(mutex);
                    changed.wait(
                        lock, [&] { return stopped || at_end || next_read < next_given + ahead; });
                    if (stopped || at_end) break;
                    number = next_read;
                }
                try {
                    more = reader.next(raw);
                } catch (...) {
                    out.error = std::current_exception();
                }
                const std::lock_guard lock(mutex);
                if (!more || out.error) at_end = true;
                if (more) ++next_read;
            }
            if (more && !out.error) encode(parser, raw, out);
            const std::lock_guard lock(mutex);
            if (more) made[number] = std::move(out);
            changed.notify_all();
            if (!more) break;
        }
        const std::lock_guard lock(mutex);
        counts += parser.counts();
        ++finished;
        changed.notify_all();
    }

    void encode(RecordParser& parser, const Chunk& raw, Made& out) {
        try {
            Record record;
            for (size_t i = 0; i < raw.records.size(); ++i) {
                if (!parser.parse(raw, i, record)) continue;
                std::vector<int32_t> ids = tokenizer.encode(record.text);
                DocumentScore document;
                document.id = record.id;
                document.index = record.index;
                document.bytes = std::ssize(record.text);
                if (ends.bos >= 0)
                    ids.insert(ids.begin(), ends.bos);
                else if (!ids.empty())
                    document.bytes -= first_token_bytes(tokenizer, ids.front());
                if (ends.eos >= 0) ids.push_back(ends.eos);
                std::move(record.fields.begin(), record.fields.end(), document.groups.begin());
                out.chunk.documents.push_back(std::move(document));
                out.chunk.ids.push_back(std::move(ids));
            }
        } catch (...) {
            out.error = std::current_exception();
        }
    }

    bool next(TokenChunk& chunk) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] {
            return made.contains(next_given) ||
                   (at_end && next_given == next_read && finished == std::ssize(workers));
        });
        const auto found = made.find(next_given);
        if (found == made.end()) return false;
        const Made out = std::move(found->second);
        made.erase(found);
        ++next_given;
        changed.notify_all();
        if (out.error) std::rethrow_exception(out.error);
        chunk = std::move(out.chunk);
        return true;
    }

    RecordOptions records;
    ChunkReader reader;
    const Tokenizer& tokenizer;
    DocumentEnds ends;
    int64_t ahead;
    std::mutex reading, mutex;
    std::condition_variable changed;
    bool at_end = false, stopped = false;
    int64_t next_read = 0, next_given = 0, finished = 0;
    std::map<int64_t, Made> made;
    RecordCounts counts;
    std::vector<std::jthread> workers; // last: they end before what they use
};

TokenSource::TokenSource(const std::filesystem::path& path, const RecordOptions& records,
                         const Tokenizer& tokenizer, DocumentEnds ends, int threads)
    : impl_(std::make_unique<Impl>(path, records, tokenizer, ends, threads)) {
    TNL_CHECK(records.fields.size() == kGroups, "{} fields, wanted {}", records.fields.size(),
              kGroups);
}
TokenSource::~TokenSource() = default;

bool TokenSource::next(TokenChunk& chunk) { return impl_->next(chunk); }
RecordCounts TokenSource::counts() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->counts;
}

} // namespace tnl::corpus
