// Lines of JSON into a .zst file that appears when all are in it. A file is a sequence of zstd
// frames (as any zstd reader takes it); a frame is compressed on its own, by any thread, so that
// the bytes depend on how the lines are cut into frames, not on who compressed them.
#pragma once

#include "base/file.h"

#include <memory>
#include <string>
#include <string_view>

namespace tnl::corpus {

// One for each thread.
class FrameEncoder {
  public:
    explicit FrameEncoder(int level = 3);
    ~FrameEncoder();
    FrameEncoder(const FrameEncoder&) = delete;
    FrameEncoder& operator=(const FrameEncoder&) = delete;
    // Appends one frame, with size and checksum; nothing for empty content.
    void append_frame(std::string& out, std::string_view content);
    void append_empty_frame(std::string& out);

  private:
    void append_any(std::string& out, std::string_view content);
    struct Context;
    std::unique_ptr<Context> context_;
};

class RecordWriter {
  public:
    // frame_bytes: a frame ends with the line that reaches this.
    explicit RecordWriter(const std::filesystem::path& path, int level = 3,
                          size_t frame_bytes = size_t{4} << 20);

    void add_line(std::string_view line); // without newline
    template <class R> void add(const R& record) {
        record.append_json(lines_);
        end_line();
    }
    // What a FrameEncoder made. What add and add_line were given before stands before it.
    void add_frame(std::string_view frame);
    void commit();

  private:
    void end_line();
    void flush();
    AtomicFile file_;
    FrameEncoder encoder_;
    size_t frame_bytes_;
    std::string lines_, frame_;
};

} // namespace tnl::corpus
