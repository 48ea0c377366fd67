#include "corpus/filter/filter_file.h"

#include "base/check.h"
#include "corpus/io/record_writer.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace tnl::corpus {
namespace {

// What one thread makes of chunks.
class Worker {
  public:
    Worker(const ChunkReader& reader, const FilterPlan& plan, const FilterOptions& options)
        : options_(options), plan_(plan), wants_url_(plan.wants_url()),
          parser_(reader.path(), reader.format(), with_url(options.records, plan)),
          chain_(plan, options.lexicon_bytes), encoder_(options.level) {}

    // Frames of the chunk's records, kept and dropped; answers the bytes of their texts.
    int64_t run(const Chunk& chunk) {
        const int64_t before = stats_.read.bytes;
        kept_.clear();
        dropped_.clear();
        for (size_t i = 0; i < chunk.records.size(); ++i)
            if (parser_.parse(chunk, i, record_)) add(kept_, dropped_);
        kept_frame.clear();
        dropped_frame.clear();
        encoder_.append_frame(kept_frame, kept_);
        encoder_.append_frame(dropped_frame, dropped_);
        return stats_.read.bytes - before;
    }
    FilterStats stats() const {
        FilterStats out = stats_;
        out.records = parser_.counts();
        return out;
    }
    std::string kept_frame, dropped_frame;

  private:
    static RecordOptions with_url(RecordOptions records, const FilterPlan& plan) {
        if (plan.wants_url()) records.fields = {plan.rules().url.field};
        return records;
    }
    void set_language() {
        const LanguageRules& rules = plan_.rules().language;
        const LanguageFilter::Label& label = chain_.language();
        if (label.name.empty()) return;
        if (!rules.field.empty()) {
            value_.clear();
            append_json_string(value_, label.name);
            record_.set_field(rules.field, value_);
        }
        if (!rules.score_field.empty())
            record_.set_field(rules.score_field, fmt::format("{}", label.score));
    }
    void add(std::string& kept, std::string& dropped) {
        stats_.read.add(record_.text.size());
        const FilterChain::Result result =
            chain_.run(record_.text, wants_url_ ? record_.fields[0] : std::string_view());
        if (!result.verdict.keep) {
            stats_.dropped[{std::string(result.step), result.verdict.rule}].add(
                record_.text.size());
            append_dropped(dropped, record_, result.step, result.verdict, options_.dropped);
            return;
        }
        stats_.kept.add(record_.text.size());
        set_language();
        if (result.rewritten) {
            ++stats_.rewritten;
            kept += record_.before;
            append_json_string(kept, chain_.text());
            kept += record_.after;
            kept += '\n';
        } else {
            record_.append_json(kept);
        }
        stats_.kept_bytes += std::ssize(chain_.text());
    }
    const FilterOptions& options_;
    const FilterPlan& plan_;
    bool wants_url_;
    RecordParser parser_;
    FilterChain chain_;
    FrameEncoder encoder_;
    Record record_;
    std::string kept_, dropped_, value_;
    FilterStats stats_;
};

// Chunks are read one after the other and written in their order; between that, each is one
// thread's.
class Pipeline {
  public:
    Pipeline(ChunkReader& reader, RecordWriter& kept, RecordWriter* dropped)
        : reader_(reader), kept_(kept), dropped_(dropped) {}

    template <class Progress> void work(Worker& worker, const Progress& progress) {
        Chunk chunk;
        int64_t number = 0;
        try {
            while (read(chunk, number)) {
                const int64_t bytes = worker.run(chunk);
                if (!write(worker, number)) return;
                if (progress) progress(bytes);
            }
        } catch (...) {
            stop(std::current_exception(), number);
        }
    }
    // Of the errors that came up, the one of the earliest chunk.
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    bool read(Chunk& chunk, int64_t& number) {
        const std::lock_guard lock(reading_);
        if (at_end_) return false;
        number = next_read_;
        at_end_ = !reader_.next(chunk);
        if (!at_end_) ++next_read_;
        return !at_end_;
    }
    bool write(const Worker& worker, int64_t number) {
        std::unique_lock lock(writing_);
        turn_.wait(lock, [&] { return next_written_ == number || error_; });
        if (error_) return false;
        kept_.add_frame(worker.kept_frame);
        if (dropped_) dropped_->add_frame(worker.dropped_frame);
        ++next_written_;
        turn_.notify_all();
        return true;
    }
    void stop(std::exception_ptr error, int64_t number) {
        {
            const std::lock_guard lock(reading_);
            at_end_ = true;
        }
        const std::lock_guard lock(writing_);
        if (!error_ || number < error_number_) {
            error_ = std::move(error);
            error_number_ = number;
        }
        turn_.notify_all();
    }

    ChunkReader& reader_;
    RecordWriter& kept_;
    RecordWriter* dropped_;
    std::mutex reading_, writing_;
    std::condition_variable turn_;
    bool at_end_ = false;
    int64_t next_read_ = 0, next_written_ = 0, error_number_ = 0;
    std::exception_ptr error_;
};

} // namespace

FilterStats& FilterStats::operator+=(const FilterStats& more) {
    read += more.read;
    kept += more.kept;
    kept_bytes += more.kept_bytes;
    rewritten += more.rewritten;
    records += more.records;
    for (const auto& [rule, count] : more.dropped) dropped[rule] += count;
    return *this;
}

FilterStats filter_file(const std::filesystem::path& input, const FilterPlan& plan,
                        const FilterOptions& options, int threads,
                        const std::filesystem::path& kept, const std::filesystem::path& dropped,
                        const std::function<void(int64_t)>& progress) {
    ChunkReader reader(input, options.records.chunks);
    RecordWriter kept_writer(kept, options.level);
    std::optional<RecordWriter> dropped_writer;
    if (options.dropped != Dropped::none) dropped_writer.emplace(dropped, options.level);
    Pipeline pipeline(reader, kept_writer, dropped_writer ? &*dropped_writer : nullptr);
    std::vector<std::unique_ptr<Worker>> workers;
    for (int i = 0; i < std::max(threads, 1); ++i)
        workers.push_back(std::make_unique<Worker>(reader, plan, options));
    {
        std::vector<std::jthread> others;
        for (size_t i = 1; i < workers.size(); ++i)
            others.emplace_back([&, i] { pipeline.work(*workers[i], progress); });
        pipeline.work(*workers[0], progress);
    }
    pipeline.rethrow();
    FilterStats total;
    for (const auto& worker : workers) total += worker->stats();
    if (dropped_writer) dropped_writer->commit();
    kept_writer.commit();
    return total;
}

} // namespace tnl::corpus
